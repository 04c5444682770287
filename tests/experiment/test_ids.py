"""Ids survive a move: the cells of `smoke` are called today as they were called before."""

import hashlib
import sys

import pytest

from robustbench_rec.experiment.suite_file import load_suite

SMOKE = "551994c17d0b53cd"
"""Digest of the ids of `smoke`, in order, under protocol 5.

It changes with the protocol, with the settings or the code of a component that `smoke` runs, and
with nothing else: not when modules move, nor with what they import.
"""


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="Python prints parsed code by version; pinned on 3.11"
)
def test_the_ids_of_smoke_are_what_they_were(tmp_path):
    suite = load_suite("smoke", tmp_path)
    prints = {dataset: dataset.fingerprint(tmp_path) for dataset in suite.datasets}
    ids = [cell.id for cell in suite.cells(prints)]
    assert len(ids) == 72
    assert hashlib.sha256(" ".join(ids).encode()).hexdigest()[:16] == SMOKE
