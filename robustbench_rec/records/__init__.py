"""What is kept of a run: records, the folder they lie in, and the frames read from it."""
