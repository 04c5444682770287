"""For authors of plugins: template files, and contract checks without pytest."""
