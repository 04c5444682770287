"""A cell that cannot train becomes a failed record that says why."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robustbench_rec import Interactions, Loss
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.running.execution import train_and_test


@pytest.fixture
def cell():
    """Return the first cell of `smoke`, its level 0."""
    suite = load_suite("smoke")
    return suite.cells({suite.datasets[0]: suite.datasets[0].fingerprint(Path())})[0]


def failure(cell) -> str:
    ((record, beside),) = train_and_test([cell], Path())
    assert record.status == "failed"
    assert beside is None
    return record.error


def test_a_training_that_diverges_names_epoch_step_and_loss(cell):
    wild = replace(cell, training=replace(cell.training, lr=1e30))
    assert "scores of bpr(" in failure(wild)
    assert "became infinite or not a number in epoch 1, step " in failure(wild)


def test_a_user_who_has_met_every_item_stops_no_cell(cell, monkeypatch):
    def met_by_one(*arguments):
        split = prepare(*arguments)
        everything = np.arange(split.n_items)
        others = split.train[split.train.users != 3]
        train = Interactions.of(
            np.concatenate([others.users, np.full(split.n_items, 3)]),
            np.concatenate([others.items, everything]),
            split.n_users,
            split.n_items,
        )
        return replace(split, train=train)

    from robustbench_rec.running import execution as module

    prepare = module.prepare
    monkeypatch.setattr(module, "prepare", met_by_one)
    module._prepared.cache_clear()
    ((record, _),) = train_and_test([cell], Path())
    module._prepared.cache_clear()
    assert (record.status, record.error) == ("done", "")


ERRING = """
from robustbench_rec import Loss

class Erring(Loss):
    name = "erring"

    def __call__(self, batch):
        return {}[batch.step]
"""


@pytest.fixture
def erring(tmp_path, monkeypatch):
    """Return a function that makes a loss out of a file of the user's."""

    def make(returned: str = "{}[batch.step]") -> Loss:
        (tmp_path / "mine.py").write_text(ERRING.replace("{}[batch.step]", returned))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "mine", raising=False)
        return importlib.import_module("mine").Erring()

    yield make
    sys.modules.pop("mine", None)


def test_an_error_in_a_plugin_is_told_with_file_and_line(cell, erring):
    assert failure(replace(cell, loss=erring())) == "KeyError: 0 (mine.py, line 8)"


@pytest.mark.parametrize(
    ("returned", "says"),
    [("batch.pos", "a tensor of shape ("), ("0.5", "float"), ("None", "NoneType")],
)
def test_a_loss_that_is_no_number_is_told_what_it_returned(cell, erring, returned, says):
    error = failure(replace(cell, loss=erring(returned)))
    assert f"returned {says}" in error
    assert "a loss returns one number, a () tensor" in error
