"""Limits: a training that never ends, and a run in which too much fails."""

import pytest
from odd_losses import ODD_LOSSES
from tiny import WORLD

from robustbench_rec.errors import InputError
from robustbench_rec.records.run import read_run
from robustbench_rec.running.session import open_session

SUITE = (
    """
name = "limited"
plugins = ["odd.py"]
replicates_vary = "training"
training = { epochs = 2, batch_size = 512 }
"""
    + WORLD
)


@pytest.fixture
def suite(tmp_path):
    """Return a function that writes a suite of some more losses."""

    def written(*losses: str, replicates: int = 1) -> str:
        (tmp_path / "odd.py").write_text(ODD_LOSSES)
        path = tmp_path / "limited.toml"
        more = "".join(f'[[loss]]\nname = "{loss}"\n' for loss in losses)
        path.write_text(f"replicates = {replicates}\n{SUITE}{more}")
        return str(path)

    return written


SLOW = """
@LOSSES.add("{name}")
@dataclass(frozen=True, kw_only=True)
class {name}(Loss):
    "Takes its time."

    source = "a test"

    def bind(self, n_users, n_items):
        time.sleep(14)
        return self

    def __call__(self, batch):
        return (batch.neg - batch.pos[:, None]).mean()
"""


@pytest.mark.faults
def test_a_training_beside_one_that_is_ended_is_not_charged(
    suite, tmp_path, in_process, monkeypatch
):
    monkeypatch.setattr("robustbench_rec.running.pool.DEATHS", 1)  # one would fail it
    names = ("slow_one", "slow_two", "slow_three")
    path = suite("endless", *names)
    (tmp_path / "odd.py").write_text(ODD_LOSSES + "".join(SLOW.format(name=one) for one in names))
    arguments = ("--out", "out", "--no-figures", "--jobs", 2, "--cell-timeout", 20)
    done = in_process("run", path, *arguments, "--engine", "loky")
    assert done.returncode == 3, done.stderr
    held = read_run(tmp_path / "out").summary
    ((title, reason),) = held.failed.values()
    assert title.split()[2] == "endless"
    assert reason == "TimeoutError: took longer than 20 s (--cell-timeout)"
    assert (held.done, held.left) == (4 + 2, 0)  # losses and baselines
    told = in_process("status", "out", "--verbose")
    assert told.returncode == 3
    assert "endless" in told.stdout
    assert "seconds an epoch" in told.stdout


def test_a_run_stops_where_more_fails_than_is_allowed(suite, tmp_path, in_process):
    many = ("--out", "out", "--no-figures", "--max-failures", 0.1)
    done = in_process("run", suite("breaks", replicates=12), *many)
    assert done.returncode == 3
    assert "too many failures (--max-failures)" in done.stderr
    run = read_run(tmp_path / "out")
    assert len(run.summary.failed) == 5  # the first beyond a tenth of 48
    assert run.summary.left > 0
    told = in_process("status", "out", "--verbose")
    assert told.returncode == 3
    assert "by these calls:" in told.stdout
    assert "odd.py" in told.stdout
    again = in_process("run", suite("breaks", replicates=12), *many[:3], "--max-failures", 1)
    assert again.returncode == 3
    assert read_run(tmp_path / "out").summary.left == 0


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"cell_timeout": 0}, "--cell-timeout is 0; it must be above 0 seconds"),
        ({"cell_timeout": float("nan")}, "--cell-timeout is nan; it must be above 0 seconds"),
        ({"max_failures": 2}, "--max-failures is 2; it must lie in [0, 1], a share"),
        ({"max_failures": float("nan")}, "--max-failures is nan; it must lie in [0, 1], a share"),
        (
            {"cell_timeout": 5, "engine": "serial"},
            "--cell-timeout needs worker processes, which --engine serial does not have; omit "
            "one of the two options",
        ),
    ],
)
def test_limits_that_mean_nothing_are_refused(asked, told):
    with pytest.raises(InputError) as caught:
        open_session("smoke", **asked)
    assert str(caught.value) == told


def test_a_suite_of_very_many_cells_is_confirmed_before_it_is_planned(tmp_path, in_process):
    levels = [at / 1000 for at in range(1000)]
    many = f'[[perturbation]]\nname = "hidden_positives"\nlevel = {levels}\n'
    text = f'name = "many"\nreplicates = 34\n{WORLD}{many}'
    (tmp_path / "many.toml").write_text(text)
    done = in_process("run", "many.toml", "--dry-run")
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        [
            "robustbench-rec: suite 'many' has 102,000 cells, more than 100,000; give --yes if "
            "that is meant"
        ],
    )
    few = text.replace("replicates = 34", "replicates = 33")
    (tmp_path / "few.toml").write_text(few)
    assert open_session(tmp_path / "few.toml").suite.n_cells == 99_000
    assert open_session(tmp_path / "many.toml", yes=True).suite.n_cells == 102_000


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            {"scheduler": "tcp://host:8786"},
            "--scheduler, --results and --stall-limit are of --engine dask; add it, or omit them",
        ),
        (
            {"results": "return"},
            "--scheduler, --results and --stall-limit are of --engine dask; add it, or omit them",
        ),
        ({"results": "home"}, "--results is 'home'; it must be shared or return"),
        ({"stall_limit": 0}, "--stall-limit is 0; it must be above 0 seconds"),
    ],
)
def test_options_of_a_cluster_without_one_are_refused(asked, told):
    with pytest.raises(InputError) as caught:
        open_session("smoke", **asked)
    assert str(caught.value) == told


def test_jobs_are_of_this_machine_and_not_of_a_scheduler():
    pytest.importorskip("distributed")
    with pytest.raises(InputError, match="--jobs 2: the scheduler has its own workers"):
        open_session("smoke", engine="dask", scheduler="tcp://host:8786", jobs=2)
