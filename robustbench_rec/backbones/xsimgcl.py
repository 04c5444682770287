"""XSimGCL: noisy propagation, and a contrast between two layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_rec import BACKBONES, Backbone, Interactions, setting

if TYPE_CHECKING:
    import torch
    from torch import nn


@BACKBONES.add("xsimgcl")
@dataclass(frozen=True, kw_only=True)
class XSimGCL(Backbone):
    """XSimGCL: the mean of `layers` noisy propagations, contrasted with one of them.

    In training, each layer moves each row by a random step of length `noise`, and the batch's
    users and items each add weight * InfoNCE(z, z') to the loss, z the mean and z' the layer
    `contrast_layer`; see `_contrast.info_nce`. In evaluation mode there is no noise. It keeps
    signs, as in the authors' code; that of PSL's authors draws it normal, and embeddings Xavier
    uniform.
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

        from robustbench_rec.backbones._contrast import Contrast
        from robustbench_rec.backbones._graph import Graph
        from robustbench_rec.backbones._tables import Tables

        tables = Tables(train.n_users, train.n_items, self.dim, self.init_std, generator)
        seed = int(torch.randint(2**62, (), generator=generator))
        return Contrast(tables, Graph(train), self, seed)
