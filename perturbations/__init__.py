"""Perturbations, one per file; each is a plugin like any of yours."""
