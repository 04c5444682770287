"""For authors of losses: a loss of one row at a time, compiled, with its slopes.

A row function takes the scores of one row, fills in the derivative of its loss by each score, and
returns the loss. This form is optional: see `Loss.rows`. It trains faster, because a row's scores
stay in the cache. The torch form still defines the loss.

    @row_function
    def mine(scores, slopes, settings, own):
        margin = np.float32(settings[0])
        n_negatives = np.float32(scores.size - 1)
        value = np.float32(0)
        for n in range(1, scores.size):
            value += relu(scores[n] - scores[0] + margin) / n_negatives
            slopes[n] = ...
        slopes[0] = ...
        return value, np.float32(0)

A row function cannot raise, and an index beyond the given settings is not detected. Imports numba:
import it late, or from a module that is itself imported late. The compiled code of a row function
is stored on disk, see `compiling.code_folder`, and compiled again when its file or this one
changes. If it calls compiled functions of another file of yours, delete the stored code after a
change there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import cfunc, float32, float64, types
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from robustbench_rec.compiling import kept_privately, njit

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
LossAndSlope = tuple[np.float32, np.float32]
Function = TypeVar("Function", bound=Callable[..., Any])
Row = Callable[[Floats, Floats, Doubles, np.float32], LossAndSlope]
SUMS = {"reassoc", "contract", "nsz"}
"""Options that allow vectorised sums; infinite and undefined values keep their meaning."""
ROW = types.UniTuple(float32, 2)(float32[::1], float32[::1], float64[::1], float32)  # type: ignore[no-untyped-call]  # numba is
"""The type of a row function: (scores (1 + N,), slopes (1 + N,), settings (S,), own) ->
(loss, its derivative by own)."""

# Numbers are float32 throughout: one of 64 bits would take the whole loop with it.
ZERO, HALF, ONE, TWO = (np.float32(value) for value in (0, 0.5, 1, 2))
LOG2_E = np.float32(1 / math.log(2))
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(math.log(2) - 0.693359375)
"""Their sum is ln 2; the product of the first with a whole number below 2^14 is exact."""
LEAST, MOST = np.float32(-88), np.float32(89)
"""Beyond these e^x is 0 and infinite."""
E2, E3, E4, E5, E6, E7 = (np.float32(1 / math.factorial(k)) for k in range(2, 8))
T3, T5, T7, T9, T11, T13 = (np.float32(1 / k) for k in range(3, 14, 2))
ROOT_HALF = np.int32(0x3F3504F3)
"""The bits of sqrt(1/2)."""
STAMP = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
ONLY_FRACTION = np.int32(0x7FFFFF)


def stamped(function: Function) -> Function:
    """Add a digest of this file to the name of a function, which names its compiled code.

    So code compiled with another version of this file is never used again.
    """
    function.__qualname__ = f"{function.__qualname__}_{STAMP}"
    return function


def row_helper(function: Function) -> Function:
    """Compile a function for use in row functions; it may use the functions of this module."""
    return njit(cache=True, fastmath=SUMS, error_model="numpy", forceinline=True)(stamped(function))


class RowFunction(types.WrapperAddressProtocol):
    """A row function, compiled at first use; compiled code calls it by its address.

    Args:
        function: a function of `scores` (1 + N,) float32, the positive's first; `slopes` (1 + N,)
            float32, to be filled completely; `settings` (S,) float64, given by the loss; and `own`
            float32, the learned number of the row's user, 0 if the loss has none. It returns the
            row's loss and its derivative by `own`, both float32.

    """

    def __init__(self, function: Row) -> None:
        self.function = stamped(function)
        self.name = function.__name__
        self._compiled: Any = None

    def __call__(
        self, scores: Floats, slopes: Floats, settings: Doubles, own: np.float32
    ) -> LossAndSlope:
        """Call the Python function, without compilation."""
        return self.function(scores, slopes, settings, own)

    def compile(self) -> None:
        """Compile it, unless it is compiled.

        Raises:
            TypeError: it cannot be compiled, as numba says.

        """
        if self._compiled is not None:
            return
        compiler = cfunc(ROW, cache=True, fastmath=SUMS, error_model="numpy")
        try:
            with kept_privately():
                self._compiled = compiler(self.function)
        except NumbaError as error:
            told = " ".join(str(error).partition("frontend)")[2].split()) or type(error).__name__
            raise TypeError(f"row function {self.name}: cannot be compiled: {told}") from None

    def __wrapper_address__(self) -> int:
        """Return the address, for numba."""
        self.compile()
        return int(self._compiled.address)

    def signature(self) -> Any:
        """Return the type, for numba."""
        return ROW


row_function = RowFunction
"""The decorator of row functions."""


# Without "reassoc", which would undo the splitting of ln 2. All helpers are inlined by force: the
# process that compiles a row function would else call the helpers' own code, which is optimised
# differently, so its last bits would differ from those of processes that load the row function.
_elementwise = njit(cache=True, fastmath={"contract"}, error_model="numpy", forceinline=True)


@_elementwise
def relu(x: np.float32) -> np.float32:
    """Return x, or 0 if x is negative."""
    return ZERO if x < ZERO else x  # not a number stays so


@_elementwise
def exp(x: np.float32) -> np.float32:
    """Return e^x to 1e-7 of it; infinite above 88.3, where float32 ends."""
    x = LEAST if x < LEAST else x  # not a number stays so
    x = MOST if x > MOST else x
    n: np.float32 = np.floor(x * LOG2_E + HALF)
    r = (x - n * LN2_HIGH) - n * LN2_LOW  # x = n ln 2 + r
    y = ONE + r * (ONE + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * (E6 + r * E7))))))
    return y * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@_elementwise
def log(x: np.float32) -> np.float32:
    """Return ln x to 2e-7 of it, for a positive normal x; nan for other x."""
    above = np.int32(np.float32(x).view(np.int32) - ROOT_HALF)
    n = np.float32(np.int32(above >> np.int32(23)))
    m = np.int32((above & ONLY_FRACTION) + ROOT_HALF).view(np.float32)  # x = 2^n m
    s = (m - ONE) / (m + ONE)
    z = s * s
    series = TWO * s * (ONE + z * (T3 + z * (T5 + z * (T7 + z * T9))))
    return n * LN2_HIGH + (series + n * LN2_LOW) + (x - x)  # the last is 0, or not a number


@_elementwise
def softplus(x: np.float32) -> np.float32:
    """Return log(1 + e^x) to 2e-7 of it."""
    e = exp(-abs(x))
    s = e / (TWO + e)
    z = s * s
    rest = ONE + z * (T3 + z * (T5 + z * (T7 + z * (T9 + z * (T11 + z * T13)))))
    return relu(x) + TWO * s * rest


@_elementwise
def sigmoid(x: np.float32) -> np.float32:
    """Return 1 / (1 + e^-x) to 2e-7 of it."""
    e = exp(-abs(x))
    return (ONE if x > ZERO else e) / (ONE + e)


@njit(cache=True, fastmath=SUMS | {"nnan"}, forceinline=True)
def largest(values: Floats) -> np.float32:
    """Return the largest of (n,), n at least 1; undefined if any is nan."""
    top: np.float32 = values[0]
    for value in values:
        if value > top:
            top = value
    return top
