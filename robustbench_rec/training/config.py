"""The version of the protocol, which defines cells, and the settings of a training."""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_rec.components.settings import Settings, setting

PROTOCOL = "5"
"""Raise it when training, sampling or evaluation change what a cell means."""

SELECT_AT = 20
"""The best epoch is the one of the highest validation NDCG at this length."""


LAST = 0.1
"""Best within this last share of the epochs allowed, a training may have had more to learn."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """The settings of a training: Adam over shuffled positives; the best epoch is kept."""

    epochs: int = setting(200, "passes over the training pairs", at_least=1)
    batch_size: int = setting(1024, "positives in a step", at_least=1)
    lr: float = setting(1e-3, "Adam's rate", above=0)
    weight_decay: float = setting(0.0, "Adam's L2 penalty on the embeddings", at_least=0)
    eps: float = setting(1e-8, "Adam's epsilon, below which a gradient counts as small", above=0)
    eval_every: int = setting(5, "epochs between evaluations on validation", at_least=1)
    patience: int = setting(
        0, "stop after this many evaluations without a new best; 0 never stops early", at_least=0
    )
