"""The corpus written for Aister, and the scripts that train its two bundled models from it."""
