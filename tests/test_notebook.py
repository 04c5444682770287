"""The notebook of docs/: its cells run, in order, and draw what it says."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_the_notebook_draws_two_perturbations_side_by_side(checkout, tmp_path, monkeypatch):
    notebook = json.loads((checkout / "docs" / "figures.ipynb").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    Path("results").symlink_to(checkout / "results")
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    left, right = names["figure"].axes
    titles = [ax.get_title() for ax in (left, right)]
    assert titles == ["hidden positives", "false negatives (own positives)"]
    assert len(names["figure"].legends[0].get_texts()) == 6
    assert Path("two-perturbations.pdf").read_bytes().startswith(b"%PDF")
