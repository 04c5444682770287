from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from panels import SIX, baselines, codes, drawings_of, published, world

from robustbench_rec.figures.files import save_all
from robustbench_rec.figures.rankings import draw_ranking, rank


def test_names_of_several_lines_have_room_in_a_ranking(tmp_path):
    names = [f"advinfonce(lr=0.0{at}, eps=1e-07)" for at in range(1, 9)]
    first = world().query("level == 0").iloc[[0]]
    many = pd.concat([first.assign(loss=name, mean=0.1) for name in names])
    figure = draw_ranking(many)
    figure.savefig(tmp_path / "many.png")
    boxes = [text.get_window_extent() for text in figure.axes[0].get_yticklabels()]
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))


def test_a_panel_of_one_level_ranks_the_losses_beside_published_values_and_tells_the_baselines(
    tmp_path,
):
    clean = world().query("level == 0")
    clean = clean.assign(mean=np.linspace(0.3, 0.2, len(clean)))
    both = pd.concat([clean, baselines().query("level == 0")])
    values = published(("bpr", 0.0, 0.31, "a"))
    ranking = rank(both, published=values)
    (ax,) = ranking.figure.axes
    ranked = clean.sort_values("mean")["loss"].tolist()
    assert codes(ax.get_yticklabels()) == ranked
    at = ranked.index("bpr")
    assert [list(line.get_ydata()) for line in ranking.losses] == [[i] for i in range(6)]
    assert {tuple(line.get_xydata()[0]) for line in ranking.published} == {(0.31, at)}
    low, high = ax.get_xlim()
    assert low < min(clean["mean"].min(), 0.31)
    assert high > clean["mean"].max()
    told = both[both["loss"] == "untrained"].set_index("backbone")["mean"]
    for name, value in told.items():
        assert f"{name} {value:.4f}" in ax.get_xlabel()
    assert baseline_lines(ranking, ax) == {}
    (path,) = save_all(drawings_of(both, published=values), tmp_path, ("png",))
    assert path.is_file()


def test_a_ranking_needs_no_break_for_a_baseline_among_the_losses():
    clean = world().query("level == 0")
    clean = clean.assign(mean=np.linspace(0.3, 0.2, len(clean)), low=np.nan, high=np.nan)
    baseline = baselines().query("level == 0").iloc[[0]].assign(mean=0.25)
    ranking = rank(pd.concat([clean, baseline]))
    (ax,) = ranking.figure.axes
    assert baseline_lines(ranking, ax) == {"popularity": 0.25}


@pytest.mark.filterwarnings("error")  # "axes sizes collapsed to zero"
def test_even_one_loss_leaves_room_for_the_names_of_baselines(tmp_path):
    one = pd.concat([world(SIX[:1]), baselines()]).query("level == 0")
    figure = draw_ranking(one)
    figure.savefig(tmp_path / "one.png")
    for ax in figure.axes:
        rows = ax.get_window_extent()
        assert all(text.get_window_extent().y0 > rows.y0 for text in ax.texts)


def test_baselines_above_and_below_the_losses_are_told_and_leave_these_their_axis():
    clean = world().query("level == 0")
    clean = clean.assign(mean=np.linspace(0.010, 0.012, len(clean)), low=np.nan, high=np.nan)
    apart = baselines().query("level == 0").assign(mean=[0.2, 0.004])
    ranking = rank(pd.concat([clean, apart]))
    (ax,) = ranking.figure.axes
    assert ax.get_xlim() == pytest.approx((0.010, 0.012), abs=2e-4)
    assert baseline_lines(ranking, ax) == {}
    assert "popularity 0.2000, random 0.0040" in ax.get_xlabel()


def test_losses_a_percent_apart_do_not_fill_a_page():
    clean = world(("bpr", "ccl")).query("level == 0")
    ranking = rank(clean.assign(mean=[0.3, 0.303], low=np.nan, high=np.nan))
    low, high = ranking.figure.axes[0].get_xlim()
    assert high - low > 0.03


def test_names_of_baselines_close_together_stand_on_either_side_of_their_lines(tmp_path):
    clean = world().query("level == 0").assign(mean=np.linspace(0.2, 0.4, 6))
    close = baselines().query("level == 0").assign(mean=[0.2701, 0.27])
    figure = draw_ranking(pd.concat([clean, close]))
    figure.savefig(tmp_path / "close.png")
    one, other = (text.get_window_extent() for text in figure.axes[0].texts)
    assert not one.overlaps(other)


def baseline_lines(ranking, ax):
    """Return where the lines of baselines stand on an axis; their names are along them."""
    named = {text.get_text(): text.xy[0] for text in ax.texts}
    lines = {name: line for name, line in ranking.baselines.items() if line.axes is ax}
    assert named == {name: line.get_xdata()[0] for name, line in lines.items()}
    return named


def test_a_panel_of_one_level_says_which_unless_it_is_the_control():
    for level, said in ((0.0, False), (0.4, True)):
        heading = draw_ranking(world().query(f"level == {level}")).get_suptitle()
        assert heading.replace("\n", " ").endswith(", level 0.4") == said
