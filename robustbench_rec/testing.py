"""Contracts for perturbations, losses, metrics; plugin authors test theirs by the same classes.

from robustbench_rec import PERTURBATIONS
from robustbench_rec.testing import PerturbationContract

class TestMyNoise(PerturbationContract):
    perturbation = PERTURBATIONS["my_noise"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from robustbench_rec.components.loss import Batch, Loss, bound, rows_of
from robustbench_rec.components.metric import FloatArray, ListMetric, Metric, Ranks
from robustbench_rec.components.perturbation import MAY_CHANGE, Perturbation, perturb, same_part
from robustbench_rec.evaluation.metrics import list_values, user_values
from robustbench_rec.interactions import IntArray, Interactions, Split
from robustbench_rec.seeds import rng_for
from robustbench_rec.training.row_form import RowForm

PARTS = (
    *("train", "seen", "valid", "test", "test_weights"),
    *("false_negatives", "contamination", "spares_positive"),
)


def toy_split(n_users: int = 60, n_items: int = 40, seed: int = 0) -> Split:
    """Make a small split with every part filled, a pool of false negatives among them.

    Each user holds 14 items, popular ones more often: 8 to train on, then 2 for each of the
    validation set, the test and the false negatives.
    """
    rng = rng_for(seed, "toy split")
    keys = rng.random((n_users, n_items)) ** np.arange(1, n_items + 1)
    items = np.argsort(-keys, axis=1)[:, :14]
    rng.permuted(items, axis=1, out=items)
    train, valid, test, held_out = (
        Interactions.of(
            np.repeat(np.arange(n_users), part.shape[1]), part.ravel(), n_users, n_items
        )
        for part in np.split(items, [8, 10, 12], axis=1)
    )
    return Split.of(train, valid, test, seen=train + held_out, false_negatives=held_out)


class PerturbationContract:
    """What every perturbation must hold; subclass it and name yours.

    Attributes:
        perturbation: the class under test.
        settings: its settings besides the level.
        levels: ascending, from above 0; `max_level` bounds them.

    """

    perturbation: ClassVar[type[Perturbation]]
    settings: ClassVar[Mapping[str, Any]] = {}
    levels: ClassVar[tuple[float, ...]] = (0.1, 0.3, 0.6, 1.0)

    def at(self, level: float, split: Split | None = None) -> Split:
        """Return the toy split under the perturbation at a level; always the same generator."""
        chosen = self.perturbation(level=level, **self.settings)
        return perturb(chosen, split or toy_split(), rng_for(0, "contract"))

    def test_says_what_it_is(self) -> None:
        assert self.perturbation.name, "register it: @PERTURBATIONS.add(name)"
        assert self.perturbation.__doc__
        assert self.perturbation.unit != Perturbation.unit, "say what a level measures"
        assert self.perturbation.acts_through in MAY_CHANGE

    def test_level_0_is_the_identity(self) -> None:
        clean = toy_split()
        chosen = self.perturbation(level=0, **self.settings)
        assert _changed(clean, perturb(chosen, clean, rng_for(0))) == set()
        try:
            applied = chosen.apply(clean, rng_for(0))
        except ValueError:
            return  # perturb never applies level 0, so refusing it is fine
        # From what false negatives are drawn matters only where some are.
        allowed = {*MAY_CHANGE["negatives"]} - {"contamination"}
        if chosen.acts_through != "test":
            is_of_negatives = chosen.acts_through == "negatives"
            assert _changed(clean, applied) <= (allowed if is_of_negatives else set())

    def test_changes_something(self) -> None:
        assert _changed(toy_split(), self.at(self.levels[-1]))

    def test_is_deterministic(self) -> None:
        assert _changed(self.at(self.levels[1]), self.at(self.levels[1])) == set()

    def test_leaves_the_input_alone(self) -> None:
        clean = toy_split()
        self.at(self.levels[-1], clean)
        assert _changed(clean, toy_split()) == set()

    def test_changes_only_what_it_may(self) -> None:
        for level in self.levels:
            changed = _changed(toy_split(), self.at(level))
            assert changed <= set(MAY_CHANGE[self.perturbation.acts_through])

    def test_ids_stay_in_range(self) -> None:
        for level in self.levels:
            perturbed = self.at(level)
            assert (perturbed.n_users, perturbed.n_items) == (60, 40)

    def test_every_user_keeps_a_training_pair(self) -> None:
        for level in self.levels:
            assert self.at(level).train.user_counts.min() > 0

    def test_levels_nest(self) -> None:
        if self.perturbation.acts_through == "test":
            pytest.skip("the test alone is changed; its severity is monotone instead")
        clean = toy_split()
        for low, high in zip(self.levels, self.levels[1:], strict=False):
            one, two = self.at(low), self.at(high)
            assert _corrupted(clean, one) <= _corrupted(clean, two)
            assert one.contamination <= two.contamination

    def test_realised_severity_grows_with_the_level(self) -> None:
        clean = toy_split()
        severities = []
        for level in self.levels:
            chosen = self.perturbation(level=level, **self.settings)
            realised = chosen.realised(clean, self.at(level))
            assert all(np.isfinite(value) for value in realised.values())
            severities.append(next(iter(realised.values())))
        assert severities == sorted(severities)
        assert severities[0] < severities[-1]

    def test_a_level_out_of_range_is_refused(self) -> None:
        for level in (-0.1, self.perturbation.max_level + 0.1, float("nan")):
            with pytest.raises(ValueError, match="level"):
                self.perturbation(level=level, **self.settings)


def _changed(before: Split, after: Split) -> set[str]:
    return {part for part in PARTS if not same_part(getattr(before, part), getattr(after, part))}


def _corrupted(clean: Split, perturbed: Split) -> set[int]:
    """Return the training pairs that were added or removed, by their keys."""
    return set(np.setxor1d(clean.train.keys, perturbed.train.keys).tolist())


def batch_of(pos: Tensor, neg: Tensor, users: Tensor | None = None, step: int = 0) -> Batch:
    """Make a batch of scores alone: users 0 to B - 1 unless given, items below 9, any embeddings.

    Args:
        pos: (B,).
        neg: (B, N).
        users: (B,) int64.
        step: steps taken before.

    """
    n_rows, n_slots = neg.shape
    rng = rng_for(0, "batch", n_rows, n_slots)
    vectors = torch.as_tensor(rng.normal(size=(2, n_rows, 4)), dtype=pos.dtype)
    return Batch(
        pos=pos,
        neg=neg,
        users=torch.arange(n_rows) if users is None else users,
        items=torch.as_tensor(rng.integers(9, size=n_rows)),
        negatives=torch.as_tensor(rng.integers(9, size=(n_rows, n_slots))),
        user_vectors=vectors[0],
        item_vectors=vectors[1],
        step=step,
    )


class LossContract:
    """What every loss must hold; subclass it and name yours.

    Attributes:
        loss: the loss under test, with its settings.

    """

    loss: ClassVar[Loss]

    def scores(self, n: int, rows: int = 4) -> tuple[Tensor, Tensor]:
        """Return random cosine-range scores (rows,) and (rows, n) in double precision."""
        rng = rng_for(0, "scores", n)
        pos = torch.tensor(rng.uniform(-0.9, 0.9, rows), requires_grad=True)
        neg = torch.tensor(rng.uniform(-0.9, 0.9, (rows, n)), requires_grad=True)
        return pos, neg

    def value(self, pos: Tensor, neg: Tensor, users: Tensor | None = None) -> Tensor:
        """Return the loss, bound anew, of a batch of such scores."""
        batch = batch_of(pos, neg, users)
        return bound(self.loss, n_users=len(pos), n_items=9, seed=0)(batch)

    def gradients(self, pos: Tensor, neg: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return value and gradients with respect to both kinds of score."""
        value = self.value(pos, neg)
        by_pos, by_neg = torch.autograd.grad(value, (pos, neg))
        return value, by_pos, by_neg

    def test_says_what_it_is(self) -> None:
        assert self.loss.name, "register it: @LOSSES.add(name)"
        assert type(self.loss).__doc__
        assert self.loss.source, "name the paper"

    @pytest.mark.parametrize("n", [1, 2, 1000])
    def test_is_a_finite_scalar(self, n: int) -> None:
        value, by_pos, by_neg = self.gradients(*self.scores(n))
        assert value.shape == ()
        assert value.isfinite()
        assert by_pos.isfinite().all()
        assert by_neg.isfinite().all()

    @pytest.mark.parametrize("n", [1, 1000])
    def test_is_finite_at_extreme_scores(self, n: int) -> None:
        largest = 1.0 if self.loss.score == "cosine" else 1e4
        for sign in (-1, 1):
            pos = torch.full((2,), -sign * largest, requires_grad=True)
            neg = torch.full((2, n), sign * largest, requires_grad=True)
            for result in self.gradients(pos, neg):
                assert result.isfinite().all()

    @pytest.mark.parametrize("n", [1, 7])
    def test_pulls_positives_up_and_pushes_negatives_down(self, n: int) -> None:
        _, by_pos, by_neg = self.gradients(*self.scores(n))
        assert (by_pos <= 0).all()
        assert (by_neg >= 0).all()
        assert by_pos.min() < 0
        assert by_neg.max() > 0

    def test_gradient_is_the_derivative(self) -> None:
        assert torch.autograd.gradcheck(self.value, self.scores(5))

    @pytest.mark.parametrize("n", [1, 7, 200])
    def test_the_compiled_form_is_the_loss(self, n: int) -> None:
        objective = bound(self.loss, n_users=4, n_items=9, seed=0)
        rows = rows_of(objective)
        if rows is None:
            pytest.skip("it has no compiled form (rows)")
        form, (pos, neg) = RowForm(rows, n_users=4), self.scores(n)
        learned = [part for part in (rows.own,) if part is not None and part.requires_grad]
        single = torch.cat([pos.unsqueeze(1), neg], dim=1).detach().float().requires_grad_()
        got = form.loss.of_scores(single, form.own(torch.arange(4)))
        scores = single.detach().double().requires_grad_()
        expected = objective(batch_of(scores[:, 0], scores[:, 1:], torch.arange(4)))
        torch.testing.assert_close(got.double(), expected, rtol=1e-6, atol=1e-6)
        slopes = torch.autograd.grad(got, [single, *learned])
        derivatives = torch.autograd.grad(expected, [scores, *learned])
        largest = max(derivative.abs().max() for derivative in derivatives)
        for slope, derivative in zip(slopes, derivatives, strict=True):
            away = (slope.double() - derivative).abs().max()
            assert away <= 1e-6 * largest, "its slopes are not the derivative of its call"

    def test_rows_are_averaged(self) -> None:
        pos, neg = self.scores(3)
        users = torch.arange(4)
        objective = bound(self.loss, n_users=4, n_items=9, seed=0)
        once = batch_of(pos, neg, users)
        parts = ("pos", "neg", "users", "items", "negatives", "user_vectors", "item_vectors")
        doubled: dict[str, Any] = {part: torch.cat([getattr(once, part)] * 2) for part in parts}
        twice = replace(once, **doubled)
        assert torch.allclose(objective(once), objective(twice))


class MetricContract:
    """What every metric of users must hold; subclass it and name yours.

    Attributes:
        metric: the class under test.

    """

    metric: ClassVar[type[Metric | ListMetric]]

    def value(self, found: Ranks, k: int) -> FloatArray:
        """Return the metric at k, (U,), checked as an evaluation checks it."""
        return user_values(found, [k], [self.metric.name])[f"{self.metric.name}@{k}"]

    def ranks(self, depth: int = 30, weighted: bool = False, order: slice = slice(None)) -> Ranks:
        """Return ranks in random lists of 40 users; the first finds nothing.

        Args:
            depth: how long the lists are, at most 30.
            weighted: whether the test items count for several amounts, of mean 1 for each user.
            order: of the users.

        """
        rng = rng_for(0, "ranks")
        hits = rng.random((40, 30)) < rng.uniform(0, 0.8, (40, 1))
        hits[0] = False
        counts = hits.sum(axis=1) + rng.integers(1, 9, 40)
        found = Ranks.of(hits[order, :depth], counts[order])
        return self.weighing(found, rng) if weighted else found

    def weighing(self, found: Ranks, rng: np.random.Generator) -> Ranks:
        """Return the same ranks under random weights of mean 1 for each user."""
        drawn = rng.uniform(0.1, 1, found.user.size)
        weights = drawn / (found.sum(drawn) / found.counts)[found.user]
        return replace(found, weights=weights)

    def weightings(self) -> tuple[bool, ...]:
        """Say what it meets: weighted ranks (True) only where it says that it is additive."""
        return (False, True) if self.metric.additive else (False,)

    def test_says_what_it_is(self) -> None:
        assert self.metric.name, "register it: @METRICS.add(name)"
        assert issubclass(self.metric, Metric), "one of all lists has its ListMetricContract"
        assert self.metric.__doc__

    @pytest.mark.parametrize("k", [1, 10, 50])
    def test_is_a_finite_number_for_each_user(self, k: int) -> None:
        for depth in (1, 30):
            for weighted in self.weightings():
                assert self.value(self.ranks(depth, weighted), k).shape == (40,)
        assert self.value(self.ranks(order=slice(0)), k).shape == (0,)

    def test_places_after_k_do_not_count(self) -> None:
        for k in (1, 10):
            np.testing.assert_array_equal(
                self.value(self.ranks(), k), self.value(self.ranks(depth=k), k)
            )

    def test_the_order_of_users_does_not_matter(self) -> None:
        turned = self.value(self.ranks(order=slice(None, None, -1)), 10)
        np.testing.assert_array_equal(self.value(self.ranks(), 10), turned[::-1])

    def test_a_perfect_list_is_at_least_as_good_as_any_other(self) -> None:
        for weighted in self.weightings():
            found = self.ranks(weighted=weighted)
            for k in (1, 10):
                best, value = self.value(found.best, k), self.value(found, k)
                assert np.all(best >= value - 1e-12)
                assert np.any(best > value)

    def test_a_sum_over_test_items_is_the_sum_of_its_parts(self) -> None:
        if not self.metric.additive:
            pytest.skip("it says that it is no sum over test items")
        for weighted in (False, True):
            found = self.ranks(weighted=weighted)
            part = rng_for(0, "parts").integers(3, size=found.user.size)
            parts = [self.value(found.finding(part == one), 10) for one in range(3)]
            np.testing.assert_allclose(sum(parts), self.value(found, 10), rtol=1e-9, atol=1e-12)

    def test_a_test_item_adds_in_proportion_to_its_weight(self) -> None:
        if not self.metric.additive:
            pytest.skip("it is not computed where the test is weighted")
        plain = self.ranks()
        one = self.weighing(plain, rng_for(0, "one weighting"))
        two = self.weighing(plain, rng_for(0, "another"))
        for place in (1, 2, 3):
            alone = plain.order == place
            added = [self.value(weighed.finding(alone), 10) for weighed in (one, two)]
            weights = [weighed.sum(weighed.weights * alone) for weighed in (one, two)]
            np.testing.assert_allclose(added[0] * weights[1], added[1] * weights[0], rtol=1e-9)


class ListMetricContract:
    """What every metric of all lists together must hold; subclass it and name yours.

    Attributes:
        metric: the class under test.

    """

    metric: ClassVar[type[Metric | ListMetric]]

    def lists(self) -> IntArray:
        """Return the lists (40, 12) of 30 items; some end before their end."""
        rng = rng_for(0, "lists")
        lists = np.argsort(rng.random((40, 30)), axis=1)[:, :12]
        return np.where(np.arange(12) < rng.integers(3, 13, (40, 1)), lists, -1)

    def value(self, recommended: IntArray, k: int) -> float:
        """Return the metric at k, checked as an evaluation checks it."""
        name, popularity = self.metric.name, np.arange(30)
        return list_values(recommended, popularity, [k], [name])[f"{name}@{k}"]

    def test_says_what_it_is(self) -> None:
        assert self.metric.name, "register it: @METRICS.add(name)"
        assert issubclass(self.metric, ListMetric), "one of users has its MetricContract"
        assert self.metric.__doc__

    @pytest.mark.parametrize("k", [1, 10, 50])
    def test_is_a_finite_number(self, k: int) -> None:
        assert np.isfinite(self.value(self.lists(), k))

    def test_places_after_k_do_not_count(self) -> None:
        assert self.value(self.lists(), 5) == self.value(self.lists()[:, :5], 5)

    def test_the_order_of_users_does_not_matter(self) -> None:
        assert self.value(self.lists(), 5) == self.value(self.lists()[::-1], 5)
