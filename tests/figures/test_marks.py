"""Marks in figures: a dagger where a point or a level is to be read with care, and what it says."""

import pandas as pd
from panels import codes, world

from robustbench_rec.figures.curves import draw_curves, draw_figure
from robustbench_rec.figures.rankings import draw_ranking


def marked(losses=("bpr", "ccl")) -> pd.DataFrame:
    """Make curves of which ccl at .2 is capped, and .4 is not reached by anything."""
    found = world(losses)
    capped = (found["loss"] == "ccl") & (found["level"] == 0.2)
    flags = capped.map({True: "capped", False: ""}).where(found["level"] != 0.4, "not_reached")
    return found.assign(flags=flags)


def daggers(ax):
    return [(text.get_text(), text.xy) for text in ax.texts]


def ticks(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


def note(figure):
    """Return what is said below a figure, but what its bars are."""
    told = " ".join(figure.get_supxlabel().split())
    return told.replace("; Bars: 95% over 3 splits of this data set", "")


def test_points_and_levels_are_marked_and_a_note_says_why():
    found = marked()
    figure = draw_figure(found)
    assert note(figure) == (
        "\u2020 best in the last tenth of the allowed epochs; "
        "\u2021 less than 80% of the level was achieved"
    )
    for ax in figure.axes:
        ((mark, (x, y)),) = daggers(ax)
        value = "mean" if ax.get_ylabel() == "NDCG@20" else "retention"
        held = found[(found["loss"] == "ccl") & (found["level"] == 0.2)].iloc[0]
        assert (mark, x, y) == ("\u2020", 0.2, held[value])
        assert ticks(ax) == ["0", "0.1", "0.2", "0.4\u2021"]


def test_nothing_is_said_where_nothing_is_marked():
    ax = draw_curves(world())
    assert daggers(ax) == []
    assert ticks(ax)[-1] == "0.4"
    assert note(ax.figure) == ""


def test_a_ranking_marks_the_names_of_losses():
    found = marked()
    figure = draw_ranking(found[found["level"] == 0.2])
    names = {*codes(figure.axes[0].get_yticklabels())}
    assert names == {"bpr", "ccl\u2020"}
    assert note(figure).startswith("\u2020 best in the last tenth")


def test_a_loss_whose_settings_were_chosen_at_an_edge_is_marked_by_its_name():
    found = world(("bpr", "ccl"))
    edge = found.assign(flags=(found["loss"] == "ccl").map({True: "at_edge", False: ""}))
    figure = draw_figure(edge)
    (legend,) = figure.legends
    assert {*codes(legend.get_texts())} == {"bpr", "ccl\u00b6"}
    assert note(figure) == "\u00b6 settings chosen at an edge of what was tried"
    figure = draw_ranking(edge[edge["level"] == 0.2])
    names = {*codes(figure.axes[0].get_yticklabels())}
    assert names == {"bpr", "ccl\u00b6"}
