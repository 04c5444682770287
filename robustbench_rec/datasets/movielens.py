"""MovieLens: ratings of films, by GroupLens. Ratings from 3 on are positives; 10-core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustbench_rec import DATASETS, FileDataset, setting


@dataclass(frozen=True, kw_only=True)
class MovieLens(FileDataset):
    """Common to all sizes: the filters of the published splits, for a raw log."""

    source: ClassVar[str] = (
        "F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, "
        "ACM Transactions on Interactive Intelligent Systems 5(4), 2015, doi:10.1145/2827872"
    )
    licence: ClassVar[str] = "GroupLens: research use; no redistribution without permission"

    min_rating: float = setting(3.0, "raw log: keep ratings of at least this; 0 keeps all")
    k_core: int = setting(10, "raw log: keep users and items with this many pairs", at_least=0)


@DATASETS.add("movielens-100k")
@dataclass(frozen=True, kw_only=True)
class MovieLens100K(MovieLens):
    """100,000 ratings of films by 943 people, 1997-1998."""

    aliases: ClassVar[tuple[str, ...]] = ("ml-100k",)
    how_to_get: ClassVar[str] = "run `robustbench-rec data fetch movielens-100k`"


@DATASETS.add("movielens-1m")
@dataclass(frozen=True, kw_only=True)
class MovieLens1M(MovieLens):
    """1,000,209 ratings of films by 6,040 people, 2000."""

    aliases: ClassVar[tuple[str, ...]] = ("ml-1m",)
    how_to_get: ClassVar[str] = (
        "put ml-1m.zip of https://grouplens.org/datasets/movielens/1m/ into the data folder"
    )
