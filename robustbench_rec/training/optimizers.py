"""Optimizers: Adam for the model, and the moves that the learned parts of a loss declare."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

from robustbench_rec.components.loss import Bound, Move


class Adam:
    """Torch's fused Adam, by its functional form, with the usual betas.

    Torch's class would import its compiler in every worker: seconds, and 70 MB.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        lr: float,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
    ) -> None:

        self.parameters, self.lr, self.weight_decay, self.eps = parameters, lr, weight_decay, eps
        self.means = [torch.zeros_like(parameter) for parameter in parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in parameters]
        self.steps = [torch.zeros((), device=parameter.device) for parameter in parameters]

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Move each parameter against its gradient."""
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
                eps=self.eps,
                maximize=False,
            )


def _laid_out(gradient: Tensor, parameter: Tensor) -> Tensor:
    """Return the gradient in the memory layout of its parameter, which fused Adam assumes.

    For example, the gradient of a sum is an expanded single number.
    """
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


class SGD:
    """Plain gradient steps."""

    def __init__(self, parameters: Sequence[Tensor], lr: float) -> None:
        self.parameters, self.lr = parameters, lr

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Move each parameter against its gradient."""
        with torch.no_grad():
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=self.lr)


class Mover:
    """A move with its optimizer.

    Args:
        move: the move that a loss declared.
        model_lr: the model's rate; the move's rate may be a multiple of it.

    """

    def __init__(self, move: Move, model_lr: float) -> None:
        self.move = move
        self.parameters = list(move.parameters)
        lr = move.lr * model_lr if move.of_model else move.lr
        self.optimizer = (Adam if move.optimizer == "adam" else SGD)(self.parameters, lr)
        self.passes = 0

    def step(self, gradients: Sequence[Tensor], n_rows: int) -> None:
        """Move by the gradients of a mean over `n_rows`."""
        sign = -1 if self.move.ascend else 1
        factor = sign * (n_rows if self.move.rows == "sum" else 1)
        self.optimizer.step([factor * gradient for gradient in gradients])
        with torch.no_grad():
            for parameter in self.parameters:
                parameter.clamp_(min=_now(self.move.low)).clamp_(max=_now(self.move.high))

    def is_due(self, epoch: int) -> bool:
        """Say whether a pass apart follows this epoch."""
        return epoch % self.move.every == 0 and self.passes < self.move.passes


def _now(bound: Bound) -> float | Tensor:
    return bound() if callable(bound) else bound
