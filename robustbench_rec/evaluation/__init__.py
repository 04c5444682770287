"""From embeddings to metrics: full ranking of the catalogue."""
