"""Experiments as data: suites, cells, published values, claims, tuning. Nothing runs here."""
