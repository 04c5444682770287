"""Compiled code: kept where its user alone can write, or in a folder of this run."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import platformdirs
import pytest

from robustbench_rec import compiling
from robustbench_rec.compiling import CHOSEN, kept_privately, njit


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Return where the user's own cache would be, with nothing chosen and nothing known."""
    monkeypatch.delenv(CHOSEN, raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path / "robustbench-rec" / "compiled"


def fresh_folder() -> tuple[Path, str]:
    return compiling.code_folder.__wrapped__()


def test_the_users_own_cache_is_made_for_them_alone(own):
    assert fresh_folder() == (own, "")
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert fresh_folder() == (own, "")


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_may_write_is_not_used(own, mode, monkeypatch):
    own.mkdir(parents=True)
    own.chmod(mode)
    folder, told = fresh_folder()
    monkeypatch.setenv(CHOSEN, os.environ.pop(CHOSEN))
    assert folder not in (own, *own.parents)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert told.startswith(f"{own} cannot hold compiled code safely, so code is compiled again")
    assert fresh_folder() == (folder, "")  # as a process that this one starts finds it


def test_what_is_no_folder_is_not_used(own, monkeypatch):
    own.parent.mkdir()
    own.write_text("a file")
    folder, told = fresh_folder()
    monkeypatch.setenv(CHOSEN, os.environ.pop(CHOSEN))
    assert folder.is_dir()
    assert "set NUMBA_CACHE_DIR to a folder that only you can write" in told


def test_a_folder_that_the_user_chose_is_used_as_it_is(own, tmp_path, monkeypatch):
    monkeypatch.setenv(CHOSEN, str(tmp_path / "mine"))
    assert fresh_folder() == (tmp_path / "mine", "")


def test_numba_is_told_for_our_code_alone(tmp_path, monkeypatch):
    before = numba.config.CACHE_DIR
    monkeypatch.setattr(compiling, "code_folder", lambda: (tmp_path, ""))
    with kept_privately():
        assert str(tmp_path) == numba.config.CACHE_DIR
    assert before == numba.config.CACHE_DIR
    twice = njit(cache=True)(_twice)
    assert twice(np.float64(3)) == 6
    assert list(tmp_path.rglob("*.nbc"))


def _twice(x):
    return 2 * x


def test_a_training_imports_no_scipy_and_compiled_code_can_still_multiply_matrices():
    program = (
        "import sys, numba, numpy; from robustbench_rec import BACKBONES, LOSSES;"
        "from robustbench_rec.testing import toy_split;"
        "from robustbench_rec.training import config, fit;"
        "once, mf = config.TrainConfig(epochs=1), BACKBONES['mf'](dim=8);"
        "fit.fit(toy_split(), mf, LOSSES['bpr'](), once, 0);"
        "assert 'scipy.linalg' not in sys.modules;"
        "product = numba.njit(lambda one, other: one @ other);"
        "assert (product(numpy.ones((2, 3)), numpy.ones((3, 2))) == 3).all();"
        "assert 'scipy.linalg' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=600).returncode == 0
