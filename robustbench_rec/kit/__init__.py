"""For authors of plugins: files to begin with, and contracts checked without pytest."""
