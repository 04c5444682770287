"""Training: the one place with an optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from robustbench_rec.backbone import Backbone
from robustbench_rec.interactions import IntArray, Interactions, Split
from robustbench_rec.loss import Learned, Loss, Objective
from robustbench_rec.ranking import evaluate
from robustbench_rec.seeds import rng_for, seed_for
from robustbench_rec.settings import check, setting

if TYPE_CHECKING:
    from torch import Tensor, nn

SELECT_AT = 20
"""The best epoch is the one of the highest validation NDCG at this length."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained: Adam over shuffled positives, the best epoch kept."""

    epochs: int = setting(200, "passes over the training pairs", at_least=1)
    batch_size: int = setting(1024, "positives in a step", at_least=1)
    lr: float = setting(1e-3, "Adam's rate", above=0)
    weight_decay: float = setting(0.0, "Adam's L2 penalty on the embeddings", at_least=0)
    eval_every: int = setting(5, "epochs between evaluations on validation", at_least=1)
    patience: int = setting(
        0, "stop after this many evaluations without a new best; 0 never stops early", at_least=0
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, eq=False)
class Fit:
    """A trained model, at its best epoch.

    Attributes:
        users: (n_users, dim) embeddings, normalised where the loss scores by cosine.
        items: (n_items, dim), likewise.
        best_epoch: the epoch they are of, from 1.
        history: (epoch, validation NDCG@20) of each evaluation.

    """

    users: Tensor
    items: Tensor
    best_epoch: int
    history: tuple[tuple[int, float], ...]


def fit(
    split: Split,
    backbone: Backbone,
    loss: Loss,
    config: TrainConfig,
    seed: int,
    device: str = "cpu",
) -> Fit:
    """Train a backbone by a loss and return it at its best epoch by validation NDCG@20.

    Args:
        split: the (possibly perturbed) split; `test` is not looked at.
        backbone: what is trained.
        loss: what it is trained by.
        config: how.
        seed: of the initial embeddings, the batches and the negatives; equal for every loss, and
            on every device.
        device: where the model is: "cpu", "cuda", "cuda:1".

    Raises:
        FloatingPointError: scores or loss became infinite or not a number; names epoch, step, loss.
        ValueError: there is nothing to train on or to select by.

    """
    import torch

    if not len(split.valid) or not len(split.train):
        raise ValueError("training needs at least one training and one validation pair")
    generator = torch.Generator().manual_seed(seed_for(seed, "init") >> 1)
    module = backbone.build(split.train, generator).to(device)
    trainer = Trainer(module, split, loss, config, seed)
    best: Fit | None = None
    history: list[tuple[int, float]] = []
    for epoch in range(1, config.epochs + 1):
        trainer.run_epoch(epoch)
        if epoch % config.eval_every and epoch != config.epochs:
            continue
        now = trainer.snapshot(epoch)
        history.append((epoch, _validation_ndcg(now, split)))
        if best is None or history[-1][1] > max(value for _, value in history[:-1]):
            best = now
        if config.patience and _evaluations_since_best(history) >= config.patience:
            break
    assert best is not None  # the last epoch is always evaluated
    return replace(best, history=tuple(history))


def _validation_ndcg(model: Fit, split: Split) -> float:
    ranking = evaluate(model.users, model.items, split.valid, split.seen, [SELECT_AT])
    return float(ranking.per_user[f"ndcg@{SELECT_AT}"].mean())


def _evaluations_since_best(history: Sequence[tuple[int, float]]) -> int:
    values = [value for _, value in history]
    return len(values) - 1 - values.index(max(values))


class Trainer:
    """The state of one training: module, optimizer, objective, sampler, generators."""

    def __init__(
        self, module: nn.Module, split: Split, loss: Loss, config: TrainConfig, seed: int
    ) -> None:
        from robustbench_rec.sampling import NegativeSampler

        self.module, self.loss, self.config = module, loss, config
        self.train = split.train
        self.parameters = list(module.parameters())
        self.device = self.parameters[0].device
        with self.device:
            self.objective: Objective | Learned = loss.bind(split.n_users, split.n_items)
        self.optimizer = Adam(self.parameters, config.lr, config.weight_decay)
        self.order = rng_for(seed, "order")
        self.sampler = NegativeSampler(split, seed)

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return user and item embeddings whose dot product is the loss's score."""
        from torch.nn.functional import normalize

        users, items = self.module()
        if self.loss.score == "cosine":
            return normalize(users, dim=1), normalize(items, dim=1)
        return users, items

    def snapshot(self, epoch: int) -> Fit:
        """Return the model as it is now."""
        import torch

        with torch.no_grad():
            users, items = (table.clone() for table in self.embeddings())
        if not (users.isfinite().all() and items.isfinite().all()):
            raise FloatingPointError(f"{self.loss} left embeddings not finite in epoch {epoch}")
        return Fit(users, items, epoch, ())

    def run_epoch(self, epoch: int) -> None:
        """Take one step for each batch of a pass over the training pairs."""
        import torch

        n_steps = -(-len(self.train) // self.config.batch_size)
        # Written in place: small tensors kept between large ones that go would fragment the heap.
        finite = torch.empty(n_steps, 2, dtype=torch.bool, device=self.device)
        for step, rows in enumerate(_batches(self.train, self.config, self.order)):
            finite[step] = self.step(epoch, rows)
        found = finite.cpu().numpy()  # one wait an epoch
        if not found.all():
            step = int(np.argmin(found.all(axis=1)))
            what = "scores" if not found[step, 0] else "loss"
            raise FloatingPointError(
                f"the {what} of {self.loss} became infinite or not a number "
                f"in epoch {epoch}, step {step + 1}; try a lower lr"
            )

    def step(self, epoch: int, rows: IntArray) -> Tensor:
        """Take one step, and return whether scores and loss were finite: (2,) bool."""
        import torch

        from robustbench_rec.kernels import gathered_scores

        index = torch.from_numpy(self.sampler.draw(epoch, rows, self.loss.n_negatives))
        batch = torch.from_numpy(self.train.users[rows]).to(self.device)
        users, items = self.module()
        chosen = users.index_select(0, batch)  # (B, dim)
        cosine = self.loss.score == "cosine"
        scores = gathered_scores(chosen, items, index.to(self.device), cosine)  # (B, 1 + N)
        pos, neg = torch.split(scores, [1, self.loss.n_negatives], dim=1)
        pos = pos.squeeze(1)  # (B,)
        self._move(pos.detach(), neg.detach(), batch)
        value = self.objective(pos, neg, batch)
        self.optimizer.step(torch.autograd.grad(value, self.parameters, materialize_grads=True))
        extremes = torch.stack(scores.detach().aminmax())
        return torch.stack([extremes.isfinite().all(), value.detach().isfinite()])

    def _move(self, pos: Tensor, neg: Tensor, users: Tensor) -> None:
        """Let the objective's own parts take their steps, on detached scores."""
        import torch

        for move in getattr(self.objective, "moves", ()):
            value = self.objective(pos, neg, users) * (len(users) if move.rows == "sum" else 1)
            gradients = torch.autograd.grad(value, list(move.parameters))
            with torch.no_grad():
                for parameter, gradient in zip(move.parameters, gradients, strict=True):
                    parameter.sub_(gradient, alpha=move.lr)


class Adam:
    """Torch's fused Adam, by the function under its class, of the usual betas.

    The class would import torch's compiler in every worker: seconds, and 70 MB.
    """

    def __init__(self, parameters: Sequence[Tensor], lr: float, weight_decay: float) -> None:
        import torch

        self.parameters, self.lr, self.weight_decay = parameters, lr, weight_decay
        self.means = [torch.zeros_like(parameter) for parameter in parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in parameters]
        self.steps = [torch.zeros((), device=parameter.device) for parameter in parameters]

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Move each parameter by its gradient."""
        import torch
        from torch.optim.adam import adam

        with torch.no_grad():
            adam(
                list(self.parameters),
                [_laid_out(*pair) for pair in zip(gradients, self.parameters, strict=True)],
                self.means,
                self.squares,
                [],
                self.steps,
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.lr,
                weight_decay=self.weight_decay,
                eps=1e-8,
                maximize=False,
            )


def _laid_out(gradient: Tensor, parameter: Tensor) -> Tensor:
    """Return the gradient in the memory layout of its parameter, which fused Adam takes for given.

    A sum, for one, has a gradient of a single number that only looks like a table.
    """
    import torch

    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def _batches(
    train: Interactions, config: TrainConfig, rng: np.random.Generator
) -> Iterator[IntArray]:
    """Yield the positions of each batch of a shuffled pass."""
    order = rng.permutation(len(train))
    for first in range(0, order.size, config.batch_size):
        yield order[first : first + config.batch_size]
