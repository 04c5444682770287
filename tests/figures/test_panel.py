import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from panels import baselines, lines, world

from robustbench_rec.figures.curves import draw_curves, draw_figure
from robustbench_rec.figures.legend import draw_legend
from robustbench_rec.figures.panel import PANEL, panels
from robustbench_rec.figures.style import LOOKS


def test_a_loss_looks_alike_in_every_figure():
    one = lines(draw_curves(world(("softmax(tau=0.2)", "bpr"))))["Softmax (SL, tau=0.2)"]
    two = lines(draw_figure(world(("softmax(tau=0.1)", "drrl"))).axes[1])["Softmax (SL, tau=0.1)"]
    assert one.get_color() == two.get_color() == LOOKS["softmax"].color
    assert one.get_marker() == two.get_marker()
    assert one.get_linestyle() == two.get_linestyle()


def test_a_variant_alone_looks_as_beside_the_others_when_told_of_them():
    both = ("softmax(tau=0.1)", "softmax(tau=0.2)")
    alone = lines(draw_curves(world(both[1:]), ax=Figure().add_subplot(), among=both))
    beside = lines(draw_curves(world(both)))
    label = "Softmax (SL, tau=0.2)"
    assert alone[label].get_fillstyle() == beside[label].get_fillstyle() == "none"


@pytest.mark.parametrize("column", ["dataset", "backbone", "perturbation", "metric"])
def test_more_than_one_panel_is_refused(column):
    mixed = world().copy()
    mixed.loc[0, column] = "other"
    with pytest.raises(ValueError, match=f"one panel shows one {column}, not 2"):
        draw_curves(mixed)


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="no curve"):
        draw_figure(world().iloc[:0])


def test_all_losses_fit_beside_the_panels(tmp_path):
    figure = draw_figure(world(tuple(LOOKS)))
    figure.savefig(tmp_path / "all.png")
    box = figure.legends[0].get_window_extent()
    assert box.y0 >= 0
    assert box.y1 <= figure.bbox.height


def test_the_callers_settings_stay():
    before = dict(mpl.rcParams)
    draw_figure(world())
    assert dict(mpl.rcParams) == before


def test_drawing_needs_neither_torch_nor_pyplot_nor_seaborn():
    code = (
        "import sys, robustbench_rec.figures.diagnostics, robustbench_rec.analysis.degradation; "
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


def line(label, *y):
    return Line2D(range(len(y)), y, label=label)


def entries(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_a_legend_lists_losses_in_their_order_then_what_is_published():
    figure = Figure()
    losses = [line("low", 3, 1), line("lost", 1, np.nan), line("high", 1, 2)]
    draw_legend(figure, losses, published=True)
    assert entries(figure) == ["low", "lost", "high", "published"]
    figure = Figure()
    draw_legend(figure, losses[:1])
    assert entries(figure) == ["low"]
    figure = Figure()
    draw_legend(figure, [])
    assert figure.legends == []


def test_panels_hold_the_baselines_of_their_data_and_baselines_alone_are_none():
    both = pd.concat([baselines(), world(), world(metric="recall@20")])
    found = panels(both)
    assert [dict(zip(PANEL, key, strict=True))["metric"] for key in found] == [
        "ndcg@20",
        "recall@20",
    ]
    ndcg, recall = found.values()
    assert ndcg["backbone"].unique().tolist() == ["mf", "popularity", "random"]
    assert recall["backbone"].unique().tolist() == ["mf"]
    assert panels(baselines()) == {}
