"""A loss with a compiled form, as docs/plugins.md has it: its contract, and a suite by it."""

import json
import os
from pathlib import Path

import pytest
from plugins import clauses
from tiny import WORLD

from robustbench_rec.compiling import code_folder

pytestmark = pytest.mark.slow

SUITE = (
    """
name = "tiny"
baselines = []
plugins = ["compiled_hinge.py"]
training = { epochs = 3, batch_size = 64, lr = 1e-2, eval_every = 1 }
"""
    + WORLD
    + """
[[loss]]
name = "compiled_hinge"

[[perturbation]]
name = "hidden_positives"
level = [0, 0.3]
"""
)


@pytest.fixture
def plugin(checkout, tmp_path) -> Path:
    """Return the loss of docs/plugins.md as a file, beside a suite that trains by it."""
    blocks = (checkout / "docs" / "plugins.md").read_text(encoding="utf-8").split("```python\n")[1:]
    (code,) = (block.partition("```")[0] for block in blocks if "class CompiledHinge" in block)
    (tmp_path / "tiny.toml").write_text(SUITE)
    path = tmp_path / "compiled_hinge.py"
    path.write_text(code)
    return path


def run(in_process, folder: Path, out: str = "out", engine: str = "serial"):
    arguments = ("--out", out, "--jobs", 1, "--engine", engine, "--no-figures")
    return in_process("run", folder / "tiny.toml", *arguments)


def errors(folder: Path, out: str = "out") -> dict[str, str]:
    """Return the reason that each cell failed for: `bpr 0.3` -> ""."""
    found = (json.loads(path.read_text()) for path in (folder / out / "cells").glob("*.json"))
    return {
        f"{one['loss']['name']} {one['perturbation']['level']:g}": one["error"] for one in found
    }


def test_it_meets_the_contract(plugin):
    assert all(clause.holds for clause in clauses(plugin, {"n_negatives": 8}))


def test_the_contract_finds_a_slope_that_is_not_the_derivative(plugin):
    plugin.write_text(plugin.read_text().replace("slopes[0] = -pull", "slopes[0] = -0.99 * pull"))
    broken = [one.found for one in clauses(plugin, {"n_negatives": 8}) if one.holds is False]
    assert any("its slopes are not the derivative of its call" in found for found in broken), broken


def test_a_suite_trains_by_it_and_another_process_finds_it_compiled(plugin, in_process):
    cache, its = code_folder()[0], f"{plugin.parent.name}_*/*.nbc"

    def compiled(engine: str) -> dict[str, int]:
        done = run(in_process, plugin.parent, engine, engine)
        assert done.returncode == 0, done.stderr
        return {path.name: path.stat().st_mtime_ns for path in cache.glob(its)}

    assert compiled("serial") == compiled("loky") != {}


UNUSABLE = (
    "ValueError: compiled_hinge(margin=0.5, n_negatives=32, score=dot): its compiled form (rows) "
    "cannot be used: "
)
BROKEN = {
    "slopes": (
        "slopes[n] = share if",
        "slopes[n] = 2 * share if",
        "ValueError: compiled_hinge(margin=0.5, n_negatives=32, score=dot): the slopes of its "
        "compiled form (rows) by scores differ by 100% from the derivative of its call",
    ),
    "value": (
        "value += share * violation",
        "value += share * violation + 3",
        "ValueError: compiled_hinge(margin=0.5, n_negatives=32, score=dot): its compiled form "
        "(rows) gives a loss of 96",
    ),
    "not a number": (
        "value += share * violation",
        "value += share * np.float32(np.nan)",
        "ValueError: compiled_hinge(margin=0.5, n_negatives=32, score=dot): its compiled form "
        "(rows) gives a loss of nan where its call gives 0.",
    ),
    "one value": (
        "return value, ZERO",
        "return value",
        f"{UNUSABLE}TypeError: row function hinge_row: cannot be compiled: ",
    ),
    "an array": (
        "return value, ZERO",
        "return slopes, ZERO",
        f"{UNUSABLE}TypeError: row function hinge_row: cannot be compiled: ",
    ),
    "an unknown name": (
        "value = pull = ZERO",
        "value = pull = unknown",
        f"{UNUSABLE}TypeError: row function hinge_row: cannot be compiled: ",
    ),
    "not compiled": (
        "@row_function",
        "",
        f"{UNUSABLE}TypeError: Rows.function is <function hinge_row at ",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_form_that_is_not_the_loss_fails_its_cells_alone_with_one_line(plugin, in_process, case):
    old, new, reason = BROKEN[case]
    text = plugin.read_text()
    assert old in text
    plugin.write_text(text.replace(old, new))
    done = run(in_process, plugin.parent)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "2 cells done, 2 failed" in done.stdout
    found = errors(plugin.parent)
    for level in ("0", "0.3"):
        assert found[f"bpr {level}"] == ""
        told = found[f"compiled_hinge {level}"]
        assert told.startswith(reason)
        assert "\n" not in told
        assert told in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a folder is made read-only by its mode")
def test_a_folder_that_cannot_be_written_to_is_no_hindrance(plugin, in_process, tmp_path):
    """Root may write everywhere: a file stands where the folder of compiled code would."""
    (tmp_path / "__pycache__").write_text("")
    done = run(in_process, plugin.parent)
    assert done.returncode == 0, done.stderr
