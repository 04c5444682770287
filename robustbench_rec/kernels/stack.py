"""A few sums on the stack, for compiled loops over many vectors.

Nothing else can lie where they do, and the compiler knows it. In memory that it is given, each pass
over a few vectors would begin by comparing the places of all of them.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import carray, njit, types  # type: ignore[attr-defined]  # numba does export it
from numba.core import cgutils
from numba.extending import intrinsic

TILE = 64
"""How many there are: dimensions of a vector that are summed at a time."""


@intrinsic
def _place(typing_context: Any) -> Any:
    """Return a pointer to TILE float32 on the stack of whoever it is inlined into."""

    def allocate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = cgutils.alloca_once(builder, ir.ArrayType(ir.FloatType(), TILE))  # type: ignore[no-untyped-call]
        return builder.bitcast(place, ir.FloatType().as_pointer())

    return types.CPointer(types.float32)(), allocate  # type: ignore[no-untyped-call]


@njit(inline="always")
def tile_of_sums() -> Any:
    """Return TILE float32 on the caller's stack, not yet set."""
    return carray(_place(), TILE)  # type: ignore[call-arg]  # numba hands over the context
