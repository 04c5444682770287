"""Training: a model, a loss and their learned parts, up to the best epoch on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from robustbench_rec.components.backbone import Backbone
from robustbench_rec.components.loss import Batch, Estimate, Loss, bound, rows_of
from robustbench_rec.errors import one_line
from robustbench_rec.evaluation.ranking import evaluate
from robustbench_rec.interactions import BoolArray, IntArray, Split
from robustbench_rec.kernels.scores import apart, trusted_scores
from robustbench_rec.seeds import rng_for, seed_for
from robustbench_rec.training.config import SELECT_AT, TrainConfig
from robustbench_rec.training.diagnostics import (
    PROBE,
    cut,
    known_false_negatives,
    probed_rows,
    push,
    slopes_of,
    weight_diagnostics,
)
from robustbench_rec.training.optimizers import Adam, Mover
from robustbench_rec.training.row_form import RowForm
from robustbench_rec.training.sampling import NegativeSampler, with_negatives

PAIRS_AT_ONCE = 1 << 16
"""Pairs scored at once if a loss needs many; with 64 dimensions they take 3 x 16 MiB."""


Drawn = tuple[Tensor, Tensor]
"""The items of training pairs (B, 1 + N), the positive's first, and their users (B,)."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A trained model, at its best epoch.

    Attributes:
        users: (n_users, dim) embeddings, normalised if the score is a cosine.
        items: (n_items, dim), in the same way.
        best_epoch: the epoch of the embeddings, from 1; 0 if nothing is trained.
        history: (epoch, validation NDCG@20) of each evaluation.
        diagnostics: (epoch, diagnostics) of each evaluation, see `diagnostics.weight_diagnostics`.
        seconds: the seconds of "validation" and "diagnostics" within the training.

    """

    users: Tensor
    items: Tensor
    best_epoch: int
    history: tuple[tuple[int, float], ...] = ()
    diagnostics: tuple[tuple[int, dict[str, float]], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


def fit(
    split: Split,
    backbone: Backbone,
    loss: Loss,
    config: TrainConfig,
    seed: int,
    device: str = "cpu",
    clean: Split | None = None,
    after_epoch: Callable[[int], None] = lambda _: None,
) -> Fit:
    """Train a backbone with a loss; return it at its best epoch by validation NDCG@20.

    Pairs of users who have met every item are not used, because such users have no negatives; a
    graph still includes them.

    Args:
        split: the (possibly perturbed) split; `test` is not used.
        backbone: the backbone; a baseline is returned as built.
        loss: the loss.
        config: the training settings.
        seed: the seed of initial embeddings, batches and negatives; equal for every loss, and on
            every device.
        device: the device of the model: "cpu", "cuda", "cuda:1".
        clean: the clean split, from which diagnostics take false negatives and the same probe at
            every level. `split` itself if None.
        after_epoch: called with each evaluated epoch.

    Raises:
        FloatingPointError: scores, loss or learned parts became infinite or not a number; the
            message names epoch, loss, and the step if known.
        ValueError: there are no training pairs or no validation pairs.

    """
    if not len(split.valid) or not len(split.train):
        raise ValueError("training needs at least one training and one validation pair")
    generator = torch.Generator().manual_seed(seed_for(seed, "init") >> 1)
    module = backbone.build(split.train, generator).to(device)
    if not backbone.learns:
        users, items = module()
        baseline = Fit(users, items, best_epoch=0)
        return replace(baseline, history=((0, _validation_ndcg(baseline, split)),))
    trainer = Trainer(module, with_negatives(split), loss, config, seed, clean or split)
    best: Fit | None = None
    history: list[tuple[int, float]] = []
    measured: list[tuple[int, dict[str, float]]] = []
    seconds = {"validation": 0.0, "diagnostics": 0.0}
    for epoch in range(1, config.epochs + 1):
        trainer.run_epoch(epoch)
        if epoch % config.eval_every and epoch != config.epochs:
            continue
        now, started = trainer.snapshot(epoch), time.perf_counter()
        history.append((epoch, _validation_ndcg(now, split)))
        validated = time.perf_counter()
        measured.append((epoch, trainer.diagnostics(now)))
        seconds["validation"] += validated - started
        seconds["diagnostics"] += time.perf_counter() - validated
        if best is None or history[-1][1] > max(value for _, value in history[:-1]):
            best = now
        after_epoch(epoch)
        if config.patience and _evaluations_since_best(history) >= config.patience:
            break
    assert best is not None  # the last epoch is always evaluated
    return replace(best, history=tuple(history), diagnostics=tuple(measured), seconds=seconds)


def _validation_ndcg(model: Fit, split: Split) -> float:
    ranking = evaluate(model.users, model.items, split.valid, split.seen, [SELECT_AT], ["ndcg"])
    return float(ranking.per_user[f"ndcg@{SELECT_AT}"].mean())


def _evaluations_since_best(history: Sequence[tuple[int, float]]) -> int:
    values = [value for _, value in history]
    return len(values) - 1 - values.index(max(values))


class Trainer:
    """The state of one training: module, objective, optimizers, sampler, generators."""

    def __init__(
        self,
        module: nn.Module,
        split: Split,
        loss: Loss,
        config: TrainConfig,
        seed: int,
        clean: Split | None = None,
    ) -> None:

        self.module, self.loss, self.config = module, loss, config
        self.train = split.train
        self.parameters = list(module.parameters())
        self.auxiliary: Callable[[Tensor, Tensor], Tensor] | None
        self.auxiliary = getattr(module, "auxiliary", None)
        self.device = self.parameters[0].device
        with self.device:
            self.objective = bound(loss, split.n_users, split.n_items, seed_for(seed, "loss"))
        self.optimizer = Adam(self.parameters, config.lr, config.weight_decay, config.eps)
        moves = getattr(self.objective, "moves", ())
        self.movers = [Mover(move, config.lr) for move in moves]
        self.estimates: Sequence[Estimate] = getattr(self.objective, "estimates", ())
        self.form = self._row_form()
        self.order = rng_for(seed, "order")
        self.splits = (clean or split, split)
        self.probed = probed_rows(*self.splits, rng_for(seed, "probe"))
        self.sampler = NegativeSampler(split, seed)
        self.taken = 0
        self._probe: Drawn | None = None
        self._known: BoolArray | None = None

    def _row_form(self) -> RowForm | None:
        """Return the compiled form of the loss, if it covers all learned parts."""
        plain = all(part.dtype == torch.float32 for part in self.parameters)
        if self.device.type != "cpu" or not plain or not all(one.parts for one in self.estimates):
            return None
        try:
            rows, (moved, estimated) = rows_of(self.objective), self._learned()
            if rows is None or not all(part is rows.own for part in moved + estimated):
                return None
            return RowForm(rows, self.train.n_users)
        except Exception as error:
            raise ValueError(
                f"{self.loss}: its compiled form (rows) cannot be used: {one_line(error)}"
            ) from error

    def _learned(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the parts that the loss moves, and those it estimates."""
        moved = [part for mover in self.movers for part in mover.parameters]
        return moved, [part for estimate in self.estimates for part in estimate.parts]

    def _moving(self, when: str) -> list[Mover]:
        return [mover for mover in self.movers if mover.move.when == when]

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return the embeddings, without gradients; their dot product is the loss's score."""
        self.module.eval()
        with torch.no_grad():
            users, items = self.module()
            if self.loss.score == "cosine":
                users, items = normalize(users, dim=1), normalize(items, dim=1)
        self.module.train()
        return users.detach(), items.detach()  # a table that is a parameter asks for gradients

    def snapshot(self, epoch: int) -> Fit:
        """Return the current model."""
        users, items = (table.clone() for table in self.embeddings())
        if not (users.isfinite().all() and items.isfinite().all()):
            raise FloatingPointError(f"{self.loss} left embeddings not finite in epoch {epoch}")
        return Fit(users, items, epoch)

    def diagnostics(self, model: Fit) -> dict[str, float]:
        """Return the diagnostics of the loss on the probe batch, with the current model."""
        if self._probe is None:  # it is always the same
            self._probe = self._drawn(0, self.probed, PROBE[1])
        batch = self._scored(self._probe, (model.users, model.items), False)
        if self.form is not None:
            self.form.refuse_unless_equal(self._value, batch, str(self.loss))
        slopes = slopes_of(self.objective, batch)
        if slopes is None:
            return {}
        if self._known is None:
            self._known = known_false_negatives(*self.splits, batch.users, batch.negatives)
        as_trained, known = cut(batch, self._known, self.loss.n_negatives)
        pushing = slopes if as_trained is batch else slopes_of(self.objective, as_trained)
        return weight_diagnostics(slopes.weights, self._known) | push(pushing, known)

    def run_epoch(self, epoch: int) -> None:
        """Update estimates that are due, train on the batches of a pass, then do passes apart."""
        for estimate in self.estimates:
            if (epoch - 1) % estimate.every == 0:
                estimate.update(_Still(self, epoch))
        order = self.order.permutation(len(self.train))
        batches = list(_batches(order, self.config.batch_size))
        if self.form is not None and not self.taken:
            first = self.batch(epoch, batches[0], self.embeddings(), self.loss.n_negatives, False)
            self.form.refuse_unless_equal(self._value, first, str(self.loss))
        # Written in place: small tensors kept between large ones that go would fragment the heap.
        sums = torch.empty(len(batches), 2, device=self.device)
        for step, rows in enumerate(batches):
            sums[step, 0], sums[step, 1] = self.step(epoch, rows)
        for mover in self._moving("apart"):
            if mover.is_due(epoch):
                self._pass_apart(mover, epoch, order)
        self._check(epoch, sums.isfinite().cpu().numpy())  # one wait an epoch

    def _check(self, epoch: int, finite: BoolArray) -> None:
        """Raise FloatingPointError unless scores, loss (steps, 2) and learned parts are finite."""
        moved, estimated = self._learned()
        sound = all(bool(part.isfinite().all()) for part in moved + estimated)
        step = int(np.argmin(finite.all(axis=1)))  # the first that was not, if any
        if not finite[step, 0] or (sound and not finite[step, 1]):
            what = "loss" if finite[step, 0] else "scores"
            raise FloatingPointError(
                f"the {what} of {self.loss} became infinite or not a number "
                f"in epoch {epoch}, step {step + 1}; try a lower lr"
            )
        if not sound:
            raise FloatingPointError(
                f"the learned part of {self.loss} became infinite or not a number in epoch "
                f"{epoch}" + ("; try a lower rate for it" if moved else "")
            )

    def step(self, epoch: int, rows: IntArray) -> tuple[Tensor, Tensor]:
        """Take one step, and return the sum of the scores, and the loss: both ()."""
        total, value = (self._by_call if self.form is None else self._by_rows)(epoch, rows)
        along = self._moving("with")
        learned = [part for mover in along for part in mover.parameters]
        gradients = torch.autograd.grad(value, [*self.parameters, *learned], materialize_grads=True)
        self.optimizer.step(gradients[: len(self.parameters)])
        rest = iter(gradients[len(self.parameters) :])
        for mover in along:
            mover.step([next(rest) for _ in mover.parameters], len(rows))
        self.taken += 1
        return total, value.detach()

    def _by_call(self, epoch: int, rows: IntArray) -> tuple[Tensor, Tensor]:
        """Return the sum of a batch's scores, and its loss by the objective's call."""
        cosine = self.loss.score == "cosine"
        batch = self.batch(epoch, rows, self.module(), self.loss.n_negatives, cosine)
        for mover in self._moving("before"):
            self._move_alone(mover, batch)
        value = self._value(batch)
        if self.auxiliary is not None:
            value = value + self.auxiliary(batch.users, batch.items)
        return batch.pos.detach().sum() + batch.neg.detach().sum(), value

    def _by_rows(self, epoch: int, rows: IntArray) -> tuple[Tensor, Tensor]:
        """Return the same by the compiled form of the loss."""
        assert self.form is not None
        index, who = self._drawn(epoch, rows, self.loss.n_negatives)
        (users, items), cosine = self.module(), self.loss.score == "cosine"
        before = self._moving("before")
        if before:
            scores = trusted_scores(users.index_select(0, who), items, index, cosine)
            for mover in before:
                held = self.form.loss.of_scores(scores.detach(), self.form.own(who))
                mover.step(torch.autograd.grad(held, mover.parameters), len(rows))
            value = self.form.loss.of_scores(scores, self.form.own(who))
            total = scores.detach().sum()
        else:
            own = self.form.own(who)
            value, total = self.form.loss.of_embeddings(users, items, own, who, index, cosine)
        if self.auxiliary is not None:
            value = value + self.auxiliary(who, index[:, 0].long())
        return total, value

    def _value(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; TypeError if it is not a scalar."""
        value = self.objective(batch)
        shape = getattr(value, "shape", None)
        if shape is None or len(shape):
            found = type(value).__name__ if shape is None else f"a tensor of shape {tuple(shape)}"
            raise TypeError(f"{self.loss} returned {found}; a loss returns one number, a () tensor")
        return value

    def batch(
        self, epoch: int, rows: IntArray, tables: tuple[Tensor, Tensor], n: int, cosine: bool
    ) -> Batch:
        """Return the training pairs at `rows` with n negatives each, and their scores."""
        return self._scored(self._drawn(epoch, rows, n), tables, cosine)

    def _scored(self, drawn: Drawn, tables: tuple[Tensor, Tensor], cosine: bool) -> Batch:
        (index, who), (users, items) = drawn, tables
        chosen = users.index_select(0, who)  # (B, dim)
        pos, neg = apart(trusted_scores(chosen, items, index, cosine))
        return Batch(
            pos=pos,
            neg=neg,
            users=who,
            items=index[:, 0].long(),
            negatives=index[:, 1:],
            user_vectors=chosen,
            item_vectors=items.index_select(0, index[:, 0]),
            step=self.taken,
        )

    def _drawn(self, epoch: int, rows: IntArray, n: int) -> Drawn:
        """Draw n negatives for each of the training pairs at `rows`."""
        index = torch.from_numpy(self.sampler.draw(epoch, rows, n)).to(self.device)
        return index, torch.from_numpy(self.train.users[rows]).to(self.device)

    def _move_alone(self, mover: Mover, batch: Batch) -> None:
        """Update a part of the objective while the model is fixed."""
        value = self._value(batch.detached())
        gradients = torch.autograd.grad(value, mover.parameters, materialize_grads=True)
        mover.step(gradients, len(batch.users))

    def _pass_apart(self, mover: Mover, epoch: int, order: IntArray) -> None:
        """Update a part for each batch, on negatives that the model did not train on."""
        mover.passes += 1
        for batch in _Still(self, self.config.epochs + epoch).batches(order):
            self._move_alone(mover, batch)


class _Still:
    """The current model; see `loss.View`. Negatives are those of the given epoch."""

    def __init__(self, trainer: Trainer, epoch: int) -> None:
        self.train = trainer.train
        self.trainer, self.epoch = trainer, epoch
        self.tables = trainer.embeddings()

    def scores(self, users: IntArray, items: IntArray) -> Tensor:

        found = torch.empty(len(users), device=self.tables[0].device)
        for first in range(0, len(users), PAIRS_AT_ONCE):
            part = slice(first, first + PAIRS_AT_ONCE)
            one, other = (
                table.index_select(0, torch.tensor(ids[part], device=table.device))
                for table, ids in zip(self.tables, (users, items), strict=True)
            )
            found[part] = (one * other).sum(dim=1)
        return found

    def batches(self, rows: IntArray) -> Iterator[Batch]:
        n = self.trainer.loss.n_negatives
        for part in _batches(rows, self.trainer.config.batch_size):
            yield self.trainer.batch(self.epoch, part, self.tables, n, False)


def _batches(order: IntArray, size: int) -> Iterator[IntArray]:
    """Yield `order` in parts of the batch size."""
    for first in range(0, order.size, size):
        yield order[first : first + size]
