"""Data sets: the registered ones, and a synthetic world."""
