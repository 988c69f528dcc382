"""The benchmarks of speed: every row of benchmarks/RESULTS.md, measured against a peer on the same machine."""
