"""The contract of a backbone: settings, and a module that returns embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_rec.components.registry import Registry
from robustbench_rec.components.settings import Component, setting
from robustbench_rec.interactions import Interactions

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Backbone(Component):
    """The settings of a model of users and items."""

    dim: int = setting(64, "size of an embedding", at_least=1)

    learns: ClassVar[bool] = True
    """Whether it is trained; False makes it a baseline, evaluated as built."""

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return a module whose call, without arguments, returns the embeddings.

        Args:
            train: the (possibly perturbed) training pairs; a graph model propagates over them.
            generator: for the initial values; equal for every loss of a replicate.

        Returns:
            A module `() -> (users (n_users, dim), items (n_items, dim))`, float32. `.to` moves it
            to the device of the training, so tensors that are not parameters must be buffers.
            Random calls are random in training mode only.

            It may have a method `auxiliary(users, items) -> ()`, of a batch's user ids (B,) and
            positive item ids (B,), both int64: an extra term of the model, added to the loss. It is
            differentiable, and uses the results of the last call.

        """
        raise NotImplementedError(f"{type(self).__name__} must override build")


BACKBONES: Registry[Backbone] = Registry("backbone", "robustbench_rec.backbones")
