"""Checking a plugin: each clause that it breaks is told in words, and by what was found."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from click.testing import CliRunner

from robustbench_rec import (
    InputError,
    Loss,
    Metric,
    Perturbation,
    setting,
)
from robustbench_rec.cli.main import main
from robustbench_rec.kit.checking import REGISTRIES, check, components_of


@dataclass(frozen=True, kw_only=True)
class Hidden(Perturbation):
    """Hide a share of the training pairs, as a plugin of one's own would."""

    unit: ClassVar[str] = "share hidden"

    def apply(self, split, rng):
        return replace(split, train=split.train[self.kept(split, rng)])

    def kept(self, split, rng):
        hidden = rng.random(len(split.train)) < self.level
        return ~hidden | (np.diff(split.train.users, prepend=-1) > 0)

    def realised(self, clean, perturbed):
        return {"hidden": 1 - len(perturbed.train) / len(clean.train)}


class Unsaid(Hidden):
    unit: ClassVar[str] = "level"


class DrawsByLevel(Hidden):
    def kept(self, split, rng):
        return super().kept(split, np.random.default_rng(int(100 * self.level)))


class OfItsOwn(Hidden):
    def kept(self, split, rng):
        return super().kept(split, np.random.default_rng())


class LosesUsers(Hidden):
    def kept(self, split, rng):
        return rng.random(len(split.train)) >= 0.9 * self.level


class DoesNothing(Hidden):
    def apply(self, split, rng):
        return split


class TouchesTest(Hidden):
    def apply(self, split, rng):
        return replace(split, test=split.test[split.test.users > 3])


class Falls(Hidden):
    def realised(self, clean, perturbed):
        return {"kept": len(perturbed.train) / len(clean.train)}


class NotANumber(Hidden):
    def realised(self, clean, perturbed):
        return {"hidden": float("nan")}


class TakesAnyLevel(Hidden):
    def __post_init__(self):
        pass


class HidesAtZero(Hidden):
    def kept(self, split, rng):
        return np.arange(len(split.train)) % 8 != 1 if self.level == 0 else super().kept(split, rng)


@dataclass(frozen=True, kw_only=True)
class Hinge(Loss):
    """A hinge, as a plugin of one's own would be."""

    n_negatives: int = setting(8, "sampled negatives", at_least=1)
    source: ClassVar[str] = "an example"

    def __call__(self, batch):
        return (0.5 + batch.neg - batch.pos.unsqueeze(1)).relu().mean()


class Detached(Hinge):
    def __call__(self, batch):
        return super().__call__(batch).detach()


class Vector(Hinge):
    def __call__(self, batch):
        return batch.neg.mean(dim=1) - batch.pos


class Float(Hinge):
    def __call__(self, batch):
        return super().__call__(batch).detach().item()


class Summed(Hinge):
    def __call__(self, batch):
        return super().__call__(batch) * len(batch.pos)


class Inverted(Hinge):
    def __call__(self, batch):
        return batch.pos.mean() - batch.neg.mean()


class Overflows(Hinge):
    def __call__(self, batch):
        return (batch.neg - batch.pos.unsqueeze(1)).mul(500).exp().mean()


class ForgetsNegatives(Hinge):
    def __call__(self, batch):
        return -batch.pos.mean()


@dataclass(frozen=True, kw_only=True)
class Found(Metric):
    """How many test items stand in the top k."""

    additive: ClassVar[bool] = True

    def __call__(self, found, k):
        top = found.top(k)
        return top.sum(top.weights)


class BeyondK(Found):
    def __call__(self, found, k):
        return found.sum(found.weights * (found.ranks <= 2 * k))


class LooksAtOthers(Found):
    def __call__(self, found, k):
        return np.cumsum(super().__call__(found, k))


class Backwards(Found):
    def __call__(self, found, k):
        return -super().__call__(found, k)


class NotASum(Found):
    def __call__(self, found, k):
        return np.sqrt(super().__call__(found, k))


BROKEN = [
    (Unsaid, "says_what_it_is", "its unit is 'level', the default"),
    (DrawsByLevel, "levels_nest", r"pair \(user \d+, item \d+\) is changed at level 0.1, and not"),
    (OfItsOwn, "is_deterministic", r"twice at level 0.1: Split.train differs, such as in the pair"),
    (LosesUsers, "every_user_keeps", r"at level 0.6 user \d+ has no training pair"),
    (DoesNothing, "changes_something", "at level 1 nothing changed"),
    (TouchesTest, "changes_only", r"TouchesTest changed Split\.test"),
    (Falls, "realised_severity", "it falls: at levels 0.1, 0.3, 0.6, 1 it is 0.9"),
    (NotANumber, "realised_severity", "at level 0.1 realised hidden is nan"),
    (TakesAnyLevel, "out_of_range", "level -0.1 is taken; does __post_init__ call"),
    (HidesAtZero, "level_0", "apply at level 0: Split.train differs, such as in the pair"),
    (Detached, "finite_scalar", "of 4 rows and 1 negative: its value has no gradient"),
    (Vector, "finite_scalar", r"it returns a tensor of shape \(4,\), not a tensor of shape \(\)"),
    (Float, "finite_scalar", "it returns float, not a tensor"),
    (Summed, "rows_are_averaged", "of each of them twice .*; is it a sum?"),
    (Inverted, "pulls", "a higher score of the positive raises the loss: slope 0.25 in row 0"),
    (Overflows, "extreme", "positives score -10000, 1 negative 10000: the loss is inf"),
    (ForgetsNegatives, "finite_scalar", "the scores of negatives do not matter to it"),
    (Inverted, "better", "after training, and .* at random"),
    (BeyondK, "after_k", r"user \d+ has [\d.]+ and [\d.]+: at 1, lists of 30"),
    (LooksAtOthers, "order_of_users", "users in the other order"),
    (Backwards, "perfect", r"at 1 user \d+ has .*, and of a perfect list only"),
    (NotASum, "sum_of_its_parts", "the parts and the whole"),
]


@pytest.fixture
def registered(monkeypatch):
    """Return a function that registers a class for as long as a test goes on."""

    def register(cls):
        kind = next(
            name
            for name, base in (("perturbation", Perturbation), ("loss", Loss), ("metric", Metric))
            if issubclass(cls, base)
        )
        held = REGISTRIES[kind]
        _ = len(held)  # all plugins are known before one is added
        monkeypatch.setattr(held, "_classes", dict(held._classes))
        is_made = "__dataclass_params__" in vars(cls)
        made = cls if is_made else dataclass(frozen=True, kw_only=True)(cls)
        made.__doc__ = made.__doc__ or "A broken one."
        return kind, held.add(f"tried_{cls.__name__.lower()}")(made)

    return register


@pytest.mark.parametrize(("cls", "clause", "found"), BROKEN)
def test_a_broken_clause_is_told_by_what_was_found(registered, cls, clause, found):
    clauses = list(check(*registered(cls)))
    (broken,) = (one for one in clauses if clause in one.name)
    assert broken.holds is False
    assert re.search(found, broken.found), broken.found
    assert "\n" not in broken.found
    assert broken.wants.endswith(".")


@pytest.mark.parametrize("cls", [Hidden, Hinge, Found])
def test_what_they_break_holds_of_a_sound_one(registered, cls):
    assert all(one.holds is not False for one in check(*registered(cls)))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            "false_positive",
            "no perturbation, loss or metric is named 'false_positive'; did you mean",
        ),
        ("missing.py", "plugin 'missing.py' did not import: no such file"),
        ("empty.py", r"empty.py registers no perturbation, loss or metric: put @PERTURBATIONS.add"),
    ],
)
def test_what_cannot_be_checked_is_told(tmp_path, monkeypatch, asked, says):
    monkeypatch.chdir(tmp_path)
    Path("empty.py").write_text('"""Nothing."""\n')
    with pytest.raises(InputError, match=says):
        components_of(asked)


def test_the_command_takes_settings_and_tells_its_clauses_as_json():
    run = CliRunner().invoke(main, ["check", "false_positives", "-s", "weights=popularity"])
    assert run.exit_code == 0, run.output
    assert run.output.splitlines()[0] == "false_positives (perturbation)"
    assert run.output.splitlines()[-1] == "11 clauses: 11 hold, 0 do not"
    (told,) = json.loads(CliRunner().invoke(main, ["check", "ndcg", "--json"]).stdout)
    assert (told["name"], told["kind"]) == ("ndcg", "metric")
    assert all(clause["holds"] for clause in told["clauses"])
    for words in (["-s", "weights"], ["-s", "weights=heavy"], ["-s", "tau=1"]):
        refused = CliRunner().invoke(main, ["check", "false_positives", *words])
        assert refused.exit_code == 2
        assert len(refused.output.splitlines()) == 1


def test_a_plugin_that_breaks_a_clause_ends_the_command_with_3(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(main, ["new", "perturbation", "torn_noise"])
    code = Path("torn_noise.py").read_text()
    Path("torn_noise.py").write_text(
        code.replace("(chance >= self.level)", "(chance < self.level)")
    )
    run = CliRunner().invoke(main, ["check", "torn_noise.py"])
    assert run.exit_code == 3
    assert "  FAILS  What a low level corrupts, every higher one corrupts" in run.output
    assert "           the training pair (user 0, item " in run.output
