"""XSimGCL: noisy propagation, and a contrast between two of its depths."""

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
    """XSimGCL: the mean of `layers` noisy propagations, contrasted with one of them.

    In training, each layer moves each row by a random step of length `noise`, and the batch's
    users and items each add weight * InfoNCE(z, z') to the loss, z the mean and z' the layer
    `contrast_layer`; see `info_nce`. In evaluation mode there is no noise. It keeps signs, as in
    the authors' code; that of PSL's authors draws it normal, and embeddings Xavier uniform.
    """

    layers: int = setting(3, "propagations over the graph", at_least=1)
    contrast_layer: int = setting(1, "layer contrasted with the mean, up to `layers`", at_least=1)
    noise: float = setting(0.1, "length of the random step of a row in each layer", at_least=0)
    temperature: float = setting(0.1, "of the contrastive term, on cosines", above=0)
    weight: float = setting(
        0.2, "of the contrastive term beside the loss; 0.05 was used on Electronic", at_least=0
    )
    init_std: float = setting(0.1, "initial embeddings are N(0, init_std^2)", above=0)

    source: ClassVar[str] = "Yu et al., XSimGCL, TKDE 2024"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.contrast_layer > self.layers:
            raise ValueError(
                f"{type(self).__name__}.contrast_layer is {self.contrast_layer}; "
                f"it must lie in [1, {self.layers}], the layers"
            )

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return the propagating module, which has an `auxiliary`; see `Backbone.build`.

        The seed of its noise is drawn after the tables, which therefore equal LightGCN's.
        """
        import torch
        from torch import nn

        from robustbench_rec.backbones._graph import Graph, Pair, noisy_layer_mean
        from robustbench_rec.backbones._tables import Tables

        class Contrast(nn.Module):
            def __init__(self, tables: Tables, graph: Graph, settings: XSimGCL, seed: int) -> None:
                super().__init__()
                self.tables, self.graph, self.settings = tables, graph, settings
                self.generator = torch.Generator().manual_seed(seed)
                self.last: tuple[Pair, Pair] | None = None

            def forward(self) -> Pair:
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

        tables = Tables(train.n_users, train.n_items, self.dim, self.init_std, generator)
        seed = int(torch.randint(2**62, (), generator=generator))
        return Contrast(tables, Graph(train), self, seed)


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
    import torch
    from torch.nn.functional import cross_entropy, normalize

    scaled = normalize(one, dim=1) / temperature  # dim columns to divide, not n
    logits = scaled @ normalize(other, dim=1).T  # (n, n)
    return cross_entropy(logits, torch.arange(len(one), device=one.device))
