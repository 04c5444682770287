"""What a backbone is: settings, and a module that yields embeddings."""

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
    """Whether there is anything to train; False makes it a baseline, evaluated as built."""

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return a module whose call, without arguments, gives the embeddings.

        Args:
            train: the (possibly perturbed) training pairs; a graph model propagates over them.
            generator: for the initial values; equal for every loss of a replicate.

        Returns:
            A module `() -> (users (n_users, dim), items (n_items, dim))`, float32. It is moved to
            the device of the training by `.to`, so tensors that are no parameters are buffers.
            Its modes are torch's: what is random at each call is so in training mode alone.

            It may have a method `auxiliary(users, items) -> ()`, of a batch's user ids (B,) and
            positive item ids (B,), both int64: a term of the model's own, added to the loss. It is
            differentiable, and of what the last call computed.

        """
        raise NotImplementedError(f"{type(self).__name__} must override build")


BACKBONES: Registry[Backbone] = Registry("backbone", "robustbench_rec.backbones")
