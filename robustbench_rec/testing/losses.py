"""The contract of losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from robustbench_rec.components.backbone import BACKBONES
from robustbench_rec.components.loss import Batch, Loss, bound, rows_of
from robustbench_rec.evaluation.ranking import evaluate
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing.clauses import (
    ClauseError,
    DoesNotApply,
    first_where,
    require,
    require_words,
)
from robustbench_rec.testing.toys import toy_split
from robustbench_rec.training.config import TrainConfig
from robustbench_rec.training.fit import fit
from robustbench_rec.training.row_form import RowForm

CLOSE = 1e-6
"""Largest relative difference of a compiled form from the call."""


def batch_of(pos: Tensor, neg: Tensor, users: Tensor | None = None, step: int = 0) -> Batch:
    """Make a batch from scores: users 0 to B - 1 by default, items below 9, any embeddings.

    Args:
        pos: (B,).
        neg: (B, N).
        users: (B,) int64.
        step: steps taken before.

    """
    n_rows, n_slots = neg.shape
    rng = rng_for(0, "batch", n_rows, n_slots)
    vectors = torch.as_tensor(rng.normal(size=(2, n_rows, 4)), dtype=pos.dtype)
    return Batch(
        pos=pos,
        neg=neg,
        users=torch.arange(n_rows) if users is None else users,
        items=torch.as_tensor(rng.integers(9, size=n_rows)),
        negatives=torch.as_tensor(rng.integers(9, size=(n_rows, n_slots))),
        user_vectors=vectors[0],
        item_vectors=vectors[1],
        step=step,
    )


class LossContract:
    """The contract of a loss; subclass it and set yours.

    Attributes:
        loss: the loss under test, with its settings.

    """

    loss: ClassVar[Loss]

    def scores(self, n: int, rows: int = 4) -> tuple[Tensor, Tensor]:
        """Return random cosine-range scores (rows,) and (rows, n) in double precision."""
        rng = rng_for(0, "scores", n)
        pos = torch.tensor(rng.uniform(-0.9, 0.9, rows), requires_grad=True)
        neg = torch.tensor(rng.uniform(-0.9, 0.9, (rows, n)), requires_grad=True)
        return pos, neg

    def look_at_scores(self) -> None:
        """Skip a clause about scores if the loss uses embeddings alone."""
        if not self.loss.draws_negatives:
            raise DoesNotApply("it draws no negatives, so scores need not matter to it")

    def value(self, pos: Tensor, neg: Tensor, users: Tensor | None = None) -> Tensor:
        """Return the loss, newly bound, of a batch with these scores."""
        batch = batch_of(pos, neg, users)
        return bound(self.loss, n_users=len(pos), n_items=9, seed=0)(batch)

    def gradients(self, pos: Tensor, neg: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return value and gradients by both kinds of score."""
        self.look_at_scores()
        value, where = self.value(pos, neg), f"of {len(pos)} rows and {_negatives(neg)}"
        shape = getattr(value, "shape", None)
        require(shape == (), f"{where}: it returns {_kind(value)}, not a tensor of shape ()")
        require(
            value.requires_grad,
            f"{where}: its value has no gradient; it may be detached, or computed outside torch",
        )
        by_pos, by_neg = torch.autograd.grad(value, (pos, neg), allow_unused=True)
        for slopes, name in ((by_pos, "positives"), (by_neg, "negatives")):
            require(slopes is not None, f"{where}: the scores of {name} do not matter to it")
        return value, by_pos, by_neg

    def test_says_what_it_is(self) -> None:
        """It has a registered name, a docstring, and a source."""
        require(self.loss.name, "it has no name: register it by @LOSSES.add(name)")
        require_words(type(self.loss))
        require(self.loss.source, "it has no source: name the paper and equation, or the reason")

    def test_is_a_finite_scalar(self) -> None:
        """It is one finite number, with finite derivatives by all scores."""
        for n in (1, 2, 1000):
            pos, neg = self.scores(n)
            _require_finite(self.gradients(pos, neg), f"with {_negatives(neg)}")

    def test_is_finite_at_extreme_scores(self) -> None:
        """It stays finite if all scores are as large as possible."""
        largest = 1.0 if self.loss.score == "cosine" else 1e4
        for n in (1, 1000):
            for sign in (-1, 1):
                pos = torch.full((2,), -sign * largest, requires_grad=True)
                neg = torch.full((2, n), sign * largest, requires_grad=True)
                found = self.gradients(pos, neg)
                where = f"positives score {-sign * largest:g}, {_negatives(neg)} {sign * largest:g}"
                _require_finite(found, where)

    def test_pulls_positives_up_and_pushes_negatives_down(self) -> None:
        """A higher score of a positive never raises the loss, of a negative never lowers it."""
        for n in (1, 7):
            pos, neg = self.scores(n)
            _, by_pos, by_neg = self.gradients(pos, neg)
            where = f"with {_negatives(neg)}"
            if at := first_where(by_pos <= 0):
                raise ClauseError(
                    f"{where} a higher score of the positive raises the loss: "
                    f"slope {float(by_pos[at]):.3g} in row {at[0]}"
                )
            if at := first_where(by_neg >= 0):
                raise ClauseError(
                    f"{where} a higher score of a negative lowers the loss: "
                    f"slope {float(by_neg[at]):.3g} in row {at[0]}, slot {at[1]}"
                )
            require(by_pos.min() < 0, f"{where} no positive is pulled up: all slopes are 0")
            require(by_neg.max() > 0, f"{where} no negative is pushed down: all slopes are 0")

    def test_gradient_is_the_derivative(self) -> None:
        """Its gradient equals the finite differences of its value."""
        self.look_at_scores()
        try:
            torch.autograd.gradcheck(self.value, self.scores(5))
        except RuntimeError as error:
            first, *_ = str(error).splitlines()
            raise ClauseError(f"the gradient is not the derivative: {first}") from None

    def test_the_compiled_form_is_the_loss(self) -> None:
        """A compiled form (`rows`), if any, has the call's value and derivatives."""
        objective = bound(self.loss, n_users=4, n_items=9, seed=0)
        rows = rows_of(objective)
        if rows is None:
            raise DoesNotApply("it has no compiled form (rows)")
        learned = [part for part in (rows.own,) if part is not None and part.requires_grad]
        for n in (1, 7, 200):
            form, (pos, neg) = RowForm(rows, n_users=4), self.scores(n)
            single = torch.cat([pos.unsqueeze(1), neg], dim=1).detach().float().requires_grad_()
            got = form.loss.of_scores(single, form.own(torch.arange(4)))
            scores = single.detach().double().requires_grad_()
            expected = objective(batch_of(scores[:, 0], scores[:, 1:], torch.arange(4)))
            mine, called = float(got.detach()), float(expected.detach())
            require(
                abs(mine - called) <= CLOSE * (1 + abs(called)),
                f"with {_negatives(neg)} its value is {mine:.7g}, that of its call {called:.7g}",
            )
            slopes = torch.autograd.grad(got, [single, *learned])
            derivatives = torch.autograd.grad(expected, [scores, *learned])
            largest = max(float(derivative.abs().max()) for derivative in derivatives)
            for slope, derivative in zip(slopes, derivatives, strict=True):
                away = float((slope.double() - derivative).abs().max())
                require(
                    away <= CLOSE * largest,
                    f"with {_negatives(neg)} its slopes are not the derivative of its call: "
                    f"{away:.3g} apart, where the largest is {largest:.3g}",
                )

    def test_rows_are_averaged(self) -> None:
        """A batch with each row twice has the same loss."""
        self.look_at_scores()
        pos, neg = self.scores(3)
        objective = bound(self.loss, n_users=4, n_items=9, seed=0)
        once = batch_of(pos, neg, torch.arange(4))
        parts = ("pos", "neg", "users", "items", "negatives", "user_vectors", "item_vectors")
        doubled: dict[str, Any] = {part: torch.cat([getattr(once, part)] * 2) for part in parts}
        one, two = (float(objective(held).detach()) for held in (once, replace(once, **doubled)))
        require(
            np.isclose(one, two, rtol=1e-5, atol=1e-8),
            f"of 4 rows it is {one:.6g}, of each of them twice {two:.6g}; is it a sum?",
        )

    def test_trained_by_it_a_model_ranks_better_than_at_random(self) -> None:
        """After twenty passes over a small split, embeddings rank better than random ones."""
        split = toy_split()
        config = TrainConfig(epochs=20, batch_size=64, lr=0.02, eval_every=5, patience=0)
        model = fit(split, BACKBONES["mf"](dim=8), self.loss, config, seed=0)
        random = BACKBONES["random"]().build(split.train, torch.Generator().manual_seed(0))()
        trained, drawn = (
            evaluate(users, items, split.test, split.seen, [10], ["ndcg"])
            .per_user["ndcg@10"]
            .mean()
            for users, items in ((model.users, model.items), random)
        )
        require(
            trained > drawn,
            f"NDCG@10 is {trained:.3f} after training, and {drawn:.3f} at random",
        )


def _negatives(neg: Tensor) -> str:
    n = neg.shape[1]
    return "1 negative" if n == 1 else f"{n} negatives"


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return type(value).__name__


def _require_finite(found: tuple[Tensor, Tensor, Tensor], where: str) -> None:
    """Raise ClauseError if a loss or its derivatives are not finite."""
    value, by_pos, by_neg = found
    require(value.isfinite(), f"{where}: the loss is {float(value.detach())}")
    for slopes, name in ((by_pos, "positive"), (by_neg, "negative")):
        if (at := first_where(slopes.isfinite())) is not None:
            raise ClauseError(
                f"{where}: its derivative by the score of a {name} is {float(slopes[at])} "
                f"in row {at[0]}"
            )
