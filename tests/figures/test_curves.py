import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from robustbench_rec.analysis.degradation import curves
from robustbench_rec.figures.curves import PUBLISHED, draw_curves, draw_figure
from robustbench_rec.figures.files import file_stems, save_all
from robustbench_rec.figures.rankings import draw_ranking
from robustbench_rec.figures.style import GREY, LOOKS, PLUGIN_LOOKS, look, looks
from robustbench_rec.processes import helper
from robustbench_rec.records.frames import COLUMNS

SIX = ("bpr", "bce", "mse", "softmax", "ccl", "drrl")
PERTURBATION = "negative_contamination(pool=own)"


def world(losses=SIX, replicates=2, metric="ndcg@20", perturbation=PERTURBATION):
    """Make curves that fall, each at its own rate."""
    rows = [
        (
            *("s", "toy", "mf", loss, perturbation, "share of negatives", level, r, metric),
            (0.3 + 0.01 * r) * (1 - level * (i + 1) / 10),
            0.9,
        )
        for i, loss in enumerate(losses)
        for level in (0.0, 0.1, 0.2, 0.4)
        for r in range(replicates)
    ]
    return curves(pd.DataFrame(rows, columns=list(COLUMNS)))


def floors(names=("popularity", "random"), **options):
    """Make curves of floors: 0.1 x (i + 1) of what the i-th loss has."""
    frame = world(names, **options).assign(backbone=lambda rows: rows["loss"], loss="untrained")
    columns = ["mean", "low", "high"]
    return frame.assign(**(frame[columns] / 10))


def lines(ax):
    return {
        line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")
    }


def luminance(color):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_one_line_a_loss_with_labels_and_intervals():
    ax = draw_curves(world())
    assert set(lines(ax)) == set(SIX)
    assert ax.get_xlabel() == "share of negatives"
    assert ax.get_ylabel() == "NDCG@20"
    assert ax.get_title(loc="left") == "Bars: range over 2 replicates"
    assert len(ax.collections) == len(SIX)
    assert ax.figure.legends


@pytest.mark.parametrize(
    ("replicates", "note"),
    [
        (1, "One replicate, no interval"),
        (8, "Paired: 95% t interval over 8 replicates"),
    ],
)
def test_the_interval_is_said(replicates, note):
    ax = draw_curves(world(replicates=replicates), value="retention")
    assert ax.get_title(loc="left") == note
    assert ax.get_ylabel() == "NDCG@20 relative to level 0"


def test_a_mix_of_intervals_says_all_of_them():
    holed = world().copy()
    holed.loc[0, "n"] = 1
    note = draw_curves(holed).get_title(loc="left").replace("\n", " ")
    assert note == "Bars: range over 2 replicates; one replicate, no interval"


def test_lines_hold_the_means_and_bars_the_intervals():
    frame = world(("bpr",))
    ax = draw_curves(frame)
    np.testing.assert_array_equal(lines(ax)["bpr"].get_ydata(), frame["mean"])
    np.testing.assert_array_equal(lines(ax)["bpr"].get_xdata(), frame["level"])
    bars = np.array([path[:, 1] for path in ax.collections[0].get_segments()])
    np.testing.assert_array_equal(bars, frame[["low", "high"]])


def published(*rows, perturbation=PERTURBATION, metric="ndcg@20"):
    """Make published values of (loss, level, value, source) rows."""
    columns = ["dataset", "backbone", "perturbation", "metric", "loss", "level", "value", "source"]
    return pd.DataFrame(
        [("toy", "mf", perturbation, metric, *row) for row in rows], columns=columns
    )


def test_published_values_are_open_and_larger_in_the_loss_s_look_on_the_left_alone():
    values = published(("bpr", 0.0, 0.31, "a"), ("softmax", 0.0, 0.32, "a"))
    figure = draw_figure(world(), published=values)
    left, right = figure.axes
    drawn = [line for line in left.get_lines() if line.get_label() == PUBLISHED]
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
    assert not [line for line in right.get_lines() if line.get_label() == PUBLISHED]


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
    ax = draw_curves(world(("bpr",)), published=values)
    of_published = [line for line in ax.get_lines() if line.get_label() == PUBLISHED]
    dotted = [line for line in of_published if line.is_dashed()]
    assert [line.get_xydata().tolist() for line in dotted] == [[[0.1, 0.2], [0.4, 0.1]]]
    assert dotted[0].get_linewidth() < lines(ax)["bpr"].get_linewidth()


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
        ax = draw_curves(frame, published=values)
        assert not [line for line in ax.get_lines() if line.get_label() == PUBLISHED]
        assert "published" not in [text.get_text() for text in ax.figure.legends[0].get_texts()]


def test_published_values_reach_the_files(tmp_path):
    frame = pd.concat([world(), world(metric="recall@20")])
    values = published(("bpr", 0.0, 0.5, "a"))
    plain = save_all(frame, tmp_path / "plain", ("png",))
    drawn = save_all(frame, tmp_path / "drawn", ("png",), published=values)
    ndcg, recall = zip(plain, drawn, strict=True)
    assert ndcg[0].read_bytes() != ndcg[1].read_bytes()
    assert recall[0].read_bytes() == recall[1].read_bytes()
    with helper("robustbench_rec.figures.curves") as other:
        shared = save_all(
            frame, tmp_path / "shared", ("png",), starmap=other.starmap, published=values
        )
    assert [path.read_bytes() for path in shared] == [path.read_bytes() for path in drawn]


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


def test_floors_go_into_every_figure_of_their_data_and_perturbation_and_get_none(tmp_path):
    two = pd.concat([world(("bpr",)), world(("bpr",)).assign(backbone="lightgcn")])
    other = world(("bpr",), perturbation="other")
    plain = save_all(pd.concat([two, other]), tmp_path / "plain", ("png",))
    drawn = save_all(pd.concat([two, other, floors()]), tmp_path / "drawn", ("png",))
    assert [path.name for path in drawn] == [path.name for path in plain]
    same = {
        path.name: path.read_bytes() == beside.read_bytes()
        for path, beside in zip(plain, drawn, strict=True)
    }
    stem = "negative_contamination_pool_own-ndcg_at_20.png"
    assert same == {
        f"toy-lightgcn-{stem}": False,
        f"toy-mf-{stem}": False,
        "toy-mf-other-ndcg_at_20.png": True,
    }


def test_floors_alone_have_no_figure(tmp_path):
    assert save_all(floors(), tmp_path) == []
    with pytest.raises(ValueError, match="no curve"):
        draw_figure(floors())


def test_losses_are_spread_less_than_levels_are_apart():
    xs = np.array([line.get_xdata() for line in lines(draw_curves(world())).values()])
    assert np.ptp(xs, axis=0).max() < 0.1 / 2
    assert xs.mean(axis=0) == pytest.approx([0, 0.1, 0.2, 0.4])


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


def test_a_loss_looks_alike_in_every_figure():
    one = lines(draw_curves(world(("softmax(tau=0.2)", "bpr"))))["softmax(tau=0.2)"]
    two = lines(draw_figure(world(("softmax(tau=0.1)", "drrl"))).axes[1])["softmax(tau=0.1)"]
    assert one.get_color() == two.get_color() == LOOKS["softmax"].color
    assert one.get_marker() == two.get_marker()
    assert one.get_linestyle() == two.get_linestyle()


def test_known_losses_differ_in_colour_and_in_marker_with_pattern():
    assert len({known.color for known in LOOKS.values()}) == len(LOOKS)
    assert len({(known.marker, known.pattern) for known in LOOKS.values()}) == len(LOOKS)


def test_the_six_first_losses_need_no_colour():
    for style in ("marker", "pattern"):
        assert len({getattr(LOOKS[loss], style) for loss in SIX}) == len(SIX)


def test_in_greyscale_equal_patterns_differ_in_marker_and_all_stand_out_from_white():
    by_grey = sorted(LOOKS.values(), key=lambda known: luminance(known.color))
    for one, two in pairwise(by_grey):
        assert (one.marker, one.pattern) != (two.marker, two.pattern)
    assert all(1.05 / (luminance(known.color) + 0.05) > 2 for known in LOOKS.values())


def test_variants_share_a_marker_and_differ_in_shade_pattern_and_fill():
    found = looks([f"softmax(tau={tau})" for tau in (0.3, 0.1, 0.2)])
    base, dark, between = (luminance(style.color) for style in found.values())
    assert dark < between < base
    assert {style.marker for style in found.values()} == {LOOKS["softmax"].marker}
    assert len({(style.pattern, style.fill) for style in found.values()}) == 3
    assert found["softmax(tau=0.1)"] == LOOKS["softmax"]


@pytest.mark.parametrize("loss", sorted({*LOOKS} - {"popularity", "random"}))
def test_the_colour_of_a_variant_is_far_from_that_of_every_other_loss(loss):
    for style in looks([f"{loss}({i})" for i in "123"]).values():
        apart = [distance(style.color, LOOKS[other].color) for other in LOOKS if other != loss]
        assert min(apart) > 12  # two of the palette are 17 apart


def distance(one, other):
    """Return how far apart two colours look, by CIE 1976, in which 2 is just noticed."""
    return float(np.linalg.norm(lab(one) - lab(other)))


def lab(color):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = (
        np.cbrt(part) if part > 0.008856 else 7.787 * part + 16 / 116
        for part in to_xyz @ linear / [0.9505, 1.0, 1.0888]
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_a_variant_alone_looks_as_beside_the_others_when_told_of_them():
    both = ("softmax(tau=0.1)", "softmax(tau=0.2)")
    alone = lines(draw_curves(world(both[1:]), ax=Figure().add_subplot(), among=both))
    beside = lines(draw_curves(world(both)))
    label = "softmax(tau=0.2)"
    assert alone[label].get_fillstyle() == beside[label].get_fillstyle() == "none"


def test_an_unknown_loss_looks_alike_in_every_process():
    code = "from robustbench_rec.figures.style import look; print(look('my_loss(a=1)'))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {str(look("my_loss"))}


def test_plugins_share_no_marker_and_pattern_with_known_losses():
    known = {(style.marker, style.pattern) for style in LOOKS.values()}
    assert not known & {(style.marker, style.pattern) for style in PLUGIN_LOOKS}
    assert len(set(PLUGIN_LOOKS)) == len(PLUGIN_LOOKS) >= 100


@pytest.mark.parametrize("column", ["dataset", "backbone", "perturbation", "metric"])
def test_more_than_one_panel_is_refused(column):
    mixed = world().copy()
    mixed.loc[0, column] = "other"
    with pytest.raises(ValueError, match=f"one panel shows one {column}, not 2"):
        draw_curves(mixed)


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="no curve"):
        draw_figure(world().iloc[:0])


def test_a_loss_without_retention_still_stands_beside_the_others():
    frame = world()
    columns = ["retention", "retention_low", "retention_high"]
    frame.loc[frame["loss"] == SIX[0], columns] = np.nan
    assert set(lines(draw_figure(frame).axes[1])) == set(SIX)


def test_all_losses_fit_beside_the_panels(tmp_path):
    figure = draw_figure(world(tuple(LOOKS)))
    figure.savefig(tmp_path / "all.png")
    box = figure.legends[0].get_window_extent()
    assert box.y0 >= 0
    assert box.y1 <= figure.bbox.height


def test_files_are_written_twice_alike(tmp_path):
    frame = pd.concat([world(), world(metric="coverage@20")])
    first = save_all(frame, tmp_path / "a" / "b")
    again = save_all(frame.sample(frac=1, random_state=0), tmp_path / "c")
    stem = "toy-mf-negative_contamination_pool_own"
    names = [f"{stem}-{m}_at_20.{kind}" for m in ("coverage", "ndcg") for kind in ("png", "pdf")]
    assert [path.name for path in first] == names
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert first[1].read_bytes().startswith(b"%PDF")


def test_files_are_the_same_with_a_helper(tmp_path):
    metrics = ("coverage@20", "ndcg@20", "recall@20")
    frame = pd.concat([world(metric=metric) for metric in metrics])
    alone = save_all(frame, tmp_path / "alone")
    with helper("robustbench_rec.figures.curves") as other:
        shared = save_all(frame, tmp_path / "shared", starmap=other.starmap)
    assert [path.name for path in shared] == [path.name for path in alone]
    assert [path.read_bytes() for path in shared] == [path.read_bytes() for path in alone]


def test_the_callers_settings_stay():
    before = dict(mpl.rcParams)
    draw_figure(world())
    assert dict(mpl.rcParams) == before


def test_file_stems_are_safe_short_and_distinct():
    keys = [("a", "p(x=1)"), ("a", "p[x=1]"), ("../a/b", "p"), ("a" * 300, "p"), ("A", "q")]
    stems = file_stems(keys)
    assert len(set(stems.values())) == len(keys)
    assert all(len(stem) <= 120 and "/" not in stem and stem[0] != "." for stem in stems.values())
    assert stems[keys[2]] == "a_b-p"
    assert stems[keys[4]] == "A-q"
    assert file_stems(keys[1:])[keys[1]] == "a-p_x_1"


def test_drawing_needs_neither_torch_nor_pyplot_nor_seaborn():
    code = (
        "import sys, robustbench_rec.figures.mechanism, robustbench_rec.analysis.degradation; "
        "print({'torch', 'seaborn', 'matplotlib.pyplot', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


def test_names_of_several_lines_have_room_in_a_ranking(tmp_path):
    names = [f"advinfonce(lr=0.0{at}, eps=1e-07)" for at in range(1, 9)]
    first = world().query("level == 0").iloc[[0]]
    many = pd.concat([first.assign(loss=name, mean=0.1) for name in names])
    figure = draw_ranking(many)
    figure.savefig(tmp_path / "many.png")
    boxes = [text.get_window_extent() for text in figure.axes[0].get_yticklabels()]
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))


def test_a_panel_of_one_level_ranks_the_losses_beside_published_values_and_tells_the_floors(
    tmp_path,
):
    clean = world().query("level == 0")
    clean = clean.assign(mean=np.linspace(0.3, 0.2, len(clean)))
    both = pd.concat([clean, floors().query("level == 0")])
    values = published(("bpr", 0.0, 0.31, "a"))
    figure = draw_ranking(both, published=values)
    ax, aside = figure.axes
    ranked = clean.sort_values("mean")["loss"].tolist()
    assert [text.get_text() for text in aside.get_yticklabels()] == ranked
    rings = [line for line in ax.get_lines() if line.get_label() == PUBLISHED]
    at = ranked.index("bpr")
    assert {tuple(line.get_xydata()[0]) for line in rings} == {(0.31, at)}
    low, high = ax.get_xlim()
    assert low < min(clean["mean"].min(), 0.31)
    assert high > clean["mean"].max()
    told = both[both["loss"] == "untrained"].set_index("backbone")["mean"]
    for name, value in told.items():
        assert f"{name} {value:.4f}" in ax.get_xlabel()
    assert floor_lines(ax) == {}
    assert floor_lines(aside) == pytest.approx(told.to_dict())
    assert aside.get_xlim()[1] < low
    (path,) = save_all(both, tmp_path, ("png",), published=values)
    assert path.is_file()


def test_a_ranking_needs_no_break_for_a_floor_among_the_losses():
    clean = world().query("level == 0")
    clean = clean.assign(mean=np.linspace(0.3, 0.2, len(clean)), low=np.nan, high=np.nan)
    floor = floors().query("level == 0").iloc[[0]].assign(mean=0.25)
    (ax,) = draw_ranking(pd.concat([clean, floor])).axes
    assert floor_lines(ax) == {"popularity": 0.25}


@pytest.mark.filterwarnings("error")  # "axes sizes collapsed to zero"
def test_even_one_loss_leaves_room_for_the_names_of_floors(tmp_path):
    one = pd.concat([world(SIX[:1]), floors()]).query("level == 0")
    figure = draw_ranking(one)
    figure.savefig(tmp_path / "one.png")
    for ax in figure.axes:
        rows = ax.get_window_extent()
        assert all(text.get_window_extent().y0 > rows.y0 for text in ax.texts)


def test_floors_above_and_below_the_losses_leave_these_their_axis():
    clean = world().query("level == 0")
    clean = clean.assign(mean=np.linspace(0.0102, 0.012, len(clean)), low=np.nan, high=np.nan)
    apart = floors().query("level == 0").assign(mean=[0.2, 0.004])
    ax, right, left = draw_ranking(pd.concat([clean, apart])).axes
    assert ax.get_xlim() == pytest.approx((0.0102, 0.012), abs=2e-4)
    assert (floor_lines(left), floor_lines(right)) == ({"random": 0.004}, {"popularity": 0.2})
    assert left.get_xlim()[1] < ax.get_xlim()[0] < ax.get_xlim()[1] < right.get_xlim()[0]


def test_names_of_floors_close_together_stand_on_either_side_of_their_lines(tmp_path):
    clean = world().query("level == 0").assign(mean=0.4)
    close = floors().query("level == 0").assign(mean=[0.2701, 0.27])
    figure = draw_ranking(pd.concat([clean, close]))
    figure.savefig(tmp_path / "close.png")
    one, other = (text.get_window_extent() for text in figure.axes[1].texts)
    assert not one.overlaps(other)


def floor_lines(ax):
    """Return where the lines of floors stand, by the names along them."""
    named = {text.get_text(): text.xy[0] for text in ax.texts}
    drawn = [line.get_xdata()[0] for line in ax.get_lines() if line.get_gid() == "floor"]
    assert drawn == list(named.values())
    return named


def test_a_panel_of_one_level_says_which_unless_it_is_the_control():
    for level, said in ((0.0, False), (0.4, True)):
        heading = draw_ranking(world().query(f"level == {level}")).get_suptitle()
        assert heading.replace("\n", " ").endswith(", level 0.4") == said
