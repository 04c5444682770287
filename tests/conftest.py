"""What several tests share: the checkout, real data where they are, and a way to run commands."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

# Several threads only wait for each other on small tables, in processes that tests start too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "4")  # before numba: threads.MOST, on any machine
# What is compiled here, plugins of an hour among it, is nothing for the user's own cache.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache/compiled"))

import hypothesis
import numba
import pytest
import torch
from commands import command_line, run_here

numba.set_num_threads(1)
torch.set_num_threads(1)  # of this process, where OpenMP may have started before
# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "anywhere", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("anywhere")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what is sent behind
    signal.signal(signal.SIGINT, signal.default_int_handler)

CHECKOUT = Path(__file__).resolve().parent.parent
WHOLE = {"cli", "figures", "report", "running", "tables"}
"""Folders of tests of whole commands, pages and runs: all of them count as slow."""
TRAINED = "test_trained_by_it_a_model_ranks_better_than_at_random"
"""A test of the contract of losses that takes half a second for each."""


@pytest.hookimpl(tryfirst=True)  # before markers select
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what stands in the folders of `WHOLE`, and what trains by each loss.

    Simulations come last: they are short, and keep all cores busy to the end.
    """
    for item in items:
        folders = item.path.relative_to(CHECKOUT).parts
        if WHOLE.intersection(folders) or item.name.startswith(TRAINED):
            item.add_marker("slow")
    items.sort(key=lambda item: item.get_closest_marker("simulation") is not None)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the top of the checkout."""
    return CHECKOUT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real data sets, or skip where this machine has none."""
    folder = os.environ.get("ROBUSTBENCH_REC_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("ROBUSTBENCH_REC_DATA names no folder of real data sets")
    return Path(folder)


@pytest.fixture
def command(tmp_path):
    """Return a function that runs `robustbench-rec ARGUMENTS` in an empty folder."""

    def run(
        *arguments: object, cwd: Path = tmp_path, script: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        words = [*script, *map(str, arguments)] if script else command_line(*arguments)
        return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=600)

    return run


@pytest.fixture
def in_process(tmp_path, monkeypatch):
    """Return a function as `command` does, that runs in this process, trainings too."""
    monkeypatch.chdir(tmp_path)
    return run_here


@pytest.fixture(scope="session")
def readme_plugin(checkout) -> str:
    """Return the complete plugin file that the README shows."""
    text = (checkout / "README.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    (plugin,) = (block for block in blocks if "@PERTURBATIONS.add(" in block)
    return plugin
