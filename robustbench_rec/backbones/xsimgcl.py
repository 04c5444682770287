"""XSimGCL: noisy propagation over the graph, two of whose layers are contrasted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_rec import BACKBONES, Backbone, Interactions, setting

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@BACKBONES.add("xsimgcl")
@dataclass(frozen=True, kw_only=True)
class XSimGCL(Backbone):
    """XSimGCL: the mean of layers 1 to `layers` under noise, one of them contrasted with the mean.

    Each training step adds weight * (C(users) + C(items)) to the loss, over the different users
    and positive items of the batch: C is the mean over i of
    -log[ exp(cos(z_i, z'_i)/t) / SUM_j exp(cos(z_i, z'_j)/t) ], z the mean, z' the contrasted
    layer. Evaluation propagates without noise.
    """

    layers: int = setting(3, "propagations over the graph", at_least=1)
    noise: float = setting(0.1, "length of the noise on each row of each layer", at_least=0)
    contrasted: int = setting(1, "the layer that is contrasted with the mean", at_least=1)
    temperature: float = setting(0.1, "t: temperature of the contrast", above=0)
    weight: float = setting(0.2, "of the contrast; published with 0.05 on Electronic", at_least=0)
    init_std: float = setting(0.1, "initial embeddings are N(0, init_std^2)", above=0)

    source: ClassVar[str] = "Yu et al., XSimGCL, TKDE 2024"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.contrasted > self.layers:
            raise ValueError(
                f"XSimGCL.contrasted is {self.contrasted}; it must be a layer, 1 to {self.layers}"
            )

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return the propagating module, noisy while it trains; see `Backbone.build`."""
        import torch
        from torch import nn

        from robustbench_rec.backbones._graph import Graph, Pair, noisy_layer_mean
        from robustbench_rec.backbones._tables import Tables

        settings = self
        tables = Tables(train.n_users, train.n_items, self.dim, self.init_std, generator)

        class Contrast(nn.Module):
            views: tuple[Pair, Pair]

            def __init__(self) -> None:
                super().__init__()
                self.tables, self.graph = tables, Graph(train)

            def forward(self) -> Pair:
                users, items = self.tables()
                self.views = noisy_layer_mean(
                    self.graph,
                    users,
                    items,
                    layers=settings.layers,
                    contrasted=settings.contrasted,
                    noise=settings.noise if self.training else 0.0,
                    generator=generator,
                )
                return self.views[0]

            def auxiliary(self, users: Tensor, items: Tensor) -> Tensor:
                """Return the weighed contrast of the last propagation, for a batch's (B,) ids."""
                sides = zip(*self.views, (users, items), strict=True)
                terms = [
                    _contrast(mean[ids], layer[ids], settings.temperature)
                    for mean, layer, ids in ((m, v, torch.unique(i)) for m, v, i in sides)
                ]
                return settings.weight * (terms[0] + terms[1])

        return Contrast()


def _contrast(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Return how poorly each row of `one` (n, dim) tells its own row of `other` from the rest."""
    from torch.nn.functional import normalize

    cosines = normalize(one, dim=1) @ normalize(other, dim=1).T / temperature  # (n, n)
    return (cosines.logsumexp(dim=1) - cosines.diagonal()).mean()
