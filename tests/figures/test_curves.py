import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from panels import SIX, baselines, code, codes, drawings_of, lines, published, world

from robustbench_rec.errors import InputError
from robustbench_rec.figures.curves import draw_curves, draw_figure, draw_panel
from robustbench_rec.figures.kind import Asked
from robustbench_rec.figures.layout import lay_out
from robustbench_rec.figures.page import Page, drawn_for
from robustbench_rec.figures.panel import MARGIN, page_style
from robustbench_rec.figures.style import GREY, LOOKS


def test_one_line_a_loss_with_labels_and_intervals():
    ax = draw_curves(world())
    assert set(lines(ax)) == set(SIX)
    assert ax.get_xlabel() == "share of negatives"
    assert ax.get_ylabel() == "NDCG@20"
    assert ax.get_title(loc="left") == "Bars: 95% over 3 splits of this data set"
    colors = [tuple(bars.get_colors()[0][:3]) for bars in ax.collections]
    assert colors == [to_rgb(LOOKS[loss].color) for loss in sorted(SIX)]
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
    assert ax.get_ylabel() == "NDCG@20 relative\nto level 0"


def test_a_mix_of_intervals_says_all_of_them():
    holed = world().copy()
    holed.loc[0, "n"] = 1
    note = draw_curves(holed).get_title(loc="left").replace("\n", " ")
    assert note == "Bars: 95% over 3 splits of this data set; one replicate, no interval"


def test_a_run_without_values_of_users_says_that_seeds_alone_are_behind_its_intervals():
    seeds = world().assign(replicates="seeds of one split")
    note = draw_curves(seeds).get_title(loc="left")
    assert note == "Bars: 95% over 3 seeds only, one split"
    known = draw_curves(seeds.assign(users=True)).get_title(loc="left").replace("\n", " ")
    assert known == "Bars: 95% over users and 3 seeds of one split, settings fixed"


def test_two_panels_say_once_what_bars_are_where_these_are_the_same():
    figure = draw_figure(world())
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["", ""]
    assert figure.get_supxlabel().count("Bars: 95% over 3 splits") == 1
    ranked = draw_figure(world(), values=("mean", "rank"))
    assert all(ax.get_title(loc="left") for ax in ranked.axes)
    assert "Bars" not in ranked.get_supxlabel()


def test_lines_hold_the_means_and_bars_the_intervals():
    frame = world(("bpr",))
    ax = draw_curves(frame)
    np.testing.assert_array_equal(lines(ax)["bpr"].get_ydata(), frame["mean"])
    np.testing.assert_array_equal(lines(ax)["bpr"].get_xdata(), frame["level"])
    bars = np.array([path[:, 1] for path in ax.collections[0].get_segments()])
    np.testing.assert_array_equal(bars, frame[["low", "high"]])


def near_baselines(names=("popularity", "random")):
    """Make baselines that are so near to the losses that they are drawn."""
    frame = baselines(names)
    columns = ["mean", "low", "high"]
    return frame.assign(**(frame[columns] * 8))


def draw(frame, values=None, value="mean"):
    """Return what stands on a panel."""
    return draw_panel(Figure().add_subplot(), frame, value, published=values)


def test_what_is_drawn_is_returned():
    both = pd.concat([world(), near_baselines()])
    drawn = draw(both)
    assert [code(line.get_label()) for line in drawn.losses] == [*SIX]
    assert [line.get_label() for line in drawn.baselines] == ["popularity", "random"]
    assert drawn.published == draw(both, value="retention").baselines == []
    assert {*drawn.losses, *drawn.baselines} == {*drawn.losses[0].axes.get_lines()}


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
    rings = {line.get_markeredgecolor(): line for line in drawn if line.get_marker() == "o"}
    for loss, value in (("bpr", 0.31), ("softmax", 0.32)):
        ours, ring = lines(left)[loss], rings[LOOKS[loss].color]
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
    assert codes(legend.get_texts()) == [*SIX, "published"]
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


def test_baselines_are_thin_grey_and_below_the_losses_beside_the_metric_alone():
    left, right = draw_figure(pd.concat([world(), near_baselines()])).axes
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
    np.testing.assert_array_equal(drawn, near_baselines(("popularity",))["mean"])
    assert [text.get_text() for text in left.texts] == ["popularity", "random"]


def test_a_baseline_far_from_the_losses_is_told_and_leaves_them_their_axis():
    figure = draw_figure(pd.concat([baselines().assign(mean=9.0), world()]))
    assert codes(figure.legends[0].get_texts()) == [*SIX]
    alone = draw_figure(world())
    assert figure.axes[0].get_ylim() == alone.axes[0].get_ylim()
    told = figure.get_supxlabel().split(";  ")
    assert told[1:] == ["above the axis: popularity, 9", "above the axis: random, 9"]
    assert "toy, MF: " in figure.get_suptitle()
    low = draw_figure(pd.concat([baselines(("random",)), world()]))
    assert low.get_supxlabel().split(";  ")[1:] == ["below the axis: random, 0.0298 to 0.031"]


def test_markers_stand_at_their_level_and_no_interval_behind_one():
    ax = draw_curves(world())
    for line in lines(ax).values():
        assert line.get_xdata().tolist() == [0, 0.1, 0.2, 0.4]
    ax.figure.draw_without_rendering()
    markers = ax.transData.transform([(level, 0) for level in (0, 0.1, 0.2, 0.4)])[:, 0]
    half = 2.6 / 72 * ax.figure.dpi
    bars = [path.vertices[0, 0] for one in ax.collections for path in moved(one)]
    assert len(bars) == 24
    assert all(np.abs(markers - bar).min() > half for bar in bars)
    assert len({round(bar, 3) for bar in bars}) == 24


def moved(bars):
    return [bars.get_transform().transform_path(path) for path in bars.get_paths()]


def test_a_loss_alone_does_not_fill_a_page_with_a_difference_of_a_percent():
    flat = world(("bpr",)).assign(mean=[0.3, 0.301, 0.302, 0.303], low=np.nan, high=np.nan)
    low, high = draw_curves(flat).get_ylim()
    assert high - low > 0.03


def test_a_value_can_be_asked_for_and_is_nothing_that_is_not_known():
    panel = world()
    for asked, label in (("absolute", "NDCG@20"), ("retention", "NDCG@20 relative\nto level 0")):
        (drawing,) = drawings_of(panel, asked=Asked(asked))
        (ax,) = drawing.draw(*drawing.arguments).axes
        assert ax.get_ylabel() == label
    assert drawings_of(panel, asked=Asked("excess")) == []  # no popularity was run


def test_ranks_are_places_by_the_mean_and_none_where_a_loss_has_no_value():
    panel = world(("bpr", "ccl"))
    panel.loc[(panel["loss"] == "ccl") & (panel["level"] == 0.4), "mean"] = np.nan
    (drawing,) = drawings_of(panel, asked=Asked("rank"))
    (ax,) = drawing.draw(*drawing.arguments).axes
    assert lines(ax)["bpr"].get_ydata().tolist()[1:3] == [1, 1]
    assert np.isnan(lines(ax)["bpr"].get_ydata()[3])
    assert ax.get_ylabel() == "rank by NDCG@20\namong 2 losses"
    assert "no rank at level 0.4" in ax.figure.get_supxlabel()
    assert drawing.table(*drawing.arguments)["rank"].tolist()[1:3] == [1, 1]


def test_realised_levels_are_drawn_where_they_are_known():
    panel = world(("bpr",)).assign(realised=[0.0, 0.09, 0.17, 0.3])
    (drawing,) = drawings_of(panel, asked=Asked(x="realised"))
    ax = drawing.draw(*drawing.arguments).axes[0]
    assert lines(ax)["bpr"].get_xdata().tolist() == [0.0, 0.09, 0.17, 0.3]
    assert ax.get_xlabel() == "share of negatives\n(realised)"
    with pytest.raises(InputError, match=r"--x realised: .* on toy has no known realised levels"):
        drawings_of(panel.assign(realised=np.nan), asked=Asked(x="realised"))


def test_the_table_beside_a_figure_holds_what_is_drawn():
    values = published(("bpr", 0.0, 0.31, "a"), ("other", 0.0, 0.5, "a"))
    both = pd.concat([world(), baselines()])
    (drawing,) = drawings_of(both, published=values)
    table = drawing.table(*drawing.arguments)
    assert len(table) == len(both) + 1
    (row,) = table[table["source"].notna()].to_dict("records")
    assert (row["loss"], row["level"], row["mean"]) == ("bpr", 0.0, 0.31)


@pytest.mark.parametrize("n", [1, 2])
def test_a_narrow_page_has_panels_below_each_other_and_everything_on_it(n):
    with drawn_for(Page(width=3.3, font_size=8)):
        figure = draw_figure(world(tuple(LOOKS)), values=("mean", "retention")[:n])
        with page_style():
            lay_out(figure)
    assert figure.get_figwidth() == 3.3
    assert len({ax.get_position().x0 for ax in figure.axes}) == 1
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    assert box.y1 <= figure.axes[-1].xaxis.label.get_window_extent().y0 + 1


def test_a_page_may_have_no_title_and_levels_on_a_logarithmic_axis():
    with drawn_for(Page(title=False, log_x=True)):
        figure = draw_figure(world())
    assert figure.get_suptitle() == ""
    assert figure.axes[0].get_xscale() == "symlog"
    places = figure.axes[0].xaxis.get_transform().transform(np.array([0, 0.1, 0.2, 0.4]))
    assert np.diff(places)[1] == pytest.approx(np.diff(places)[2])
    scale = figure.axes[0].xaxis.get_transform()
    ends = scale.transform(np.array(figure.axes[0].get_xlim()))
    room = MARGIN * (places[-1] - places[0])
    assert ends.tolist() == pytest.approx([places[0] - room, places[-1] + room])


def test_a_baseline_of_a_plugin_is_grey_too():
    ax = draw_curves(pd.concat([world(), near_baselines(("my_baseline",))]))
    assert lines(ax)["my_baseline"].get_color() == GREY


def test_a_figure_has_two_panels_one_legend_in_the_order_of_every_figure():
    figure = draw_figure(world())
    assert len(figure.axes) == 2
    assert not any(ax.get_legend() for ax in figure.axes)
    (legend,) = figure.legends
    assert codes(legend.get_texts()) == list(SIX)
    assert "toy, MF: false negatives (own positives)" in figure.get_suptitle()
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
