"""Measures: what is said of a loss under a perturbation, made of what it reached at each level.

No measure is the right one; each rewards something, and hides something, as it says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from robustbench_rec.analysis.estimate import Estimate, Replicates, Values, in_common, total

Levels = tuple[float, ...]
Beside = Literal["baseline", "reference", "jaccard", "rbo"]


@dataclass(frozen=True, eq=False)
class Curve:
    """What a loss reached at each level, and what else is known there.

    Attributes:
        values: of the metric.
        baseline, random, reference: what popularity, chance and a reference loss reach.
        jaccard, rbo: how far its lists agree with those of level 0; see `evaluation.overlap`.

    """

    values: Mapping[float, Values]
    baseline: Mapping[float, Values] = field(default_factory=dict)
    random: Mapping[float, Values] = field(default_factory=dict)
    reference: Mapping[float, Values] = field(default_factory=dict)
    jaccard: Mapping[float, Values] = field(default_factory=dict)
    rbo: Mapping[float, Values] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Means:
    """The means of a curve over some replicates."""

    curve: Curve
    replicates: Replicates

    def at(self, level: float, of: Beside | Literal["values"] = "values") -> Estimate:
        """Return what the loss reaches at a level, or what else of its curve is known there."""
        held: Mapping[float, Values] = getattr(self.curve, of)
        return held[level].estimate(self.replicates)


@dataclass(frozen=True)
class Measure:
    """A measure.

    Attributes:
        name: as tables and options have it.
        says, rewards, hides: in words.
        of: its value, of means and one or more levels, ascending.
        relative: whether it needs level 0 too.
        over_levels: whether it is of all levels, and not of the last alone.
        beside: what else of a curve it needs.
        sign: 1 where more is better, -1 where less is.

    """

    name: str
    says: str
    rewards: str
    hides: str
    of: Callable[[Means, Levels], Estimate]
    relative: bool = True
    over_levels: bool = False
    beside: tuple[Beside, ...] = ()
    sign: Literal[1, -1] = 1

    def needs(self, curve: Curve, levels: Levels) -> list[Values] | None:
        """Return the values that it is made of; None where the curve lacks any."""
        asked = levels if self.over_levels else levels[-1:]
        wanted = sorted({*asked, 0.0} if self.relative else set(asked))
        sources = [curve.values, *(getattr(curve, name) for name in self.beside)]
        if not all(level in source for source in sources for level in wanted):
            return None
        return [source[level] for source in sources for level in wanted]


def value(means: Means, levels: Levels) -> Estimate:
    """Return the mean at the last level."""
    return means.at(levels[-1])


def retention(means: Means, levels: Levels) -> Estimate:
    """Return rho = m_l / m_0 at the last level."""
    return _share(means.at(levels[-1]), means.at(0.0))


def excess(means: Means, levels: Levels) -> Estimate:
    """Return e = (m_l - b_l) / (m_0 - b_0) at the last level, b of the baseline there."""
    noisy, clean = (means.at(level) - means.at(level, "baseline") for level in (levels[-1], 0.0))
    return _share(noisy, clean)


def _share(part: Estimate, whole: Estimate, surely: bool = False) -> Estimate:
    """Divide; a share of what may be 0 or less, as its 95% interval has it, is not defined.

    Where there is no interval its value counts, unless `surely` asks for one.
    """
    low = whole.interval.low
    least = whole.value if low != low and not surely else low
    return part / (whole if least > 0 else float("nan"))


def area(of: Callable[[Means, Levels], Estimate], means: Means, levels: Levels) -> Estimate:
    """Return the mean height of lines through what a measure is at each level."""
    heights = np.diff(np.array(levels))
    weights = (np.append(heights, 0.0) + np.append(0.0, heights)) / 2 / heights.sum()
    parts = zip(levels, weights.tolist(), strict=True)
    return total(of(means, (level,)) * weight for level, weight in parts)


def kept(means: Means, levels: Levels) -> Estimate:
    """Return the area under retention."""
    return area(retention, means, levels)


def excess_kept(means: Means, levels: Levels) -> Estimate:
    """Return the area under the excess."""
    return area(excess, means, levels)


def relative_error(means: Means, levels: Levels) -> Estimate:
    """Return sum_l (m_0 - m_l) / sum_l (r_0 - r_l), r of the reference, over levels above 0.

    It is the relative mean corruption error of Hendrycks and Dietterich (2019) with 1 less the
    metric for the error.
    """
    harmed = [level for level in levels if level > 0]
    its = total(means.at(0.0, "reference") - means.at(at, "reference") for at in harmed)
    return _share(total(means.at(0.0) - means.at(level) for level in harmed), its, surely=True)


def jaccard(means: Means, levels: Levels) -> Estimate:
    """Return the mean Jaccard index of lists at the last level with those of level 0."""
    return means.at(levels[-1], "jaccard")


def rbo(means: Means, levels: Levels) -> Estimate:
    """Return the mean rank-biased overlap of lists at the last level with those of level 0."""
    return means.at(levels[-1], "rbo")


MEASURES = {
    one.name: one
    for one in (
        Measure(
            "value",
            "the metric itself",
            rewards="the loss that is best where the data are so, however much it lost",
            hides="what a loss lost, behind where it started",
            of=value,
            relative=False,
        ),
        Measure(
            "retention",
            "the share of the clean value that is left at a level",
            rewards="whatever has little to lose: the random baseline keeps all",
            hides="how good the loss was, and is",
            of=retention,
        ),
        Measure(
            "excess",
            "the share of the clean lead over the popularity baseline that is left at a level",
            rewards="a lead that stays, where the baseline is hurt as well",
            hides="losses that hardly lead: their share is of next to nothing, and moves far",
            of=excess,
            beside=("baseline",),
        ),
        Measure(
            "kept",
            "the mean retention up to the hardest level",
            rewards="as retention, with weight on whichever levels were chosen",
            hides="where on the way the loss fell",
            of=kept,
            over_levels=True,
        ),
        Measure(
            "excess_kept",
            "the mean excess up to the hardest level",
            rewards="as excess, with weight on whichever levels were chosen",
            hides="where on the way the lead fell",
            of=excess_kept,
            over_levels=True,
            beside=("baseline",),
        ),
        Measure(
            "relative_error",
            "what is lost in all, as a share of what the reference loss loses; less is better",
            rewards="losing less of the metric, whatever there was to lose",
            hides="how good the loss was; it says nothing where the reference may lose nothing",
            of=relative_error,
            over_levels=True,
            beside=("reference",),
            sign=-1,
        ),
        Measure(
            "jaccard",
            "the share of the lists of level 0 that is still recommended, of all that either has",
            rewards="lists that stay, good or bad: whoever recommends the same to all keeps them",
            hides="the order within lists, and whether what is new is better",
            of=jaccard,
            relative=False,
            beside=("jaccard",),
        ),
        Measure(
            "rbo",
            "the rank-biased overlap of lists with those of level 0, the first places most",
            rewards="lists that stay in their order, good or bad",
            hides="what happens below the first places, and whether what is new is better",
            of=rbo,
            relative=False,
            beside=("rbo",),
        ),
    )
}
"""Every measure by its name."""


def measured(measure: Measure, curves: Sequence[Curve], levels: Levels) -> list[Estimate] | None:
    """Return a measure of each curve, over the replicates that all of them have.

    Args:
        measure: which.
        curves: of losses on one data set under one perturbation.
        levels: at which, ascending; the last counts, but for areas and sums, which need two.

    Returns:
        None where a curve lacks a level, or no replicate has all.

    """
    needed = [measure.needs(curve, levels) for curve in curves]
    values = [one for its in needed if its is not None for one in its]
    if None in needed or not (replicates := in_common(values)):
        return None
    return [measure.of(Means(curve, replicates), levels) for curve in curves]
