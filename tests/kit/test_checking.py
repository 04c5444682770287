"""Checking a plugin: each clause that it breaks is told in words, and by what was found."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from plugins import forgotten

from robustbench_rec import (
    Backbone,
    Dataset,
    InputError,
    Loss,
    Metric,
    Perturbation,
    setting,
)
from robustbench_rec.cli.main import main
from robustbench_rec.components.dataset import Raw
from robustbench_rec.components.dataset import Table as Log
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


class Undocumented(Hidden):
    __doc__ = None


class Exits(Hidden):
    def apply(self, split, rng):
        raise SystemExit(0)


class Asserts(Hidden):
    def apply(self, split, rng):
        raise AssertionError("one\ntwo")


class Warns(Hidden):
    def apply(self, split, rng):
        click.echo("a word")
        return super().apply(split, rng)


class Writes(Hidden):
    def apply(self, split, rng):
        object.__setattr__(split, "low_rated", None)
        return super().apply(split, rng)


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


@dataclass(frozen=True, kw_only=True)
class Table(Backbone):
    """A table of embeddings, as a plugin of one's own would be."""

    source: ClassVar[str] = "an example"

    def build(self, train, generator):
        return Embeddings(
            self.drawn(train.n_users, generator), self.drawn(train.n_items, generator)
        )

    def drawn(self, n, generator):
        return torch.randn(n, self.dim, generator=generator)


class Embeddings(torch.nn.Module):
    def __init__(self, users, items):
        super().__init__()
        self.users, self.items = (torch.nn.Parameter(table) for table in (users, items))

    def forward(self):
        return self.users, self.items


class DrawsElsewhere(Table):
    def drawn(self, n, generator):
        return torch.randn(n, self.dim)


class Narrow(Table):
    def drawn(self, n, generator):
        return super().drawn(n, generator)[:, 1:]


class Doubles(Table):
    def drawn(self, n, generator):
        return super().drawn(n, generator).double()


class SaysItLearnsNothing(Table):
    learns: ClassVar[bool] = False


class OneTable(Table):
    def build(self, train, generator):
        return torch.nn.Identity().requires_grad_()


class Stays(Table):
    def build(self, train, generator):
        module = super().build(train, generator)
        module.mean = torch.zeros(3)
        return module


class Idle(Table):
    def build(self, train, generator):
        module = super().build(train, generator)
        module.spare = torch.nn.Parameter(torch.ones(2))
        return module


class DividesByCounts(Table):
    def build(self, train, generator):
        counts = torch.tensor(train.user_counts, dtype=torch.float32).unsqueeze(1)
        return Embeddings(
            self.drawn(train.n_users, generator) / counts, self.drawn(train.n_items, generator)
        )


class Forgets(Table):
    def build(self, train, generator):
        module = super().build(train, generator)
        module.forward = lambda: (module.users + torch.rand(1), module.items)
        return module


@dataclass(frozen=True, kw_only=True)
class World(Dataset):
    """A made-up log, as a plugin of one's own would be."""

    source: ClassVar[str] = "an example"
    licence: ClassVar[str] = "CC0"

    def read(self, data_dir):
        return Raw(self.log())

    def log(self):
        users, items = np.divmod(np.arange(200), 20)
        return Log(users=users, items=(items * 7 + users) % 25)

    def fingerprint(self, data_dir):
        return "1"


class Unlicensed(World):
    licence: ClassVar[str] = ""


class Torn(World):
    def log(self):
        return replace(super().log(), ratings=np.ones(3))


class Shuffled(World):
    def log(self):
        order = np.random.default_rng().permutation(200)
        log = super().log()
        return replace(log, users=log.users[order], items=log.items[order])


class Restless(World):
    def fingerprint(self, data_dir):
        return str(np.random.default_rng().random())


class Single(World):
    def log(self):
        return Log(users=np.arange(40), items=np.arange(40) % 20)


class NoRaw(World):
    def read(self, data_dir):
        return self.log()


BROKEN = [
    (Unsaid, "says_what_it_is", "its unit is 'level', the default"),
    (Undocumented, "says_what_it_is", "its class has no docstring"),
    (Exits, "changes_something", "it raised SystemExit: 0"),
    (Asserts, "changes_something", "it raised AssertionError: one two"),
    (Writes, "leaves_the_input", "the split that was given: Split.low_rated differs"),
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
    (DrawsElsewhere, "generator_alone", "the embeddings of users differ under one seed"),
    (Narrow, "asked_shape", r"of users have the shape \(60, 63\), not \(60, 64\)"),
    (Doubles, "asked_shape", "those of users are torch.float64"),
    (
        SaysItLearnsNothing,
        "only_what_learns",
        "does not say that it learns, and has some parameters",
    ),
    (OneTable, "asked_shape", "it raised TypeError"),
    (Stays, "moves_with", "Embeddings.mean is neither of both"),
    (Idle, "gradients_reach", "spare has no gradient"),
    (DividesByCounts, "no_training_pair", r"user 1 gets \[.*(inf|nan)"),
    (Forgets, "repeats", "the embeddings of users differ"),
    (Unlicensed, "says_what_it_is", "it has no licence"),
    (Torn, "reads_pairs", "train has 200 users and 3 ratings"),
    (Shuffled, "same_each_time", "the users of train differ; fix every seed"),
    (Restless, "fingerprint", "it is 0.* at first, and then 0"),
    (Single, "can_be_split", "leaves no test pair; a user needs two"),
    (NoRaw, "reads_pairs", "read returns Table, not Raw"),
]


BASES = {
    "perturbation": Perturbation,
    "loss": Loss,
    "metric": Metric,
    "backbone": Backbone,
    "data set": Dataset,
}


@pytest.fixture
def registered():
    """Return a function that registers a class for as long as a test goes on."""

    def register(cls):
        kind = next(name for name, base in BASES.items() if issubclass(cls, base))
        is_made = "__dataclass_params__" in vars(cls)
        made = cls if is_made else dataclass(frozen=True, kw_only=True)(cls)
        if cls is not Undocumented and made.__doc__.startswith(f"{cls.__name__}("):
            made.__doc__ = "A broken one."
        return kind, REGISTRIES[kind].add(f"tried_{cls.__name__.lower()}")(made)

    with forgotten():
        yield register


@pytest.mark.parametrize(("cls", "clause", "found"), BROKEN)
def test_a_broken_clause_is_told_by_what_was_found(registered, cls, clause, found):
    broken = next(one for one in check(*registered(cls)) if clause in one.name)
    assert broken.holds is False
    assert re.search(found, broken.found), broken.found
    assert "\n" not in broken.found
    assert broken.wants.endswith(".")


FILE = '''
import sys
from dataclasses import dataclass

from robustbench_rec import DATASETS, Dataset


@DATASETS.add("tried_file")
@dataclass(frozen=True, kw_only=True)
class Filed(Dataset):
    """A data set of a file."""

    source = "an example"
    licence = "CC0"

    def fingerprint(self, data_dir):
        print("reading")
        return FINGERPRINT
'''


@pytest.mark.parametrize(
    ("fingerprint", "found"),
    [
        ("'1'", ""),
        ("str(hash('words'))", r"^it is -?\d+ here, and -?\d+ in another process$"),
        ("str(1 // ('pytest' in sys.modules))", "^another process fails: ZeroDivision.* by zero$"),
    ],
)
def test_a_fingerprint_is_asked_for_in_another_process(tmp_path, fingerprint, found):
    (tmp_path / "filed.py").write_text(FILE.replace("FINGERPRINT", fingerprint))
    with forgotten():
        ((kind, cls),) = components_of(str(tmp_path / "filed.py"))
        clause = next(one for one in check(kind, cls) if "another_process" in one.name)
    assert clause.holds is (not found), clause.found
    assert re.search(found, clause.found)


def test_a_plugin_that_cannot_be_made_is_told_in_one_line(registered):
    kind, cls = registered(Hidden)
    cls.max_level = None
    with pytest.raises(InputError, match="tried_hidden cannot be made: TypeError"):
        check(kind, cls)
    del cls.max_level


@pytest.mark.parametrize("cls", [Hidden, Warns, Hinge, Found, Table, World])
def test_what_they_break_holds_of_a_sound_one(registered, cls):
    assert all(one.holds is not False for one in check(*registered(cls)))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            "false_positive",
            "nothing with a contract is named 'false_positive'; did you mean",
        ),
        ("missing.py", "plugin 'missing.py' could not be imported: no such file"),
        ("empty.py", r"empty.py registers nothing: put @PERTURBATIONS.add"),
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
    assert "  FAILS  A higher level corrupts all that a lower one does" in run.output
    assert "           the training pair (user 0, item " in run.output
