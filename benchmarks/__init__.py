"""Speed and memory, measured; results.md holds what was measured where."""
