"""XSimGCL's module: noisy propagation, and a contrast. Imports torch: import it late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from robustbench_rec.backbones._graph import Graph, Pair, noisy_layer_mean
from robustbench_rec.backbones._tables import Tables

if TYPE_CHECKING:
    from robustbench_rec.backbones.xsimgcl import XSimGCL


class Contrast(nn.Module):
    """The mean of noisy layers; `auxiliary` contrasts it with one of them.

    Args:
        tables: the embeddings that are propagated.
        graph: the graph of the training pairs.
        settings: layers, noise, temperature and weight.
        seed: the seed of the noise.

    """

    def __init__(self, tables: Tables, graph: Graph, settings: XSimGCL, seed: int) -> None:
        super().__init__()
        self.tables, self.graph, self.settings = tables, graph, settings
        self.generator = torch.Generator().manual_seed(seed)
        self.last: tuple[Pair, Pair] | None = None

    def forward(self) -> Pair:
        """Return the mean of the layers; noisy in training mode alone."""
        users, items = self.tables()
        self.last = noisy_layer_mean(
            self.graph,
            users,
            items,
            layers=self.settings.layers,
            contrasted=self.settings.contrast_layer,
            noise=self.settings.noise if self.training else 0.0,
            generator=self.generator,
        )
        return self.last[0]

    def auxiliary(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the contrastive term of a batch; see `Backbone.build`."""
        if self.last is None:
            raise RuntimeError("auxiliary is of the last call; call the module first")
        met: Pair = torch.unique(users), torch.unique(items)
        of_users, of_items = (
            info_nce(
                mean.index_select(0, ids),
                layer.index_select(0, ids),
                self.settings.temperature,
            )
            for mean, layer, ids in zip(*self.last, met, strict=True)
        )
        return self.settings.weight * (of_users + of_items)


def info_nce(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Return how badly each row of `one` finds its own among the rows of `other`.

    mean_i -log( exp(cos(z_i, z'_i) / t) / sum_j exp(cos(z_i, z'_j) / t) ), j = i in the sum.

    Args:
        one: z, (n, dim).
        other: z', (n, dim).
        temperature: t, above 0.

    Returns:
        (), 0 where n is 1.

    """
    scaled = normalize(one, dim=1) / temperature  # dim columns to divide, not n
    logits = scaled @ normalize(other, dim=1).T  # (n, n)
    return cross_entropy(logits, torch.arange(len(one), device=one.device))
