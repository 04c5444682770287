"""The hot path: compiled loops, and their torch side."""
