"""Amazon reviews until 2014: positives are ratings from 3 on, 10-core, split by the publishers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustbench_rec import DATASETS, FileDataset

SPLITS = "github.com/Tiny-Snow/IR-Benchmark-Dataset"


@dataclass(frozen=True, kw_only=True)
class Amazon2014(FileDataset):
    """Common to all categories: the reviews, and the publisher of the splits."""

    source: ClassVar[str] = (
        "J. McAuley, C. Targett, Q. Shi and A. van den Hengel, Image-based Recommendations on "
        "Styles and Substitutes, SIGIR 2015; split as in W. Yang et al., PSL: Rethinking and "
        f"Improving Softmax Loss from Pairwise Perspective, NeurIPS 2024 ({SPLITS})"
    )
    licence: ClassVar[str] = "no licence stated; given out for research"


def _proc_zip(folder: str, name: str) -> str:
    return f"save data_{folder}/{name}/proc.zip of {SPLITS} as {name}.zip in the data folder"


@DATASETS.add("amazon2014-beauty")
@dataclass(frozen=True, kw_only=True)
class Beauty(Amazon2014):
    """Beauty products: 1,237 users, 719 items; random split."""

    how_to_get: ClassVar[str] = _proc_zip("iid", "amazon2014-beauty")


@DATASETS.add("amazon2014-health")
@dataclass(frozen=True, kw_only=True)
class Health(Amazon2014):
    """Health and personal care: 1,974 users, 1,200 items; random split."""

    how_to_get: ClassVar[str] = _proc_zip("iid", "amazon2014-health")


@DATASETS.add("amazon2014-electronic")
@dataclass(frozen=True, kw_only=True)
class Electronic(Amazon2014):
    """Electronics: 13,455 users, 8,360 items; random split."""

    how_to_get: ClassVar[str] = _proc_zip("iid", "amazon2014-electronic")


@DATASETS.add("amazon2014-electronic-popularity")
@dataclass(frozen=True, kw_only=True)
class ElectronicPopularity(Amazon2014):
    """Electronics again, tested on items drawn uniformly, so that popularity shifts."""

    how_to_get: ClassVar[str] = _proc_zip("ood", "amazon2014-electronic-popularity")
