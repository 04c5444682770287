"""The contract of a loss: settings, and a function of a batch of scores."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from robustbench_rec.components.registry import Registry
from robustbench_rec.components.settings import Component, setting
from robustbench_rec.interactions import IntArray, Interactions

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_rec.rows import RowFunction

Bound = float | Callable[[], "Tensor"]
"""A bound of a learned part: a number, or a function that returns it."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Training pairs, their negatives, and the scores of both.

    Most losses only need `pos` and `neg`.

    Attributes:
        pos: (B,) float, the score of each row's positive item.
        neg: (B, N) float, the scores of its N sampled negatives.
        users: (B,) int64, the user of each row.
        items: (B,) int64, its positive item.
        negatives: (B, N) integers, the items behind `neg`.
        user_vectors: (B, dim) float, the embedding of each row's user.
        item_vectors: (B, dim) float, the embedding of its positive. Both are not normalised, also
            if the score is a cosine.
        step: the number of earlier steps of the model.

    """

    pos: Tensor
    neg: Tensor
    users: Tensor
    items: Tensor
    negatives: Tensor
    user_vectors: Tensor
    item_vectors: Tensor
    step: int = 0

    def detached(self) -> Batch:
        """Return the batch with scores and embeddings as constants."""
        parts = ("pos", "neg", "user_vectors", "item_vectors")
        return replace(self, **{part: getattr(self, part).detach() for part in parts})

    def negative_scores(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the scores of the batch's negatives under other embeddings: products (B, N).

        Args:
            users: (n_users, d), one embedding a user.
            items: (n_items, d), one an item.

        """
        from robustbench_rec.kernels.scores import gathered_scores

        return gathered_scores(users.index_select(0, self.users), items, self.negatives)


class Objective(Protocol):
    """A loss bound to a data set: batch in, scalar out.

    An objective with learned parts declares `moves`, a sequence of `Move`, or `estimates`, a
    sequence of `Estimate`. An objective with a compiled form has `rows`, see `Rows`.
    """

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch: () float, the mean over its rows."""


@dataclass(frozen=True)
class Move:
    """Update rule for learned parts of an objective, by its gradient.

    Attributes:
        parameters: leaf tensors that require a gradient.
        lr: size of a step.
        when: "before": a separate step before each step of the model; the model is fixed in this
            step, and the parts are fixed in the model's step. "with": by the gradient of the
            model's step. "apart": in separate passes over the training pairs, with fixed model.
        optimizer: plain gradient steps, or Adam without weight decay.
        ascend: whether they maximise the loss, as an adversary does.
        of_model: whether `lr` is a multiple of the model's rate instead.
        rows: whether the gradient is of the mean or of the sum over the rows.
        low, high: bounds after each step, low first; a function returns a bound that depends on
            other parts, after the moves declared before this one.
        every: number of epochs between passes "apart".
        passes: the largest number of such passes.

    """

    parameters: Sequence[Tensor]
    lr: float
    when: Literal["before", "with", "apart"] = "before"
    optimizer: Literal["sgd", "adam"] = "sgd"
    ascend: bool = False
    of_model: bool = False
    rows: Literal["mean", "sum"] = "mean"
    low: Bound = -math.inf
    high: Bound = math.inf
    every: int = 1
    passes: int | float = math.inf

    def __post_init__(self) -> None:
        if not all(part.requires_grad and part.is_leaf for part in self.parameters):
            raise ValueError("Move.parameters has a tensor that is not a leaf with requires_grad")
        for name, allowed in MOVES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"Move.{name} is {getattr(self, name)!r}; it must be in {allowed}")
        if not 0 <= self.lr < math.inf:
            raise ValueError(f"Move.lr is {self.lr}; it must be finite and >= 0 (see `ascend`)")
        crossed = not (callable(self.low) or callable(self.high)) and self.low >= self.high
        if self.every < 1 or crossed:
            raise ValueError(
                f"Move has every {self.every}, low {self.low}, high {self.high}; "
                "every must be at least 1, and low below high"
            )


MOVES = {
    "when": ("before", "with", "apart"),
    "optimizer": ("sgd", "adam"),
    "rows": ("mean", "sum"),
}
"""Allowed values of a move."""


class View(Protocol):
    """The current model, without gradients, for an objective that estimates from it."""

    train: Interactions

    def scores(self, users: IntArray, items: IntArray) -> Tensor:
        """Return the score of each of n pairs: (n,)."""

    def batches(self, rows: IntArray) -> Iterator[Batch]:
        """Yield the training pairs at `rows`, in order, with N negatives each."""


@dataclass(frozen=True)
class Estimate:
    """A learned part without gradients: recomputed from the model at intervals.

    Attributes:
        update: recomputes it.
        every: number of epochs between updates; the first is before the first epoch.
        parts: the tensors it sets in place; values that are not finite are reported.

    """

    update: Callable[[View], None]
    every: int = 1
    parts: Sequence[Tensor] = ()


@dataclass(frozen=True)
class Rows:
    """The compiled form of a loss that is the mean over rows of a function of the row's scores.

    The call still defines the loss. On a CPU a training compares both, on its first batch, on
    made-up scores and at each evaluation, and uses this form, which is faster. The call is used on
    other devices, if the objective moves or estimates a part other than `own`, and if embeddings
    are not float32.

    Attributes:
        function: made by `robustbench_rec.rows.row_function`.
        settings: numbers, the same for every row.
        own: (n_users,) float32, a number for each user that the objective learns or estimates in
            place, such as a margin; None if there is none.

    Raises:
        TypeError: `function` was not made by `row_function`, or cannot be compiled; settings are
            not numbers; `own` has another shape or type.

    """

    function: RowFunction
    settings: Sequence[float] = ()
    own: Tensor | None = None

    def __post_init__(self) -> None:
        from robustbench_rec.rows import RowFunction

        if not isinstance(self.function, RowFunction):
            raise TypeError(
                f"Rows.function is {self.function!r}; it must be made by "
                "robustbench_rec.rows.row_function"
            )
        if not all(isinstance(value, (int, float)) for value in self.settings):
            raise TypeError(f"Rows.settings is {self.settings!r}; it must be a sequence of numbers")
        own = self.own
        if own is not None and (own.ndim != 1 or str(own.dtype) != "torch.float32"):
            raise TypeError(
                f"Rows.own is {own.dtype} of shape {tuple(own.shape)}; it must be float32, "
                "a number for each user"
            )
        self.function.compile()


def rows_of(objective: Objective) -> Rows | None:
    """Return the compiled form of an objective; None if it has none.

    A form inherited from a class with another call does not count.

    Raises:
        TypeError: `rows` is something else.

    """
    try:
        inspect.getattr_static(objective, "rows")
    except AttributeError:
        return None
    classes = type(objective).__mro__
    if "rows" not in getattr(objective, "__dict__", {}):
        owners = [next(c for c in classes if name in vars(c)) for name in ("rows", "__call__")]
        if classes.index(owners[1]) < classes.index(owners[0]):
            return None
    rows = objective.rows  # type: ignore[attr-defined]  # it has them
    if rows is not None and not isinstance(rows, Rows):
        raise TypeError(f"rows is {rows!r}; it must be a Rows, or None")
    return rows


@dataclass(frozen=True, kw_only=True)
class Loss(Component):
    """The settings of a loss, and, unless it learns parts, the loss itself.

    A subclass is a frozen dataclass, registered under a name, that overrides `__call__`; if it
    learns a part, or needs the size of the data, it overrides `bind` instead. It sees batches, and
    has no optimizer, device, initialisation or sampler.
    """

    n_negatives: int = setting(1, "sampled negatives N for each positive", at_least=1)
    score: Literal["cosine", "dot"] = setting("dot", "similarity of user and item embedding")

    learns: ClassVar[bool] = True
    """Whether it trains anything; False only for the loss of baselines, which nobody can choose."""

    @property
    def draws_negatives(self) -> bool:
        """Whether it samples negatives; otherwise contaminated negatives do not apply to it."""
        return self.n_negatives > 0

    @property
    def rows(self) -> Rows | None:
        """The compiled form of the call, if there is one; see `Rows`."""
        return None

    def bind(self, n_users: int, n_items: int) -> Objective:
        """Return the function of batches: the loss itself, unless it learns a part.

        A learning objective has `moves` or `estimates`, see `Objective`. Tensors made here without
        a device are on the device of the training; torch's random numbers follow its seed.
        """
        return self

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        raise NotImplementedError(f"{type(self).__name__} must override __call__ or bind")


def bound(loss: Loss, n_users: int, n_items: int, seed: int) -> Objective:
    """Bind a loss; torch's random numbers in the call follow a seed of 64 bits."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed >> 1)
        return loss.bind(n_users, n_items)


LOSSES: Registry[Loss] = Registry("loss", "robustbench_rec.losses")
