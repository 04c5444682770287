"""Measures: numbers that describe a loss under a perturbation, from its values at each level.

No measure is right for all purposes: each states what it rewards and what it hides.
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
    """The values of a loss at each level, and further values there.

    Attributes:
        values: values of the metric.
        baseline, random, reference: values of popularity, of random lists and of a reference loss.
        jaccard, rbo: agreement of its lists with those of level 0; see `evaluation.overlap`.

    """

    values: Mapping[float, Values]
    baseline: Mapping[float, Values] = field(default_factory=dict)
    random: Mapping[float, Values] = field(default_factory=dict)
    reference: Mapping[float, Values] = field(default_factory=dict)
    jaccard: Mapping[float, Values] = field(default_factory=dict)
    rbo: Mapping[float, Values] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Means:
    """The means of a curve over some replicates, each computed once."""

    curve: Curve
    replicates: Replicates
    _known: dict[tuple[float, str], Estimate] = field(default_factory=dict, repr=False)

    def at(self, level: float, of: Beside | Literal["values"] = "values") -> Estimate:
        """Return the loss's value at a level, or another value of its curve there."""
        if (level, of) not in self._known:
            held: Mapping[float, Values] = getattr(self.curve, of)
            self._known[level, of] = held[level].estimate(self.replicates)
        return self._known[level, of]


@dataclass(frozen=True)
class Measure:
    """A measure.

    Attributes:
        name: its name in tables and options.
        says, rewards, hides: descriptions.
        of: a function of means and one or more ascending levels, which returns its value.
        relative: whether it needs level 0 too.
        over_levels: whether it uses all levels, not only the last.
        beside: further values of a curve that it needs.
        sign: 1 if more is better, -1 if less is.

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
        """Return the values that it needs; None if the curve lacks any."""
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
    """Divide; NaN unless the 95% interval of the divisor is above 0.

    Without an interval the divisor's value counts, unless `surely` requires an interval.
    """
    low = whole.interval.low
    least = whole.value if low != low and not surely else low
    return part / (whole if least > 0 else float("nan"))


def area(of: Callable[[Means, Levels], Estimate], means: Means, levels: Levels) -> Estimate:
    """Return the mean height of the line through a measure's values at each level."""
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
            rewards="the best loss at this level, however much it lost",
            hides="how much of its own value a loss lost",
            of=value,
            relative=False,
        ),
        Measure(
            "retention",
            "the retained share of the clean value at a level",
            rewards="losses with little to lose: the random baseline keeps all",
            hides="the quality of the loss, clean or perturbed",
            of=retention,
        ),
        Measure(
            "excess",
            "the retained share of the clean lead over the popularity baseline at a level",
            rewards="keeping a lead, even if the baseline is hurt too",
            hides="that a share of a tiny lead is very uncertain",
            of=excess,
            beside=("baseline",),
        ),
        Measure(
            "kept",
            "the mean retention from level 0 to the hardest: the area under its line, by the span",
            rewards="as retention, with weight on whichever levels were chosen",
            hides="at which level the loss fell",
            of=kept,
            over_levels=True,
        ),
        Measure(
            "excess_kept",
            "the mean excess from level 0 to the hardest: the area under its line, by the span",
            rewards="as excess, with weight on whichever levels were chosen",
            hides="at which level the lead fell",
            of=excess_kept,
            over_levels=True,
            beside=("baseline",),
        ),
        Measure(
            "relative_error",
            "the total degradation relative to that of the reference loss; less is better",
            rewards="losing less of the metric in absolute terms",
            hides="the quality of the loss; not defined if the reference may lose nothing",
            of=relative_error,
            over_levels=True,
            beside=("reference",),
            sign=-1,
        ),
        Measure(
            "jaccard",
            "the Jaccard index (intersection over union) of lists with those of level 0",
            rewards="stable lists, good or bad: a loss with the same list for all users keeps them",
            hides="the order within lists, and whether new items are better",
            of=jaccard,
            relative=False,
            beside=("jaccard",),
        ),
        Measure(
            "rbo",
            "the rank-biased overlap of lists with those of level 0, which weighs first places "
            "most",
            rewards="stable order of lists, good or bad",
            hides="changes below the first places, and whether new items are better",
            of=rbo,
            relative=False,
            beside=("rbo",),
        ),
    )
}
"""Every measure by its name."""


@dataclass(frozen=True, eq=False)
class Known:
    """Measures of the curves of one panel that were computed already, for all of its pairs.

    It holds the influence of each user, so it is for a panel at a time.
    """

    values: dict[tuple[str, Levels, Curve], list[Values] | None] = field(default_factory=dict)
    means: dict[tuple[Curve, Replicates], Means] = field(default_factory=dict)
    measures: dict[tuple[str, Levels, Curve, Replicates], Estimate] = field(default_factory=dict)

    def needs(self, measure: Measure, curve: Curve, levels: Levels) -> list[Values] | None:
        """Return the values of a curve that a measure needs, as `Measure.needs`."""
        at = measure.name, levels, curve
        if at not in self.values:
            self.values[at] = measure.needs(curve, levels)
        return self.values[at]

    def of(
        self, measure: Measure, curve: Curve, levels: Levels, replicates: Replicates
    ) -> Estimate:
        """Return a measure of a curve, which has its values in these replicates."""
        at = measure.name, levels, curve, replicates
        if at not in self.measures:
            means = self.means.setdefault((curve, replicates), Means(curve, replicates))
            self.measures[at] = measure.of(means, levels)
        return self.measures[at]


def measured(
    measure: Measure, curves: Sequence[Curve], levels: Levels, known: Known | None = None
) -> list[Estimate] | None:
    """Return a measure of each curve, over the replicates common to all.

    Args:
        measure: the measure.
        curves: the curves of losses on one data set under one perturbation.
        levels: the levels, ascending; the last counts, except for areas and sums, which need two.
        known: measures of these curves that are known; those computed here are added.

    Returns:
        None if a curve lacks a level, or no replicate has all levels.

    """
    known = known or Known()
    needed = [known.needs(measure, curve, levels) for curve in curves]
    values = [one for its in needed if its is not None for one in its]
    if None in needed or not (replicates := in_common(values)):
        return None
    return [known.of(measure, curve, levels, replicates) for curve in curves]
