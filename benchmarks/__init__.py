"""Speed and memory, measured; results.md holds what was measured where."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported: as in our workers
