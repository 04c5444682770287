import numpy as np
import pandas as pd
import pytest
from panels import code, codes, drawings_of
from scipy import stats

from robustbench_rec.analysis.degradation import curves
from robustbench_rec.figures import diagnostics as figures
from robustbench_rec.figures.diagnostics import (
    BY_LEVEL,
    EVEN,
    PUSH,
    draw_along_training,
    draw_by_level,
    draw_by_loss,
)
from robustbench_rec.figures.files import by_stem, save_all
from robustbench_rec.figures.kind import Asked, Frames
from robustbench_rec.figures.style import LOOKS
from robustbench_rec.processes import helper
from robustbench_rec.records.frames import TRAINING

LEVELS = (0.0, 0.1, 0.4)
LOSSES = ("bpr", "ccl", "softmax")
STEM = "toy-mf-noise"

HALF = stats.t.ppf(0.975, 2) * 0.001 / np.sqrt(3)
"""Half of the interval over replicates that are .001 apart."""


def measured(losses=LOSSES, replicates=3, perturbation="noise", slope=1.0):
    """Make diagnostics of epochs 2, 4, 6; the best is 4, and 6 at the highest level.

    The i-th loss's are (i + 1) / 10 + epoch / 100 + slope x level + replicate / 1000; the rate of
    false negatives is 0.05 + slope x level.
    """
    rows = [
        (
            *("s", "toy", "mf", loss, perturbation, "share", level, r, epoch),
            epoch == (6 if level == max(LEVELS) and slope else 4),
            name,
            slope * level + (0.05 if name == EVEN else (i + 1) / 10 + epoch / 100 + r / 1000),
        )
        for i, loss in enumerate(losses)
        for level in LEVELS
        for r in range(replicates)
        for epoch in (2, 4, 6)
        for name in (*BY_LEVEL, EVEN)
    ]
    return pd.DataFrame(rows, columns=[*TRAINING, "diagnostic", "value"])


def drawings(diagnostics):
    """Return the figures of diagnostics, as of a run of nothing else."""
    return figures.drawings(Frames(pd.DataFrame(columns=["loss"]), diagnostics), Asked())


def best(frame):
    return frame[frame["best"]]


def lines(ax):
    return {code(line.get_label()): line for line in ax.get_lines()}


def titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes]


def legend(figure):
    """Return the losses in a figure's legend, and what is in that of its first panel."""
    own = figure.axes[0].get_legend()
    return [codes(one.get_texts()) for one in (*figure.legends, *([own] if own else []))]


def test_by_level_shows_the_best_epochs_and_what_even_weights_would_give():
    figure = draw_by_level(best(measured()))
    assert titles(figure) == list(BY_LEVEL.values())[:6]
    on_false = lines(figure.axes[0])
    # bpr, mean over replicates: 0.1 + 0.001 + level + epoch / 100
    assert on_false["bpr"].get_ydata() == pytest.approx([0.141, 0.241, 0.561])
    assert on_false["even weights"].get_xydata().tolist() == [
        pytest.approx([level, 0.05 + level]) for level in LEVELS
    ]
    for ax in figure.axes[1:]:
        assert set(lines(ax)) == set(LOSSES)
    assert legend(figure) == [["bpr", "softmax", "ccl"], ["even weights"]]
    assert "Bars: 95% over 3 replicates." in figure.get_supxlabel()


def test_along_training_shows_level_0_and_the_highest_with_a_marker_at_each_best_epoch():
    frame = measured()
    shown = frame[frame["level"].isin((0.0, 0.4))]
    shown.loc[(shown["level"] == 0) & (shown["replicate"] == 1), "best"] = shown["epoch"] == 2
    figure = draw_along_training(shown)
    assert titles(figure) == [
        f"{BY_LEVEL[name]}, level {level}"
        for name in ("false_negative_share", "effective_sample_size")
        for level in ("0", "0.4")
    ]
    clean, noisy = (lines(ax) for ax in figure.axes[:2])
    assert clean["bpr"].get_xdata().tolist() == [2, 4, 6]
    assert clean["bpr"].get_ydata() == pytest.approx([0.121, 0.141, 0.161])
    assert clean["bpr"].get_markevery() == [0, 1]
    assert noisy["bpr"].get_markevery() == [2]
    assert noisy["even weights"].get_ydata() == pytest.approx([0.45] * 3)
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    ends = [mean + side * HALF for mean in (0.121, 0.141, 0.161) for side in (-1, 1)]
    assert sorted({*band[:, 1].round(6)}) == pytest.approx(ends, abs=1e-6)
    assert legend(figure) == [["bpr", "softmax", "ccl"], ["even weights"]]


def test_a_loss_looks_as_in_the_other_figures():
    for figure in (draw_by_level(best(measured())), draw_along_training(measured())):
        for ax in figure.axes:
            for loss in LOSSES:
                assert lines(ax)[loss].get_color() == LOOKS[loss].color
                assert lines(ax)[loss].get_marker() == LOOKS[loss].marker
    alone = draw_by_level(best(measured(("bpr(a=2)",))), among=("bpr(a=1)", "bpr(a=2)"))
    assert lines(alone.axes[0])["BPR (a=2)"].get_fillstyle() == "none"


def test_axes_start_at_zero_and_hold_everything():
    for figure in (draw_by_level(best(measured())), draw_along_training(measured())):
        for ax in figure.axes:
            low, high = ax.get_ylim()
            assert low == 0
            assert high >= max(np.max(line.get_ydata()) for line in ax.get_lines())


def test_many_losses_fit(tmp_path):
    figure = draw_by_level(best(measured(tuple(LOOKS))))
    figure.savefig(tmp_path / "all.png")
    box = figure.legends[0].get_window_extent()
    assert box.y0 >= 0
    assert box.y1 <= figure.bbox.height


def test_one_replicate_draws_and_says_so():
    figure = draw_along_training(measured(replicates=1))
    assert "One replicate, no interval." in figure.get_supxlabel()


def test_each_panel_has_a_figure_by_level_and_one_along_training():
    frame = pd.concat([measured(), measured(perturbation="other")])
    found = drawings(frame)
    assert [*by_stem(found)] == [
        f"toy-mf-{name}-{kind}"
        for name in ("noise", "other")
        for kind in ("diagnostics", "diagnostics_training")
    ]
    by_level, training = (drawing.draw(*drawing.arguments) for drawing in found[:2])
    assert titles(by_level) == list(BY_LEVEL.values())[:6]
    assert len(training.axes) == 4
    assert lines(by_level.axes[0])["bpr"].get_ydata() == pytest.approx([0.141, 0.241, 0.561])


def test_a_perturbation_that_training_does_not_see_has_one_level_of_training_alone():
    kept, training = drawings(measured(slope=0.0))
    assert [*by_stem([kept, training])] == [f"{STEM}-diagnostics", f"{STEM}-diagnostics_training"]
    figure = kept.draw(*kept.arguments)
    assert titles(figure) == list(BY_LEVEL.values())[:6]
    figure = training.draw(*training.arguments)
    names = ("false_negative_share", "effective_sample_size")
    assert titles(figure) == [BY_LEVEL[name] for name in names]
    assert [ax.get_xlabel() for ax in figure.axes] == ["epoch", "epoch"]


def test_where_training_is_one_the_losses_are_rows():
    figure = draw_by_loss(best(measured(slope=0.0)).query("level == 0"))
    on_false, *others = (lines(ax) for ax in figure.axes)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        "CCL",
        "Softmax (SL)",
        "BPR",
    ]
    for at, loss in enumerate(["ccl", "softmax", "bpr"]):
        mean = (LOSSES.index(loss) + 1) / 10 + 0.04 + 0.001
        for panel in (on_false, *others):
            assert panel[loss].get_xdata() == pytest.approx([mean])
            assert list(panel[loss].get_ydata()) == [at]
            assert panel[loss].get_color() == LOOKS[loss].color
    assert on_false["even weights"].get_xdata() == pytest.approx([0.05, 0.05])
    assert legend(figure) == [["even weights"]]
    spans = [path.vertices[:, 0] for path in figure.axes[2].collections[0].get_paths()]
    assert spans[0] == pytest.approx([0.141 - HALF, 0.141 + HALF])
    assert "Bars: 95% over 3 replicates." in figure.get_supxlabel()
    assert all(ax.get_xlim()[0] == 0 for ax in figure.axes)


def test_nothing_measured_has_no_figure():
    frame = measured()
    assert drawings(frame.iloc[:0]) == []
    assert drawings(frame[frame["diagnostic"] == EVEN]) == []
    (only,) = drawings(frame[frame["diagnostic"] == "kl"])
    assert [*by_stem([only])] == [f"{STEM}-diagnostics"]


@pytest.mark.parametrize("draw", [draw_by_level, draw_by_loss])
def test_runs_that_did_not_measure_the_push_show_the_divergence_of_order_2(draw):
    frame = measured(slope=float(draw is draw_by_level))
    frame = best(frame if draw is draw_by_level else frame.query("level == 0"))
    with_push, without = (draw(rows) for rows in (frame, frame.query("diagnostic != @PUSH")))
    assert titles(with_push)[1] == BY_LEVEL[PUSH]
    assert titles(without) == [title for name, title in BY_LEVEL.items() if name != PUSH]
    for figure, last in ((with_push, "kl"), (without, "renyi_2")):
        assert titles(figure)[-1] == BY_LEVEL[last]


def test_a_panel_without_known_false_negatives_still_draws():
    frame = measured()
    frame = frame[~frame["diagnostic"].isin((EVEN, "false_negative_share"))]
    for drawing in drawings(frame):
        assert legend(drawing.draw(*drawing.arguments)) == [["bpr", "softmax", "ccl"]]


def test_files_are_the_same_with_a_helper_and_stand_in_order(tmp_path):
    rows = measured().query("best").rename(columns={"diagnostic": "metric"})
    found = curves(rows[rows["metric"] == "kl"].assign(metric="ndcg@20"))
    alone = save_all(drawings_of(found, measured()), tmp_path / "alone")
    assert [path.name for path in alone] == [
        f"{STEM}-{kind}.{suffix}"
        for kind in ("diagnostics", "diagnostics_training", "ndcg_at_20")
        for suffix in ("png", "pdf", "csv")
    ]
    shuffled = measured().sample(frac=1, random_state=0)
    with helper("robustbench_rec.figures.diagnostics") as other:
        drawings = drawings_of(found, shuffled)
        shared = save_all(drawings, tmp_path / "shared", starmap=other.starmap)
    assert [path.read_bytes() for path in shared] == [path.read_bytes() for path in alone]
