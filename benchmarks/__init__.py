"""Measurements of speed and memory; results.md has the numbers and the machines."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported: as in our workers
