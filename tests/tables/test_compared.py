import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from robustbench_rec.analysis.estimate import Values
from robustbench_rec.tables.compared import (
    FEWER,
    FEWER_NOTE,
    NO_MARKS_NOTE,
    Column,
    Compared,
    Height,
    marked,
    ranked,
)
from robustbench_rec.tables.table import ABSENT

KEY = ("toy", "NDCG@20")


def values(*means, replicates=None):
    """Return what a loss reached in each replicate, nothing known of users."""
    n = len(means)
    numbers = tuple(range(n)) if replicates is None else replicates
    return Values(numbers, np.array(means), np.ones((n, 1)), np.zeros((n, 1)))


def shown(entries):
    return {loss: (entry.text, entry.mark) for loss, entry in entries.items()}


def test_the_best_and_the_second_are_marked():
    heights = {"a": Height(0.1, 3), "b": Height(0.3, 3), "c": Height(0.2, 3)}
    assert ranked(heights) == ["b", "c", "a"]
    assert shown(marked(heights, digits=2)) == {
        "a": ("0.10", ""),
        "b": ("0.30", "best"),
        "c": ("0.20", "second"),
    }


def test_equal_ones_share_a_mark():
    heights = {"a": Height(0.3, 1), "b": Height(0.3, 1), "c": Height(0.2, 1)}
    assert [entry.mark for entry in marked(heights).values()] == ["best", "best", "second"]


def test_fewer_replicates_are_told_and_not_ranked():
    heights = {"a": Height(0.9, 2), "b": Height(0.3, 3), "c": Height(0.2, 3)}
    assert shown(marked(heights)) == {
        "a": (f"0.9000{FEWER}", ""),
        "b": ("0.3000", "best"),
        "c": ("0.2000", "second"),
    }


def test_one_loss_and_a_metric_without_a_best_are_not_marked():
    assert shown(marked({"a": Height(0.9, 2)})) == {"a": ("0.9000", "")}
    heights = {"a": Height(0.9, 2), "b": Height(0.3, 2)}
    assert {entry.mark for entry in marked(heights, has_best=False).values()} == {""}


def test_what_is_not_defined_is_absent_and_not_ranked():
    heights = {"a": Height(float("nan"), 0), "b": Height(0.3, 3), "c": Height(0.2, 3)}
    assert shown(marked(heights))["a"] == (ABSENT, "")
    assert ranked(heights) == ["b", "c"]


def test_the_improvement_is_over_the_best_other_loss():
    column = Column({"a": values(0.4, 0.4), "b": values(0.5, 0.5), "c": values(0.2, 0.2)})
    assert column.improvement(None) == pytest.approx(0.25)
    assert column.improvement("b") == pytest.approx(0.25)
    assert column.improvement("a") == pytest.approx(-0.2)
    assert column.improvement("not run") is None
    assert Column({"a": values(0.4)}).improvement(None) is None
    assert Column({"a": values(0.4), "b": values(0.0)}).improvement(None) is None
    assert Column({"a": values(0.4), "b": values(0.2)}, has_best=False).improvement(None) is None


def test_stars_tell_the_adjusted_p_value_of_best_against_second():
    rng = np.random.default_rng(1)
    columns, raw = {}, []
    for at, lead in enumerate((0.1, 0.02, 0.006, 0.001)):
        other = 0.3 + rng.normal(0, 0.02, 6)
        more = lead + rng.normal(0, 0.004, 6)
        own = Column({"a": values(*(other + more)), "b": values(*other), "c": values(*other - 0.2)})
        columns["mf", (f"d{at}", "m")] = own
        raw.append(2 * own.lead.variance.tail(abs(own.lead.value)))
    adjusted = multipletests(raw, method="holm")[1]
    compared = Compared(columns)
    stars = []
    for (place, column), p in zip(columns.items(), adjusted, strict=True):
        first, second = column.order[:2]
        text = compared.entries[place][first].text
        stars.append(text.lstrip("0.123456789"))
        assert len(stars[-1]) == sum(p <= bound for bound in (0.05, 0.01, 0.001))
        assert "*" not in compared.entries[place][second].text
    assert len(set(stars)) >= 3
    (told,) = [note for note in compared.notes() if note.startswith("*")]
    assert "by a paired two-sided t test within users and replicates" in told
    assert told.endswith("adjusted by Holm over 4 tests.")


def test_pairs_are_those_of_replicates_that_both_have():
    one, two = values(0.5, 0.6, replicates=(0, 1)), values(0.4, 0.6, replicates=(1, 2))
    lead = Column({"a": one, "b": two}).lead
    assert lead is None  # one pair alone
    three = Column({"a": values(0.5, 0.6), "b": values(0.4, 0.2)}).lead
    assert three.value == pytest.approx(0.25)
    assert three.n_replicates == 2


@pytest.mark.parametrize(
    ("held", "note"),
    [
        ([values(0.5), values(0.4)], "No stars: a test needs more than one replicate."),
        ([values(0.5, 0.6), values(0.4, 0.2)], "No stars: too few replicates to test."),
        ([values(0.5, 0.6)], NO_MARKS_NOTE),
        ([values(0.5, 0.6, 0.7), values(0.4)], FEWER_NOTE),
    ],
)
def test_what_is_not_there_is_told(held, note):
    columns = {("mf", KEY): Column(dict(zip("ab", held, strict=False)))}
    compared = Compared(columns)
    assert note in [*compared.notes()]
    assert not any("*" in entry.text for entry in compared.entries["mf", KEY].values())


def test_an_improvement_that_is_not_known_is_told():
    columns = {("mf", KEY): Column({"a": values(0.5), "b": values(0.4)})}
    assert "Improvement: of A over the best other loss." in [*Compared(columns, "a").notes("A")]
    told = [*Compared(columns, "c").notes("C")]
    assert "No improvement of C: no other loss to compare with." in told
    assert Compared(columns, "c").improvements("mf") == {}
