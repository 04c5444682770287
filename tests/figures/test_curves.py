import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from panels import SIX, floors, lines, published, world

from robustbench_rec.figures.curves import draw_curves, draw_figure, draw_panel
from robustbench_rec.figures.style import GREY, LOOKS


def test_one_line_a_loss_with_labels_and_intervals():
    ax = draw_curves(world())
    assert set(lines(ax)) == set(SIX)
    assert ax.get_xlabel() == "share of negatives"
    assert ax.get_ylabel() == "NDCG@20"
    assert ax.get_title(loc="left") == "Bars: 95% over 3 splits of this data set"
    (bars,) = ax.collections
    colors = [to_rgb(LOOKS[loss].color) for loss in sorted(SIX) for _ in range(4)]
    assert [tuple(color) for color in bars.get_colors()[:, :3]] == colors
    assert ax.figure.legends


@pytest.mark.parametrize(
    ("replicates", "note"),
    [
        (1, "One replicate, no interval"),
        (8, "Bars: 95% over 8 splits of this data set"),
        (2, "2 splits of this data set, no interval"),
    ],
)
def test_the_interval_is_said(replicates, note):
    ax = draw_curves(world(replicates=replicates), value="retention")
    assert ax.get_title(loc="left").replace("\n", " ") == note
    assert ax.get_ylabel() == "NDCG@20 relative to level 0"


def test_a_mix_of_intervals_says_all_of_them():
    holed = world().copy()
    holed.loc[0, "n"] = 1
    note = draw_curves(holed).get_title(loc="left").replace("\n", " ")
    assert note == "Bars: 95% over 3 splits of this data set; one replicate, no interval"


def test_lines_hold_the_means_and_bars_the_intervals():
    frame = world(("bpr",))
    ax = draw_curves(frame)
    np.testing.assert_array_equal(lines(ax)["bpr"].get_ydata(), frame["mean"])
    np.testing.assert_array_equal(lines(ax)["bpr"].get_xdata(), frame["level"])
    bars = np.array([path[:, 1] for path in ax.collections[0].get_segments()])
    np.testing.assert_array_equal(bars, frame[["low", "high"]])


def draw(frame, values=None, value="mean"):
    """Return what stands on a panel."""
    return draw_panel(Figure().add_subplot(), frame, value, published=values)


def test_what_is_drawn_is_returned():
    both = pd.concat([world(), floors()])
    drawn = draw(both)
    assert [line.get_label() for line in drawn.losses] == sorted(SIX)
    assert [line.get_label() for line in drawn.floors] == ["popularity", "random"]
    assert drawn.published == draw(both, value="retention").floors == []
    assert {*drawn.losses, *drawn.floors} == {*drawn.losses[0].axes.get_lines()}


def test_the_axes_that_are_given_are_returned_without_a_legend():
    ax = Figure().add_subplot()
    assert draw_curves(world(), ax) is ax
    assert not ax.figure.legends


def test_published_values_are_open_and_larger_in_the_loss_s_look_on_the_left_alone():
    values = published(("bpr", 0.0, 0.31, "a"), ("softmax", 0.0, 0.32, "a"))
    figure = draw_figure(world(), published=values)
    left, right = figure.axes
    drawn = draw(world(), values).published
    assert [line.get_xydata().tolist() for line in drawn] == [
        line.get_xydata().tolist() for line in left.get_lines() if line.get_zorder() == 2.5
    ]
    rings = {line.get_markeredgecolor(): line for line in drawn if line.get_marker() in "so"}
    for loss, value in (("bpr", 0.31), ("softmax", 0.32)):
        ours, ring = lines(left)[loss], rings[LOOKS[loss].color]
        assert ring.get_marker() == ours.get_marker()
        assert ring.get_markerfacecolor() == "none"
        assert ring.get_markersize() > ours.get_markersize()
        assert ring.get_zorder() < ours.get_zorder()
        assert ring.get_xydata().tolist() == [[ours.get_xdata()[0], value]]
    assert sum(line.get_marker() == "x" for line in drawn) == 2
    assert set(lines(left)) == set(SIX)
    assert not draw(world(), values, "retention").published
    assert len(right.get_lines()) == len(SIX) + 1


def test_the_legend_has_one_entry_for_all_published_values():
    values = published(*((loss, 0.0, 0.3, "a") for loss in SIX))
    (legend,) = draw_figure(world(), published=values).legends
    assert [text.get_text() for text in legend.get_texts()] == [*SIX, "published"]
    (alone,) = draw_curves(world(), published=values).figure.legends
    assert [text.get_text() for text in alone.get_texts()][-1] == "published"


def test_published_levels_of_one_source_are_joined_by_a_thin_line():
    values = published(
        ("bpr", 0.4, 0.1, "figure"),
        ("bpr", 0.0, 0.4, "table"),
        ("bpr", 0.1, 0.2, "figure"),
    )
    drawn = draw(world(("bpr",)), values)
    dotted = [line for line in drawn.published if line.is_dashed()]
    assert [line.get_xydata().tolist() for line in dotted] == [[[0.1, 0.2], [0.4, 0.1]]]
    assert dotted[0].get_linewidth() < drawn.losses[0].get_linewidth()


def test_what_is_published_of_other_panels_and_losses_is_left_out():
    frame = world(("bpr",))
    other = [
        published(("ccl", 0.0, 0.9, "a")),
        published(("bpr", 0.0, 0.9, "a"), perturbation="other"),
        published(("bpr", 0.0, 0.9, "a"), metric="recall@20"),
        published(("bpr", 0.0, 0.9, "a")).assign(dataset="other"),
        published(),
    ]
    for values in other:
        assert not draw(frame, values).published
        ax = draw_curves(frame, published=values)
        assert "published" not in [text.get_text() for text in ax.figure.legends[0].get_texts()]


def test_floors_are_thin_grey_and_below_the_losses_beside_the_metric_alone():
    left, right = draw_figure(pd.concat([world(), floors()])).axes
    assert set(lines(left)) == {*SIX, "popularity", "random"}
    assert set(lines(right)) == set(SIX)
    loss = lines(left)["bpr"]
    for name in ("popularity", "random"):
        line = lines(left)[name]
        red, green, blue = to_rgb(line.get_color())
        assert red == green == blue
        assert line.get_linewidth() < loss.get_linewidth()
        assert line.get_markersize() < loss.get_markersize()
        assert line.get_zorder() < loss.get_zorder()
        assert line.get_xdata().tolist() == [0, 0.1, 0.2, 0.4]
    drawn = lines(left)["popularity"].get_ydata()
    np.testing.assert_array_equal(drawn, floors(("popularity",))["mean"])


def test_floors_stand_last_in_the_legend_and_shift_no_loss():
    high = floors().assign(mean=9.0)
    figure = draw_figure(pd.concat([high, world()]))
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [*SIX, "popularity", "random"]
    for loss, line in lines(draw_figure(world()).axes[0]).items():
        beside = lines(figure.axes[0])[loss]
        np.testing.assert_array_equal(line.get_xydata(), beside.get_xydata())
    assert "toy, mf: " in figure.get_suptitle()


def test_a_floor_of_a_plugin_is_grey_too():
    ax = draw_curves(pd.concat([world(), floors(("my_floor",))]))
    assert lines(ax)["my_floor"].get_color() == GREY


def test_a_figure_has_two_panels_one_legend_in_the_order_of_the_ends():
    figure = draw_figure(world())
    assert len(figure.axes) == 2
    assert not any(ax.get_legend() for ax in figure.axes)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(SIX)
    assert "toy, mf: negative_contamination(pool=own)" in figure.get_suptitle()
    reference = [line for line in figure.axes[1].get_lines() if set(line.get_ydata()) == {1}]
    assert len(reference) == 1


@pytest.mark.parametrize("metric", ["coverage@20", "gini@20", "popularity@20"])
def test_a_metric_of_lists_has_no_retention_panel(metric):
    assert len(draw_figure(world(metric=metric)).axes) == 1


def test_a_run_without_level_0_has_no_retention_panel():
    without = world().assign(retention=np.nan, retention_low=np.nan, retention_high=np.nan)
    assert len(draw_figure(without[without["level"] > 0]).axes) == 1


def test_a_loss_without_retention_still_stands_beside_the_others():
    frame = world()
    columns = ["retention", "retention_low", "retention_high"]
    frame.loc[frame["loss"] == SIX[0], columns] = np.nan
    assert set(lines(draw_figure(frame).axes[1])) == set(SIX)
