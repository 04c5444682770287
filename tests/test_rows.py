"""Row functions: how they are made, and what they may call."""

import hashlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from robustbench_rec import Rows, rows
from robustbench_rec.losses import _rows
from robustbench_rec.rows import row_function

WIDE = np.linspace(-86.5, 88, 400_001, dtype=np.float32)
"""Where e^x is a normal float32."""


def over(function, values):
    """Return a function of each value, computed in a loop that is vectorised."""

    @njit(fastmath=rows.SUMS)
    def loop(values, found):
        for n in range(values.size):
            found[n] = function(values[n])

    found = np.empty_like(values)
    loop(values, found)
    return found


@pytest.mark.parametrize(
    ("function", "exact", "values", "error"),
    [
        (rows.exp, np.exp, WIDE, 1e-7),
        (rows.softplus, lambda x: np.logaddexp(0, x), WIDE, 3e-7),
        (rows.sigmoid, lambda x: 1 / (1 + np.exp(-x)), WIDE, 2e-7),
        (rows.log, np.log, np.exp(WIDE[WIDE != 0]), 3e-7),
    ],
)
def test_functions_are_exact_to_float32_over_its_range(function, exact, values, error):
    expected = exact(values.astype(np.float64))
    given = expected != 0
    away = np.abs(over(function, values)[given] / expected[given] - 1)
    assert away.max() < error


def test_at_the_ends_functions_are_what_they_should_be():
    bad, most = np.float32("nan"), np.float32("inf")
    for function in (rows.exp, rows.log, rows.relu, rows.softplus, rows.sigmoid):
        assert math.isnan(function(bad))
    at = np.float32([-most, -89, 0, 89, most])
    assert over(rows.exp, at).tolist() == [0, 0, 1, most, most]
    assert over(rows.softplus, at).tolist() == [0, 0, np.float32(math.log(2)), 89, most]
    assert over(rows.sigmoid, at).tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 1000])
def test_largest_is_the_largest_wherever_it_stands(n):
    values = np.random.default_rng(0).normal(size=n).astype(np.float32) - 5
    for turn in range(min(n, 20)):
        assert rows.largest(np.roll(values, turn)) == values.max()


def test_a_row_function_that_cannot_be_compiled_is_named_in_one_line():
    def mine(scores, slopes, settings, own):
        return unknown(scores), own  # noqa: F821  # meant

    with pytest.raises(TypeError, match=r"^row function mine: .*unknown") as told:
        row_function(mine).compile()
    assert "\n" not in str(told.value)


def test_a_row_function_returns_loss_and_slope():
    def mine(scores, slopes, settings, own):
        return scores[0]

    with pytest.raises(TypeError, match=r"^row function mine: cannot be compiled: "):
        row_function(mine).compile()


def test_code_compiled_with_another_version_of_what_it_may_call_is_never_used():
    """The name of its file holds a digest of ours."""
    digest = hashlib.sha256(Path(rows.__file__).read_bytes()).hexdigest()[:8]
    for function in (_rows.softmax.function, _rows._log_sum_exp.py_func):
        assert function.__qualname__.endswith(f"_{digest}")
    _rows.bpr.compile()
    assert digest in str(_rows.bpr._compiled._cache.cache_path) + str(
        [path.name for path in Path(_rows.bpr._compiled._cache.cache_path).glob("_rows.bpr*.nbi")]
    )


def test_a_function_that_was_not_compiled_is_refused():
    with pytest.raises(TypeError, match=r"Rows.function is .*; it must be made by .*row_function"):
        Rows(lambda scores, slopes, settings, own: (0.0, 0.0))


def test_a_row_function_may_be_called_as_it_is_written():
    scores, slopes = np.float32([0.5, 0.1, 0.7]), np.zeros(3, dtype=np.float32)
    value, by_own = _rows.ccl(scores, slopes, np.array([0.4, 2.0]), np.float32(0))
    assert (value, by_own) == (pytest.approx(0.5 + 0.3), 0)
    np.testing.assert_allclose(slopes, [-1, 0, 1])


BITS = """
import hashlib
import numpy as np
from robustbench_rec.kernels.compiled import row_losses
from robustbench_rec.losses import _rows
from robustbench_rec.rows import RowFunction

scores = np.random.default_rng(0).uniform(-1, 1, (64, 33)).astype(np.float32)
settings = np.array([0.2, 0.5, 0.3, 1.5, 0.4, 0.6, 0.1, 1.0])
own = np.full(64, 0.5, dtype=np.float32)
for name, function in vars(_rows).items():
    if isinstance(function, RowFunction):
        slopes = np.zeros_like(scores)
        values, own_slopes = np.zeros((2, 64), dtype=np.float32)
        function.compile()
        row_losses(function, settings, own, scores, slopes, values, own_slopes)
        arrays = slopes.tobytes() + values.tobytes() + own_slopes.tobytes()
        print(name, hashlib.sha256(arrays).hexdigest())
"""
"""Prints a digest of what each row function of ours gives."""


@pytest.mark.slow
def test_the_process_that_compiles_gets_the_bits_of_those_that_load(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    words = [sys.executable, "-c", BITS]
    compiled, loaded = (
        subprocess.run(words, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    functions = [one for one in vars(_rows).values() if isinstance(one, rows.RowFunction)]
    assert len(loaded.splitlines()) == len(functions) > 0
    assert compiled == loaded
