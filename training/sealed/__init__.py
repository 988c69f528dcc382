"""The sealed sets: what decides how good the bundled models are. Nothing here may be trained on; README.md says why."""
