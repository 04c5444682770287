"""What a loss is: settings, and a function of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from robustbench_rec.registry import Registry
from robustbench_rec.settings import Component, setting

if TYPE_CHECKING:
    from torch import Tensor


class Objective(Protocol):
    """A loss bound to a data set: scores in, scalar out."""

    def __call__(self, pos: Tensor, neg: Tensor, users: Tensor) -> Tensor:
        """Return the loss of a batch.

        Args:
            pos: (B,) float, the score of each row's positive item.
            neg: (B, N) float, the scores of its N sampled negatives.
            users: (B,) int64, the user of each row.

        Returns:
            () float, the mean over the rows.

        """


@dataclass(frozen=True)
class Move:
    """How learned parts of an objective move: one plain gradient step before the model's.

    The step is taken on detached scores, so that only the named parameters move in it; the
    model's own step follows with those parameters held fixed.

    Attributes:
        parameters: leaf tensors that require a gradient.
        lr: size of the step.
        rows: whether the step follows the gradient of the mean or of the sum over the rows.

    """

    parameters: Sequence[Tensor]
    lr: float
    rows: Literal["mean", "sum"] = "mean"


class Learned(Objective, Protocol):
    """An objective with parts of its own that move while the model trains."""

    moves: Sequence[Move]


@dataclass(frozen=True, kw_only=True)
class Loss(Component):
    """The settings of a loss, and, unless it learns, the loss itself.

    A subclass is a frozen dataclass, registered under a name, that overrides `__call__`; one that
    learns a part overrides `bind` instead. It sees scores and user ids, and owns no optimizer,
    device, initialisation or sampler.
    """

    n_negatives: int = setting(1, "sampled negatives N for each positive", at_least=1)
    score: Literal["cosine", "dot"] = setting("dot", "similarity of user and item embedding")

    def bind(self, n_users: int, n_items: int) -> Objective | Learned:
        """Return what is called with scores: the loss itself, unless it learns a part.

        Tensors made here without naming a device are on the device of the training.
        """
        return self

    def __call__(self, pos: Tensor, neg: Tensor, users: Tensor) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        raise NotImplementedError(f"{type(self).__name__} must override __call__ or bind")


LOSSES: Registry[Loss] = Registry("loss", "robustbench_rec.losses")
