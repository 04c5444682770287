"""The compiled form of a loss in a training: used on a CPU, after a comparison with the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from robustbench_rec.components.loss import Batch, Objective, Rows
from robustbench_rec.kernels.row_losses import RowLoss

CLOSE = 1e-3
"""Largest relative difference of both forms, in loss and in slopes; 32 bits need 1e-6."""


class RowForm:
    """The compiled form of an objective, for batches of any size B.

    Args:
        rows: the form that the objective declares.
        n_users: the number of users of the data set.

    Raises:
        ValueError: `own` does not have a number for each user.

    """

    def __init__(self, rows: Rows, n_users: int) -> None:
        if rows.own is not None and len(rows.own) != n_users:
            raise ValueError(f"Rows.own has {len(rows.own)} numbers; there are {n_users} users")
        self.loss = RowLoss(rows.function, np.array(rows.settings, dtype=np.float64))
        self.numbers = rows.own

    def own(self, who: Tensor) -> Tensor:
        """Return the own number of each row (B,), differentiable; zeros if there is none."""
        if self.numbers is None:
            return torch.zeros(len(who))
        return self.numbers.index_select(0, who)

    def refuse_unless_equal(self, call: Objective, batch: Batch, name: str) -> None:
        """Compare the form with the objective's call, and with its derivatives.

        It is compared on the scores of a batch, and on made-up scores for the same rows, because
        all scores of an untrained model are near 0.

        Args:
            call: the loss as it is defined.
            batch: a batch whose scores have no gradients.
            name: the name of the loss, for the error.

        Raises:
            ValueError: they differ by more than `CLOSE`.

        """
        self._hold(call, batch, name)
        drawn = torch.rand(len(batch.pos), 1 + batch.neg.shape[1], generator=_seeded()) * 2 - 1
        self._hold(call, replace(batch, pos=drawn[:, 0], neg=drawn[:, 1:].contiguous()), name)

    def _hold(self, call: Objective, batch: Batch, name: str) -> None:
        learned = [part for part in (self.numbers,) if part is not None and part.requires_grad]
        scores = torch.cat([batch.pos.detach()[:, None], batch.neg.detach()], dim=1)  # (B, 1 + N)
        scores.requires_grad_()
        ours = self.loss.of_scores(scores, self.own(batch.users))
        theirs = call(replace(batch, pos=scores[:, 0], neg=scores[:, 1:]))
        by_ours, by_theirs = (
            torch.autograd.grad(value, [scores, *learned], materialize_grads=True)
            for value in (ours, theirs)
        )
        if not (ours.isfinite() or theirs.isfinite()):
            return  # the training tells of that
        value, expected = float(ours.detach()), float(theirs.detach())
        if not abs(value - expected) <= CLOSE * max(1.0, abs(expected)):
            raise ValueError(
                f"{name}: its compiled form (rows) gives a loss of {value:.6g} where its call "
                f"gives {expected:.6g}"
            )
        kinds = ("scores", "the numbers that it learns")
        total = sum(float(part.abs().sum()) for part in by_theirs) or 1.0
        for kind, one, other in zip(kinds, by_ours, by_theirs, strict=False):
            away = float((one - other).abs().sum()) / total
            if not away <= CLOSE:
                raise ValueError(
                    f"{name}: the slopes of its compiled form (rows) by {kind} differ by "
                    f"{100 * away:.3g}% from the derivative of its call"
                )


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)
