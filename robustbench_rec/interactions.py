"""Interactions and Split: the data types that all packages share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robustbench_rec.seeds import rng_for

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Frame(Protocol):
    """A table with named columns, such as a pandas frame."""

    def __getitem__(self, column: str, /) -> Any:
        """Return a column."""


def _frozen(values: ArrayLike, dtype: type[np.generic]) -> NDArray[Any]:
    """Return a copy that nobody can write or make writable."""
    held: Any = np.array(values, dtype=dtype)
    return np.asarray(memoryview(held).toreadonly())


def _ids(values: ArrayLike, name: str) -> IntArray:
    """Return ids as int64; ValueError if a cast would truncate them; `name` is the field."""
    ids = np.asarray(values)
    if ids.size and ids.dtype.kind not in "iu":
        raise ValueError(f"Interactions.{name} has dtype {ids.dtype}; ids are integers")
    return ids.astype(np.int64, copy=False)


@dataclass(frozen=True, eq=False, repr=False)
class Interactions:
    """A set of (user, item) pairs over a fixed catalogue, sorted by user, then item.

    Attributes:
        users, items: (n,) int64, dense ids from 0; read-only.
        n_users, n_items: size of the catalogue, which may exceed the ids present.
        timestamps: (n,) float64 seconds, or None.
        ratings: (n,) float64, or None.

    Raises:
        ValueError: ids are out of range or not integers, pairs are out of order or repeated, or
            lengths differ. `Interactions.of` sorts pairs.

    """

    users: IntArray
    items: IntArray
    n_users: int
    n_items: int
    timestamps: NDArray[np.float64] | None = None
    ratings: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for name in ("users", "items"):
            ids = _ids(getattr(self, name), name)
            object.__setattr__(self, name, _frozen(ids, np.int64))
        for name in ("timestamps", "ratings"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _frozen(getattr(self, name), np.float64))
        self._check()

    def _check(self) -> None:
        for name in ("users", "items", "timestamps", "ratings"):
            values = getattr(self, name)
            if values is not None and values.shape != (self.users.size,):
                raise ValueError(f"Interactions.{name} has shape {values.shape}, not (n,)")
        for name, bound in (("users", self.n_users), ("items", self.n_items)):
            ids = getattr(self, name)
            if ids.size and (ids.min() < 0 or ids.max() >= bound):
                bad = ids.min() if ids.min() < 0 else ids.max()
                raise ValueError(f"Interactions.{name} holds id {bad}; ids lie in [0, {bound})")
        steps = np.diff(self.keys)
        if np.any(steps == 0):
            at = int(np.argmin(steps != 0))
            raise ValueError(
                f"Interactions holds the pair (user {self.users[at]}, item {self.items[at]}) twice"
            )
        if np.any(steps < 0):
            raise ValueError("Interactions must be sorted by user, then item; use Interactions.of")

    @classmethod
    def of(
        cls,
        users: ArrayLike,
        items: ArrayLike,
        n_users: int,
        n_items: int,
        timestamps: ArrayLike | None = None,
        ratings: ArrayLike | None = None,
    ) -> Interactions:
        """Sort pairs given in any order. Arguments as the attributes; a repeated pair raises."""
        user_ids, item_ids = _ids(users, "users"), _ids(items, "items")
        order = np.lexsort((item_ids, user_ids))
        times, stars = (
            None if values is None else np.asarray(values, dtype=np.float64)[order]
            for values in (timestamps, ratings)
        )
        return cls(user_ids[order], item_ids[order], n_users, n_items, times, stars)

    def __repr__(self) -> str:
        return (
            f"Interactions({len(self):,} pairs of {self.n_users:,} users, {self.n_items:,} items)"
        )

    def none(self) -> Interactions:
        """Return an empty set over the same catalogue."""
        return Interactions(self.users[:0], self.items[:0], self.n_users, self.n_items)

    def __len__(self) -> int:
        return int(self.users.size)

    def __getitem__(self, which: BoolArray | IntArray) -> Interactions:
        """Keep the pairs that a boolean mask or ascending positions select, each (n,)."""
        times, stars = (
            None if values is None else values[which] for values in (self.timestamps, self.ratings)
        )
        return Interactions(
            self.users[which], self.items[which], self.n_users, self.n_items, times, stars
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Interactions):
            return NotImplemented
        same_catalogue = (self.n_users, self.n_items) == (other.n_users, other.n_items)
        return same_catalogue and np.array_equal(self.keys, other.keys)

    __hash__ = None  # type: ignore[assignment]  # compares by content, so it cannot be a key

    def __add__(self, other: Interactions) -> Interactions:
        """Join two disjoint sets; timestamps and ratings are kept if both have them."""
        times, stars = (
            None if one is None or two is None else np.concatenate([one, two])
            for one, two in (
                (self.timestamps, other.timestamps),
                (self.ratings, other.ratings),
            )
        )
        users = np.concatenate([self.users, other.users])
        items = np.concatenate([self.items, other.items])
        return Interactions.of(users, items, self.n_users, self.n_items, times, stars)

    @cached_property
    def keys(self) -> IntArray:
        """(n,) one number per pair, user * n_items + item; ascending."""
        return self.users * np.int64(self.n_items) + self.items

    @cached_property
    def starts(self) -> IntArray:
        """(n_users + 1,) start of each user's pairs; those of u are starts[u]:starts[u + 1]."""
        return np.searchsorted(self.users, np.arange(self.n_users + 1)).astype(np.int64)

    @cached_property
    def user_counts(self) -> IntArray:
        """(n_users,) number of pairs of each user."""
        return np.bincount(self.users, minlength=self.n_users).astype(np.int64)

    @cached_property
    def item_counts(self) -> IntArray:
        """(n_items,) number of pairs of each item: its popularity."""
        return np.bincount(self.items, minlength=self.n_items).astype(np.int64)

    def holds(self, users: ArrayLike, items: ArrayLike) -> BoolArray:
        """Say for each pair, any shape, whether it is in the set."""
        keys = np.asarray(users, dtype=np.int64) * np.int64(self.n_items) + np.asarray(items)
        if not len(self):
            return np.zeros(keys.shape, dtype=np.bool_)
        at = np.searchsorted(self.keys, keys).clip(max=len(self) - 1)
        return np.asarray(self.keys[at] == keys)

    def without(self, other: Interactions) -> Interactions:
        """Return the pairs that are not in `other`."""
        return self[~other.holds(self.users, self.items)]

    def drawn(self, counts: IntArray, rng: np.random.Generator) -> BoolArray:
        """Return a mask (n,) that selects `counts[u]` pairs of each user u at random."""
        shuffled = np.lexsort((rng.random(len(self)), self.users))
        rank = np.empty(len(self), dtype=np.int64)
        rank[shuffled] = np.arange(len(self))
        return np.asarray(rank - self.starts[self.users] < counts[self.users])

    def share_of_each_user(self, share: float) -> IntArray:
        """Return a share of each user's pairs, (n_users,): max(int(share n), 1), never all."""
        if share == 0:
            return np.zeros(self.n_users, dtype=np.int64)
        counts = np.maximum(np.floor(share * self.user_counts + 1e-9).astype(np.int64), 1)
        return np.asarray(np.minimum(counts, np.maximum(self.user_counts - 1, 0)))


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """The data of one cell: for training, selection and test.

    Attributes:
        train: pairs the model trains on; perturbations of training pairs change it.
        seen: the clean training positives. Evaluation masks them, and no perturbation may change
            them; otherwise a hidden positive would count as a wrong recommendation.
        valid, test: held-out positives; disjoint from `seen` and from each other.
        false_negatives: positives known to be missing from `train` (held out as a pool, hidden by
            a perturbation, or known from a synthetic world's truth).
        test_weights: (len(test),) float64 above 0, the weight of each pair of `test`; None if all
            are equal. A perturbation of the test may set it.
        contamination: probability, for each negative slot, that it is drawn from the user's
            `false_negatives` instead of the items the user never met.
        spares_positive: whether that draw excludes the row's own positive.
        user_ids, item_ids: (n_users,) and (n_items,) original ids, or None.
        low_rated: pairs of a raw log below `min_rating`, of users and items in the split; None if
            there is no such log.

    Raises:
        ValueError: catalogues differ, sets overlap, contamination is outside [0, 1], or test
            weights are not one number above 0 for each test pair.

    """

    train: Interactions
    seen: Interactions
    valid: Interactions
    test: Interactions
    false_negatives: Interactions
    contamination: float = 0.0
    test_weights: NDArray[np.float64] | None = None
    spares_positive: bool = False
    user_ids: NDArray[Any] | None = field(default=None, repr=False)
    item_ids: NDArray[Any] | None = field(default=None, repr=False)
    low_rated: Interactions | None = None

    def __post_init__(self) -> None:
        catalogue = (self.train.n_users, self.train.n_items)
        for name in ("seen", "valid", "test", "false_negatives", "low_rated"):
            part: Interactions | None = getattr(self, name)
            if part is not None and (part.n_users, part.n_items) != catalogue:
                raise ValueError(
                    f"Split.{name} is over {part.n_users} x {part.n_items}, "
                    f"Split.train over {catalogue[0]} x {catalogue[1]}"
                )
        for one, two in (("seen", "valid"), ("seen", "test"), ("valid", "test")):
            a, b = getattr(self, one), getattr(self, two)
            shared = a.holds(b.users, b.items)
            if shared.any():
                at = int(np.argmax(shared))
                raise ValueError(
                    f"Split.{one} and Split.{two} share {int(shared.sum())} pairs, "
                    f"such as (user {b.users[at]}, item {b.items[at]})"
                )
        if not 0.0 <= self.contamination <= 1.0:
            raise ValueError(f"Split.contamination is {self.contamination}; it must lie in [0, 1]")
        if self.test_weights is not None:
            weights = _pair_weights(self.test_weights, len(self.test))
            object.__setattr__(self, "test_weights", weights)

    @classmethod
    def of(
        cls,
        train: Interactions,
        valid: Interactions,
        test: Interactions,
        *,
        seen: Interactions | None = None,
        false_negatives: Interactions | None = None,
        user_ids: NDArray[Any] | None = None,
        item_ids: NDArray[Any] | None = None,
        low_rated: Interactions | None = None,
    ) -> Split:
        """Make a clean split; other fields have their defaults.

        By default `seen` is `train`, and no false negative is known.
        """
        return cls(
            train=train,
            seen=train if seen is None else seen,
            valid=valid,
            test=test,
            false_negatives=train.none() if false_negatives is None else false_negatives,
            user_ids=user_ids,
            item_ids=item_ids,
            low_rated=low_rated,
        )

    @classmethod
    def from_frames(
        cls,
        train: Frame,
        test: Frame,
        valid: Frame | None = None,
        *,
        user: str = "user",
        item: str = "item",
        valid_share: float = 0.1,
        seed: int = 0,
    ) -> Split:
        """Make a clean split of your own data: pandas frames, or anything with columns.

        Args:
            train: the training pairs, one per row, in any order; ids are whole numbers or texts.
                They are numbered from 0 in the order of their values, see `user_ids`, `item_ids`.
            test: the test pairs.
            valid: the validation pairs; if None, they are drawn from `train`.
            user: name of the column of users.
            item: name of the column of items.
            valid_share: if `valid` is None, the share of each user's training pairs to draw, at
                least one and never all.
            seed: the seed of that draw.

        Raises:
            KeyError: a frame lacks a column.
            ValueError: a pair is repeated, in one frame or in two; ids are neither whole numbers in
                all frames nor texts in all (the message names the original ids); or a share is
                outside (0, 1).

        """
        if not 0 < valid_share < 1:
            raise ValueError(f"valid_share is {valid_share}; it must lie in (0, 1)")
        given = [train, test, *([] if valid is None else [valid])]
        user_ids, users = _numbered([frame[user] for frame in given], user)
        item_ids, items = _numbered([frame[item] for frame in given], item)
        sizes = len(user_ids), len(item_ids)
        for pairs in zip(users, items, strict=True):
            _refuse_repeated(*pairs, user_ids, item_ids)
        parts = [Interactions.of(*ids, *sizes) for ids in zip(users, items, strict=True)]
        if valid is None:
            counts = parts[0].share_of_each_user(valid_share)
            chosen = parts[0].drawn(counts, rng_for(seed, "valid"))
            parts = [parts[0][~chosen], parts[1], parts[0][chosen]]
        return cls.of(parts[0], parts[2], parts[1], user_ids=user_ids, item_ids=item_ids)

    def __repr__(self) -> str:
        density = len(self.seen) / max(self.n_users * self.n_items, 1)
        return (
            f"Split({self.n_users:,} users, {self.n_items:,} items, "
            f"{len(self.train):,} + {len(self.valid):,} + {len(self.test):,} "
            f"training, validation and test pairs, density {density:.2%})"
        )

    @property
    def n_users(self) -> int:
        """Number of users in the catalogue."""
        return self.train.n_users

    @property
    def n_items(self) -> int:
        """Number of items in the catalogue."""
        return self.train.n_items

    def met(self) -> Interactions:
        """Return every pair known to be positive: noise must not be drawn from these."""
        parts = (self.train, self.seen, self.valid, self.test, self.false_negatives)
        keys = np.unique(np.concatenate([part.keys for part in parts]))
        users, items = np.divmod(keys, np.int64(self.n_items))
        return Interactions(users, items, self.n_users, self.n_items)


def _pair_weights(values: ArrayLike, n_pairs: int) -> NDArray[np.float64]:
    """Return the weights of the test pairs, (n_pairs,), read-only; ValueError if invalid."""
    weights = np.asarray(values)
    if weights.dtype.kind not in "iuf":
        raise ValueError(f"Split.test_weights has dtype {weights.dtype}; weights are numbers")
    if weights.shape != (n_pairs,):
        raise ValueError(
            f"Split.test_weights has shape {weights.shape}, not ({n_pairs},), one a test pair"
        )
    fit = (weights > 0) & (weights < np.inf)
    if not fit.all():
        raise ValueError(
            f"Split.test_weights holds {weights[int(np.argmin(fit))]}; "
            "weights are finite and above 0"
        )
    return _frozen(weights, np.float64)


def _numbered(columns: list[ArrayLike], name: str) -> tuple[NDArray[Any], list[IntArray]]:
    """Number ids from 0: return the original ids, ascending, and each column as numbers."""
    arrays = [_original_ids(np.asarray(column), name) for column in columns]
    filled = [array for array in arrays if array.size]
    if len({array.dtype for array in filled}) > 1:
        raise ValueError(f"column {name!r} holds whole numbers in one frame and texts in another")
    joined = np.concatenate(filled) if filled else np.empty(0, dtype=np.int64)
    ids, numbers = np.unique(joined, return_inverse=True)
    ends = np.cumsum([array.size for array in arrays])[:-1]
    return ids, np.split(numbers.astype(np.int64), ends)


def _original_ids(column: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the ids of a column, (n,): int64, or texts as objects."""
    if column.ndim != 1:
        raise ValueError(
            f"column {name!r} has shape {column.shape}; there must be one column of that name"
        )
    if column.dtype.kind in "iu" and (not column.size or column.max() <= np.iinfo(np.int64).max):
        return column.astype(np.int64)
    texts = np.asarray(column, dtype=object)
    for one in texts:
        if not isinstance(one, str):
            raise ValueError(f"column {name!r} holds {one!r}; ids are whole numbers, or texts")
    return texts


def _refuse_repeated(
    users: IntArray, items: IntArray, user_ids: NDArray[Any], item_ids: NDArray[Any]
) -> None:
    """Raise ValueError if a frame has a pair twice, with the ids of the frame."""
    pairs = users * np.int64(len(item_ids)) + items
    _, first, counts = np.unique(pairs, return_index=True, return_counts=True)
    if np.any(counts > 1):
        at = first[counts > 1][0]
        user, item = user_ids[users[at]], item_ids[items[at]]
        raise ValueError(f"a frame holds the pair (user {user}, item {item}) twice")
