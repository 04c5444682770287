from dataclasses import dataclass, replace

import numpy as np
import pytest

from robustbench_rec import Interactions, Perturbation
from robustbench_rec.components.perturbation import perturb
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import toy_split


@dataclass(frozen=True)
class Rogue(Perturbation):
    """Does whatever the test asks of it."""

    does: str = ""

    def apply(self, split, rng):
        match self.does:
            case "nothing":
                return split
            case "touches test":
                return replace(split, test=split.test[np.arange(3)])
            case "touches seen":
                return replace(split, seen=split.train)
            case "leaks as false negatives":
                return replace(split, false_negatives=split.test)
            case "weighs":
                return replace(split, test_weights=np.ones(len(split.test)))
            case "tests on others":
                item = np.argmin(split.met().holds(0, np.arange(40)))
                return replace(split, test=split.test + Interactions.of([0], [item], 60, 40))
            case "empties":
                return replace(split, train=split.train.none())
            case "leaks":
                return replace(split, train=split.train + split.valid)
            case "writes":
                split.train.users[0] = 1
            case "out of range":
                train = split.train
                return replace(split, train=replace(train, items=train.items + 30))
        return None


class RogueOfTests(Rogue):
    acts_through = "test"


def run(does, rogue=Rogue):
    return perturb(rogue(level=0.5, does=does), toy_split(), rng_for(0))


def test_doing_nothing_is_allowed():
    assert run("nothing").train == toy_split().train


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("touches test", "Rogue changed Split.test; with acts_through = 'training pairs' it may"),
        ("touches seen", "Rogue changed Split.seen"),
        ("leaks", "Rogue put 120 pairs of Split.valid into Split.train"),
        ("leaks as false negatives", "Rogue put 120 pairs of Split.test into Split.false_neg"),
        ("empties", "Rogue left no training pair"),
        ("writes", "Rogue.apply: assignment destination is read-only"),
        ("out of range", r"Rogue.apply: Interactions.items holds id \d+; ids lie in \[0, 40\)"),
        ("returns None", "Rogue.apply returned NoneType, not a Split"),
    ],
)
def test_what_a_perturbation_may_not_do_is_refused_by_name(does, message):
    with pytest.raises(ValueError, match=message):
        run(does)


@pytest.mark.parametrize(
    ("does", "message"),
    [
        (
            "weighs",
            "RogueOfTests set Split.test_weights; such a perturbation must set weighs_test = True",
        ),
        ("tests on others", "RogueOfTests put 1 pair into Split.test that were not"),
        ("leaks", "RogueOfTests changed Split.train; .* may change only test and test_weights"),
    ],
)
def test_what_a_perturbation_of_the_test_may_not_do_is_refused(does, message):
    with pytest.raises(ValueError, match=message):
        run(does, RogueOfTests)


def test_a_perturbation_of_the_test_may_thin_it():
    assert len(run("touches test", RogueOfTests).test) == 3


def test_what_it_acts_through_has_a_new_name_and_three_values():
    with pytest.raises(TypeError, match=r"Old must say acts_through, .* in place of stage"):
        type("Old", (Perturbation,), {"stage": "train"})
    with pytest.raises(TypeError, match="Odd must say acts_through, one of 'training pairs', "):
        type("Odd", (Perturbation,), {"acts_through": "train"})
