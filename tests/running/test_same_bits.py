"""The same bytes from every engine, number of workers, order and division of a suite."""

import random

import pytest
from tiny import WORLD

from robustbench_rec import run
from robustbench_rec.records.merge import merge
from robustbench_rec.running import run_cells

SUITE = (
    """\
name = "same"
replicates = 2
training = { epochs = 2, batch_size = 512 }
"""
    + WORLD
    + """\
[[loss]]
name = "mse"
[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.4]
[[perturbation]]
name = "popularity_shift"
level = [0.0, 0.5]
"""
)
TABLES = ("results.csv", "diagnostics.csv", "users.npz")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("same") / "same.toml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def tables(suite):
    """Return the tables of the suite, run by one process in its order."""
    return held(run(suite, suite.parent / "out", engine="serial").folder)


def held(folder):
    return {name: (folder / name).read_bytes() for name in TABLES}


def shuffled(monkeypatch, seed):
    """Run the trainings of every plan in another order."""
    in_order = run_cells._Cells.jobs

    def jobs(self):
        found = list(in_order(self))
        random.Random(seed).shuffle(found)
        return found

    monkeypatch.setattr(run_cells._Cells, "jobs", jobs)


def in_shares(suite, folder, n, **options):
    """Run a suite in shares, and merge them in another order."""
    parts = [folder / str(at) for at in range(1, n + 1)]
    for at, part in enumerate(parts, 1):
        run(suite, part, shard=f"{at}/{n}", **options)
    merge(parts[::-1], folder / "merged")
    return folder / "merged"


def test_in_any_order_and_in_shares(suite, tables, tmp_path, monkeypatch):
    shuffled(monkeypatch, 1)
    assert held(run(suite, tmp_path / "out", engine="serial").folder) == tables
    assert held(in_shares(suite, tmp_path, 3, engine="serial")) == tables


@pytest.mark.dask
@pytest.mark.faults
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    "how",
    [
        {"engine": "loky"},
        {"engine": "dask"},
        {"engine": "dask", "results": "return"},
    ],
    ids=["loky", "dask", "dask returns"],
)
def test_on_every_engine(suite, tables, tmp_path, monkeypatch, how, jobs):
    pytest.importorskip("distributed")
    shuffled(monkeypatch, jobs)
    assert held(run(suite, tmp_path / "out", jobs=jobs, **how).folder) == tables


@pytest.mark.dask
@pytest.mark.faults
@pytest.mark.parametrize("engine", ["loky", "dask"])
def test_in_shares_on_every_engine(suite, tables, tmp_path, engine):
    pytest.importorskip("distributed")
    assert held(in_shares(suite, tmp_path, 2, engine=engine, jobs=2)) == tables
