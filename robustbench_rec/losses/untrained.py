"""No loss: for backbones without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustbench_rec import LOSSES, Loss


@LOSSES.add("untrained")
@dataclass(frozen=True, kw_only=True)
class Untrained(Loss):
    """Placeholder loss in the cells of a baseline, such as `popularity`: it trains nothing."""

    learns: ClassVar[bool] = False
    source: ClassVar[str] = "a name for what is not there"
