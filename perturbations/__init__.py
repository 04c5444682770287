"""Perturbations, one idea a file; each is a plugin like any of yours."""
