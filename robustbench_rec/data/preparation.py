"""From the content of a file to a Split: filter, split, draw validation, number ids from 0."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.components.dataset import Dataset, Raw, Table
from robustbench_rec.data.catalog import default_data_dir, resolve
from robustbench_rec.data.doubts import doubts
from robustbench_rec.errors import InputError
from robustbench_rec.interactions import BoolArray, IntArray, Interactions, Split
from robustbench_rec.seeds import Replicate, rng_for


def load_dataset(
    name: str,
    data_dir: Path | str | None = None,
    seed: int = 0,
    replicate: Replicate | None = None,
    **settings: Any,
) -> Split:
    """Return the clean split of a data set, as in a suite with the same seed.

    Args:
        name: the name of a data set in `robustbench-rec data list`, or of your own.
        data_dir: the folder of the data sets; the default folder if None.
        seed: the seed of splitting, validation and holding out, as of a suite.
        replicate: the replicate with this split, in a suite with `replicates_vary = "split"`; None
            for the split of all replicates in a suite with `replicates_vary = "training"`.
        settings: as in a suite's `[[dataset]]` table, such as `hold_out=0.1` or `path="mine.csv"`.

    Raises:
        InputError: unknown data, an unknown setting, or invalid data; one line.

    Warns:
        UserWarning: ids seem to be written in two ways.

    """
    where = Path(data_dir) if data_dir else default_data_dir()
    dataset = resolve({"name": name, **settings}, where, Path.cwd())
    raw = dataset.read(where)
    for doubt in doubts(raw):
        warnings.warn(f"data set {dataset.name}: {doubt}", stacklevel=2)
    return prepare(raw, dataset, seed, replicate)


def load(dataset: Dataset, data_dir: Path, seed: int, replicate: Replicate | None = None) -> Split:
    """Read a data set and prepare it; see `prepare`."""
    return prepare(dataset.read(data_dir), dataset, seed, replicate)


def prepare(raw: Raw, dataset: Dataset, seed: int, replicate: Replicate | None = None) -> Split:
    """Turn the content of a data set into a Split, by the settings common to all data sets.

    A raw log is filtered (`min_rating`, then `k_core`) and split (`split_by`, `test`); pairs below
    `min_rating`, of remaining users and items, become `low_rated`. If parts are given, the test is
    kept, unless `resplit` joins the parts to a log. Validation pairs are drawn from the training
    part, and then held-out pairs (`hold_out`). Given validation pairs are kept if all replicates
    share one split; otherwise equally many per user are drawn again from both parts. Held-out pairs
    stay in `seen`; true pairs that were never observed are only in `false_negatives`. Ids are
    numbered from 0 in the order of the original ids, numbers by value. The order of rows has no
    effect.

    A change of the result must increase `training.config.PROTOCOL`.

    Args:
        raw: the content of the data set.
        dataset: the settings; the name is part of the key of random draws.
        seed: the suite's seed. Splitting, validation and holding out draw independently.
        replicate: part of the key too; None if all replicates share one split.

    Raises:
        InputError: a pair is repeated, in one part or in two; a setting needs ratings or timestamps
            that the data lack; `resplit` is set for one log; or too little is left (the message
            names the step).

    """
    whose = () if replicate is None else (replicate,)

    def rng(purpose: str) -> np.random.Generator:
        return rng_for(seed, dataset.name, *whose, purpose)

    parts = _number(raw)
    train, valid, test, low_rated = _tested(parts, dataset, rng("split"))
    if valid is None or replicate is not None:
        counts = train.share_of_each_user(dataset.valid) if valid is None else valid.user_counts
        train = train if valid is None else train + valid
        chosen = train.drawn(counts, rng("valid"))
        train, valid = train[~chosen], train[chosen]
    held = _held_out(train, dataset, rng("hold_out"))
    never_observed = parts.unobserved.without(train).without(valid).without(test)
    split = Split.of(
        train if dataset.held_out == "kept" else train[~held],
        valid,
        test,
        seen=train,
        false_negatives=train[held] + never_observed,
        user_ids=parts.user_ids,
        item_ids=parts.item_ids,
        low_rated=low_rated,
    )
    return _compact(split, _called(dataset))


def redraws_test(raw: Raw, dataset: Dataset) -> bool:
    """Say whether replicates have different tests: not if the test is given, or by time."""
    return (raw.test is None or dataset.resplit) and dataset.split_by != "time"


LOG_SETTINGS = ("min_rating", "k_core", "split_by", "test")
"""Settings that apply to a raw log only."""


def _tested(
    parts: _Parts, dataset: Dataset, rng: np.random.Generator
) -> tuple[Interactions, Interactions | None, Interactions, Interactions | None]:
    """Return training pairs, validation pairs if given, test and low-rated pairs."""
    train, valid, test = parts.train, parts.valid, parts.test
    if test is None:
        if dataset.resplit:
            raise InputError(
                f"{_called(dataset)} is one log, which is split here anyway; delete resplit = "
                "true, which is for data with given parts"
            )
        log = train
        train, test = _split(_filtered(log, dataset), dataset, rng)
        return train, valid, test, _low_rated(log, dataset, test)
    asked = _user_settings_of_log(dataset)
    if dataset.resplit:
        log = train + test if valid is None else train + valid + test
        # Its filters, unless a user asks for more, were applied before it was split.
        unfiltered = replace(dataset, **({"min_rating": 0.0, "k_core": 0} | asked))
        train, test = _split(_filtered(log, unfiltered), unfiltered, rng)
        return train, None, test, _low_rated(log, unfiltered, test)
    if asked:
        name, value = next(iter(asked.items()))
        raise InputError(
            f"{_called(dataset)} has given parts, so {name} = {value!r} does not apply; delete "
            "it, or set resplit = true to join the parts and split them again"
        )
    return train, valid, test, None


def _low_rated(log: Interactions, dataset: Dataset, test: Interactions) -> Interactions | None:
    """Return the pairs of a log below `min_rating`; None if it is not set.

    If the test is the last part of the timeline, only earlier pairs count.
    """
    if log.ratings is None or not dataset.min_rating:
        return None
    low = log.ratings < dataset.min_rating
    if dataset.split_by == "time" and log.timestamps is not None and test.timestamps is not None:
        low &= log.timestamps < test.timestamps.min()
    return log[low]


def _user_settings_of_log(dataset: Dataset) -> dict[str, Any]:
    """Return the settings of the user, without defaults of a catalogued data set."""
    own = [field for field in fields(dataset) if field.name in LOG_SETTINGS]
    values = {field.name: getattr(dataset, field.name) for field in own}
    return {one.name: values[one.name] for one in own if values[one.name] != one.default}


@dataclass(frozen=True, eq=False)
class _Parts:
    """The parts of a Raw, numbered over the ids of all of them, unobserved ones included."""

    train: Interactions
    valid: Interactions | None
    test: Interactions | None
    unobserved: Interactions
    user_ids: NDArray[Any]
    item_ids: NDArray[Any]


def _number(raw: Raw) -> _Parts:
    given = [raw.train, raw.valid, raw.test, raw.unobserved]
    tables = [table for table in given if table is not None]
    users, user_ids = _coded([table.users for table in tables])
    items, item_ids = _coded([table.items for table in tables])
    pairs = [
        _pairs(table, u, i, user_ids, item_ids)
        for table, u, i in zip(tables, users, items, strict=True)
    ]
    found = iter(pairs)
    train, valid, test, unobserved = (None if table is None else next(found) for table in given)
    assert train is not None
    parts = _Parts(train, valid, test, unobserved or train.none(), user_ids, item_ids)
    for (one, held), (two, part) in combinations(_observed(raw, parts), 2):
        _refuse_shared(one, held, two, part, parts)
    return parts


def _coded(columns: list[NDArray[Any]]) -> tuple[list[IntArray], NDArray[Any]]:
    """Return the columns as positions in the array of all their ids, and this array."""
    together = np.concatenate([np.asarray(column) for column in _alike(columns)])
    bounds = np.cumsum([len(column) for column in columns])[:-1]
    if together.dtype.kind in "iu":
        ids, places = np.unique(together, return_inverse=True)
        return np.split(places, bounds), ids
    import pandas as pd  # which finds equal texts without sorting them all

    codes, found = pd.factorize(together)
    texts = np.array(found.tolist(), dtype=np.str_)
    order = np.argsort(texts)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    return np.split(place[codes], bounds), texts[order]


def _alike(columns: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Make ids text in every part if they are text in any."""
    if all(np.asarray(column).dtype.kind in "iu" for column in columns):
        return columns
    return [np.asarray(column).astype(str).astype(object) for column in columns]


def _pairs(
    table: Table, users: IntArray, items: IntArray, user_ids: NDArray[Any], item_ids: NDArray[Any]
) -> Interactions:
    keys = users * np.int64(item_ids.size) + items
    order = np.argsort(keys, kind="stable")
    again = np.flatnonzero(np.diff(keys[order]) == 0)
    if again.size:
        at = order[again[0]]
        raise InputError(
            f"{_of(table)} holds the pair (user {user_ids[users[at]]}, item {item_ids[items[at]]}) "
            f"more than once ({again.size} repeats in all); keep one event per pair"
        )
    sizes = (user_ids.size, item_ids.size)
    return Interactions.of(users, items, *sizes, table.timestamps, table.ratings)


def _of(table: Table) -> str:
    return table.where or "the data"


def _observed(raw: Raw, parts: _Parts) -> list[tuple[Table, Interactions]]:
    tables = ((raw.train, parts.train), (raw.valid, parts.valid), (raw.test, parts.test))
    return [(table, pairs) for table, pairs in tables if table is not None and pairs is not None]


def _refuse_shared(
    one: Table, held: Interactions, two: Table, part: Interactions, parts: _Parts
) -> None:
    shared = np.flatnonzero(held.holds(part.users, part.items))
    if shared.size:
        user, item = part.users[shared[0]], part.items[shared[0]]
        raise InputError(
            f"{two.where or 'one part'} holds {shared.size} pairs that "
            f"{one.where or 'another'} holds too, such as "
            f"(user {parts.user_ids[user]}, item {parts.item_ids[item]}); a pair may be in one "
            "part only"
        )


def _filtered(log: Interactions, dataset: Dataset) -> Interactions:
    _refuse_small(log, f"{_called(dataset)} holds")
    if dataset.min_rating:
        if log.ratings is None:
            raise InputError(
                f"{_called(dataset)} has no ratings, so min_rating={dataset.min_rating:g} does "
                "not apply; set min_rating = 0, or name the column with rating_column"
            )
        log = log[log.ratings >= dataset.min_rating]
        _refuse_small(log, f"{_called(dataset)}: min_rating={dataset.min_rating:g} leaves")
    log = log[in_core(log, dataset.k_core)]
    _refuse_small(log, f"{_called(dataset)}: k_core={dataset.k_core} leaves")
    return log


def _called(dataset: Dataset) -> str:
    return dataset.name or type(dataset).__name__


def _refuse_small(log: Interactions, says: str) -> None:
    _refuse_few(int((log.user_counts > 0).sum()), int((log.item_counts > 0).sum()), says)


def _refuse_few(users: int, items: int, says: str) -> None:
    if min(users, items) < 2:
        raise InputError(
            f"{says} {users} users and {items} items; at least 2 users and 2 items are needed"
        )


def in_core(log: Interactions, k: int) -> BoolArray:
    """Return the mask (n,) of the largest subset whose users and items all have `k` pairs."""
    kept = np.arange(len(log))
    while True:
        users, items = log.users[kept], log.items[kept]
        enough = np.bincount(users, minlength=log.n_users)[users] >= k
        enough &= np.bincount(items, minlength=log.n_items)[items] >= k
        if enough.all():
            mask = np.zeros(len(log), dtype=np.bool_)
            mask[kept] = True
            return mask
        kept = kept[enough]


def _split(
    log: Interactions, dataset: Dataset, rng: np.random.Generator
) -> tuple[Interactions, Interactions]:
    if dataset.split_by == "time":
        tested = _latest(log, dataset)
        train = log[~tested]
        has_past = train.user_counts[log.users] > 0
        test = log[tested & has_past]
    else:
        tested = log.drawn(_test_counts(log, dataset.test), rng)
        train, test = log[~tested], log[tested]
    if not len(test):
        raise InputError(
            f"{_called(dataset)}: split_by={dataset.split_by!r} with test={dataset.test:g} leaves "
            "no test pair; a user needs two pairs, one of them for training"
        )
    return train, test


def _latest(log: Interactions, dataset: Dataset) -> BoolArray:
    """Return the mask (n,) of the last share of the timeline; ties by user and item."""
    if log.timestamps is None:
        raise InputError(
            f"{_called(dataset)} has no timestamps, so split_by='time' does not apply; "
            "set split_by = 'ratio', or name the column with timestamp_column"
        )
    tested = np.zeros(len(log), dtype=np.bool_)
    newest_last = np.argsort(log.timestamps, kind="stable")
    tested[newest_last[len(log) - round(dataset.test * len(log)) :]] = True
    return tested


def _test_counts(log: Interactions, share: float) -> IntArray:
    """Return the number of test pairs of each user: rounded up, but one stays for training.

    The published splits of these data sets round up too.
    """
    counts = np.ceil(share * log.user_counts - 1e-9).astype(np.int64)
    return np.asarray(np.minimum(counts, np.maximum(log.user_counts - 1, 0)))


def _held_out(train: Interactions, dataset: Dataset, rng: np.random.Generator) -> BoolArray:
    """Return the mask (n,) of the held-out training pairs; a larger share adds pairs."""
    if dataset.hold_out_by == "user":
        return train.drawn(train.share_of_each_user(dataset.hold_out), rng)
    places = rng.random(len(train))
    last = np.lexsort((places, train.users))[train.starts[1:][train.user_counts > 0] - 1]
    places[last] = np.inf  # a user's last pair stays
    held = np.zeros(len(train), dtype=np.bool_)
    held[np.argsort(places)[: round(dataset.hold_out * len(train))]] = True
    return held & np.isfinite(places)


def _compact(split: Split, called: str) -> Split:
    """Drop users and items without observed pairs, and number the rest from 0."""
    observed = (split.seen, split.valid, split.test)
    users = np.sum([part.user_counts for part in observed], axis=0) > 0
    items = np.sum([part.item_counts for part in observed], axis=0) > 0
    n_users, n_items = int(users.sum()), int(items.sum())
    _refuse_few(n_users, n_items, f"{called} holds")
    user_codes, item_codes = np.cumsum(users) - 1, np.cumsum(items) - 1

    def compact(part: Interactions) -> Interactions:
        part = part[users[part.users] & items[part.items]]
        ids = {"users": user_codes[part.users], "items": item_codes[part.items]}
        return replace(part, **ids, n_users=n_users, n_items=n_items)

    return replace(
        split,
        train=compact(split.train),
        seen=compact(split.seen),
        valid=compact(split.valid),
        test=compact(split.test),
        false_negatives=compact(split.false_negatives),
        low_rated=None if split.low_rated is None else compact(split.low_rated),
        user_ids=None if split.user_ids is None else split.user_ids[users],
        item_ids=None if split.item_ids is None else split.item_ids[items],
    )
