"""Backbones: embeddings of users and items, and nothing else."""
