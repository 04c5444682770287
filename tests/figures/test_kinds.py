"""New kinds of figures: what they show of curves made by hand, and of odd ones."""

import io
import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from panels import PERTURBATION, SIX, codes, drawings_of, lines, world

from robustbench_rec.analysis.improvement import improvements
from robustbench_rec.analysis.ranking import rank
from robustbench_rec.errors import InputError
from robustbench_rec.figures import files, standing, training, users
from robustbench_rec.figures.files import save_all
from robustbench_rec.figures.heatmap import at_hardest, draw_heatmap
from robustbench_rec.figures.improvement import draw_improvement
from robustbench_rec.figures.kind import Asked
from robustbench_rec.figures.layout import lay_out
from robustbench_rec.figures.multiples import draw_multiples
from robustbench_rec.figures.names import called
from robustbench_rec.figures.page import Page, drawn_for
from robustbench_rec.figures.panel import page_style
from robustbench_rec.figures.severity import draw_severity
from robustbench_rec.figures.standing import draw_standing
from robustbench_rec.figures.training import draw_training
from robustbench_rec.figures.users import draw_users
from robustbench_rec.records.manifest import PlannedCell

HOSTILE = [
    *("<b>&amp;", "$x_1$", "../../etc", "_hidden", "a\nb\x1b[2J", r"\textbf{", "%d {0}", "=1+1")
]


def results(losses=("bpr", "ccl"), replicates=4):
    """Make results: at level l the i-th loss has (0.3 + 0.01 r)(1 - l (i + 1) / 2)."""
    return pd.DataFrame(
        [
            {
                **{"suite": "s", "dataset": "toy", "backbone": "mf", "loss": loss},
                **{"perturbation": PERTURBATION, "unit": "share", "level": level, "replicate": r},
                **{"metric": "ndcg@20", "value": (0.3 + 0.01 * r) * (1 - level * (i + 1) / 2)},
                "replicates_vary": "split",
            }
            for i, loss in enumerate(losses)
            for level in (0.0, 0.5, 1.0)
            for r in range(replicates)
        ]
    )


def test_a_heat_map_has_a_row_of_a_loss_without_a_value_and_no_contrast_of_a_hair():
    found = world(("bpr", "bce", "ccl")).set_index("loss")
    found.loc[["bpr", "bce"], "retention"] = [0.601, 0.6, 0.602, 0.603] * 2
    rows = at_hardest(found.drop("ccl").reset_index(), "retention")
    figure = draw_heatmap(rows, "retention", ("bpr", "bce", "ccl"))
    (ax,) = figure.axes
    assert codes(ax.get_yticklabels()) == ["bpr", "bce", "ccl"]
    assert any("empty: no value" in text.get_text() for text in figure.texts)
    low, high = ax.collections[0].get_clim()
    assert high - low == pytest.approx(0.0603)  # a tenth of the largest: alike to the eye


def test_a_heat_map_prints_what_each_loss_keeps_at_the_hardest_level():
    other = world(("bpr",), perturbation="other")
    rows = at_hardest(pd.concat([world(("bpr", "ccl")), other]), "retention")
    figure = draw_heatmap(rows)
    (ax,) = figure.axes
    # 1 - 0.4 x 1 / 10, 1 - 0.4 x 2 / 10; ccl was not run under the other
    assert [text.get_text() for text in ax.texts] == ["96%", "96%", "92%"]
    assert codes(ax.get_yticklabels()) == ["bpr", "ccl"]
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        "false\nnegatives\n(own\npositives)\nat 0.4",
        "other\nat 0.4",
    ]
    note = " ".join(figure.get_supxlabel().split())
    assert note == "NDCG@20: share of the clean value, at the hardest level; empty: no value"


def test_on_a_narrow_page_names_below_a_heat_map_are_written_upwards():
    names = ["popularity_shift", "hidden_positives", "false_positives", "clean"]
    rows = pd.concat([world(("bpr",), perturbation=name) for name in names])
    with drawn_for(Page(width=3.3)):
        figure = draw_heatmap(at_hardest(rows, "retention"))
        with page_style():
            lay_out(figure)
    (ax,) = figure.axes
    labels = ax.get_xticklabels()
    assert {label.get_rotation() for label in labels} == {90}
    boxes = [label.get_window_extent() for label in labels]
    assert all(one.x1 <= other.x0 for one, other in itertools.pairwise(boxes))


def test_improvement_is_within_replicates_and_its_interval_of_the_share():
    table = improvements(results(), "bpr")
    assert table["loss"].unique().tolist() == ["ccl"]
    # (1 - l) / (1 - l / 2) - 1 in every replicate, so without a spread
    assert table["mean"].tolist() == pytest.approx([0, 0.5 / 0.75 - 1, -1])
    assert table["low"].tolist() == pytest.approx(table["high"].tolist())
    figure = draw_improvement(table)
    (ax,) = figure.axes
    assert lines(ax)["ccl"].get_ydata().tolist() == table["mean"].tolist()
    assert ax.get_ylabel() == "NDCG@20: improvement\nover BPR"
    with pytest.raises(InputError, match="no other loss was run"):
        improvements(results(("bpr",)), "bpr")


def test_a_standing_has_the_scores_of_the_ranking_the_best_on_top():
    table = rank(results())
    (ax,) = draw_standing(table).axes
    shown = lines(ax)
    assert codes(ax.get_yticklabels()) == ["ccl", "bpr"]
    for at, loss in enumerate(("ccl", "bpr")):
        score = table.loc[table["loss"] == loss, "score"].item()
        assert shown[loss].get_xydata().tolist() == [[score, at]]


def test_without_intervals_a_standing_claims_no_test():
    figure = draw_standing(rank(results(replicates=1)))
    note = " ".join(figure.get_supxlabel().split())
    assert "nothing was tested" in note
    assert "bar" not in note
    with pytest.raises(InputError, match="--value rank does not apply to figure standing"):
        standing.drawings(SimpleNamespace(), Asked(value="rank"))


def of_users(clean, noisy):
    """Make a run of one loss on two users, in replicates with their values at two levels."""
    cells = {
        f"{level}-{r}": SimpleNamespace(
            dataset="toy", backbone="mf", loss="bpr", perturbation="p", level=level, replicate=r
        )
        for level in (0.0, 0.5)
        for r in range(len(clean))
    }
    values = np.array([*clean, *noisy], dtype=np.float16)
    held = SimpleNamespace(cells=np.array([*cells]), values={"ndcg@20": values})
    return SimpleNamespace(users={"toy": held}, manifest=SimpleNamespace(cells=cells))


def test_users_retain_their_mean_over_replicates_and_those_without_any_are_left_out():
    nan = np.nan
    run = of_users([[0.5, 0.0, 0.25], [0.5, 0.0, nan]], [[0.25, 0.5, 0.5], [0.5, 0.0, 0.5]])
    rows = pd.DataFrame(users._rows(run))
    # user 0: (0.25 + 0.5) / (0.5 + 0.5); user 1 has nothing; user 2 in replicate 0 alone
    assert rows["retention"].tolist() == [0.75, 2.0]
    assert rows["users"].tolist() == [0.5, 1.0]
    assert rows["left_out"].unique().tolist() == [1]
    figure = draw_users(rows)
    (line,) = [one for one in figure.axes[0].get_lines() if one.get_label() == "BPR"]
    assert line.get_xydata().tolist()[:3] == [[0, 0], [0.75, 0.5], [2.0, 1.0]]
    assert "1 with nothing at level 0 are left out" in figure.get_supxlabel()


def test_severity_is_one_line_where_all_losses_meet_the_same_data():
    rows = world(("bpr", "ccl")).assign(realised=lambda held: held["level"] * 0.9)
    figure = draw_severity(rows)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["every loss"]
    apart = rows.assign(realised=rows["realised"] + (rows["loss"] == "ccl") * 0.1)
    figure = draw_severity(apart)
    assert codes(figure.legends[0].get_texts()) == ["bpr", "ccl"]
    assert lines(figure.axes[0])["ccl"].get_ydata() == pytest.approx([0.1, 0.19, 0.28, 0.46])


def test_small_multiples_share_a_legend_and_say_what_each_is_of():
    both = pd.concat([world(), world(("bpr",)).assign(dataset="other")])
    (drawing,) = drawings_of(both, kinds=["multiples"])
    figure = drawing.draw(*drawing.arguments)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["other, MF", "toy, MF"]
    assert [bool(ax.get_ylabel()) for ax in figure.axes] == [True, False]
    assert sum(text.get_text().count("Bars: ") for text in figure.texts) == 1
    assert codes(figure.legends[0].get_texts()) == [*SIX]
    assert set(lines(figure.axes[0])) == {"bpr"}
    assert drawings_of(world(), kinds=["multiples"]) == []
    assert len(draw_multiples(both, value="mean").axes) == 2


def test_levels_that_share_a_training_have_it_once():
    called = {"dataset": "toy", "backbone": "mf", "loss": "bpr", "replicate": 0}
    planned = [("a", "noise", 0.0, "t"), ("b", "noise", 0.5, "u"), ("c", "shift", 2.0, "t")]
    planned.append(("d", "shift", 0.0, "t"))
    cells = {
        id: PlannedCell(**called, perturbation=name, level=level, training=training)
        for id, name, level, training in planned
    }
    done = SimpleNamespace(status="done", history=[(5, 0.1), (10, 0.2)])
    run = SimpleNamespace(manifest=SimpleNamespace(cells=cells), records=dict.fromkeys(cells, done))
    rows = pd.DataFrame(training._courses(run))
    found = rows.groupby("perturbation")["level"].unique().map(list).to_dict()
    assert found == {"noise": [0.0, 0.5], "shift": [0.0]}


def test_training_ends_where_the_first_replicate_did():
    place = {"dataset": "toy", "backbone": "mf", "perturbation": "p", "loss": "bpr", "level": 0.0}
    rows = pd.DataFrame(
        [
            place | {"replicate": r, "epoch": epoch, "value": epoch / 100 + r / 1000}
            for r, last in enumerate((30, 20))
            for epoch in range(10, last + 1, 10)
        ]
    )
    found = training.summary(rows)
    assert found["epoch"].tolist() == [10, 20]
    (ax,) = draw_training(found).axes
    assert lines(ax)["bpr"].get_ydata() == pytest.approx([0.1005, 0.2005])


@pytest.mark.parametrize("kind", ["curves", "heatmap", "multiples", "severity"])
@pytest.mark.parametrize("replicates", [1, 2])
def test_one_replicate_one_loss_and_hostile_names_draw(tmp_path, kind, replicates):
    frames = [
        world((name,), replicates, perturbation=name).assign(dataset=name, backbone=backbone)
        for name in HOSTILE
        for backbone in ("mf", name)
    ]
    found = pd.concat(frames).assign(unit=HOSTILE[1], realised=lambda rows: rows["level"])
    drawn = drawings_of(found, kinds=[kind])
    assert drawn
    names = {path.parent for path in save_all(drawn[:2], tmp_path / "out", ("svg", "csv"))}
    assert names == {tmp_path / "out"}
    for path in (tmp_path / "out").glob("*.svg"):
        assert b"<b>&amp;" not in path.read_bytes()
        assert b"\x1b" not in path.read_bytes()


def test_a_table_is_no_formula():
    written = files._written(pd.DataFrame({"loss": ["=1+1"], "mean": [-0.5]}))
    assert pd.read_csv(io.BytesIO(written)).to_dict("records") == [{"loss": "'=1+1", "mean": -0.5}]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("bpr", "BPR"),
        ("softmax", "Softmax (SL)"),
        ("softmax(tau=0.1)", "Softmax (SL, tau=0.1)"),
        ("psl(activation=relu)", "PSL (relu)"),
        ("negative_contamination(pool=own)", "false negatives (own positives)"),
        ("mine", "mine"),
        ("mine(on=True, at=3)", "mine (on=True, at=3)"),
        ("$a$", r"\$a\$"),
        ("bpr\x1b", "bpr "),
    ],
)
def test_components_are_called_as_people_do(label, name):
    assert called(label) == name


def test_a_page_may_call_a_loss_otherwise_and_put_it_first():
    with drawn_for(Page(names=(("ccl", "ours"),), order=("ccl",))):
        (drawing,) = drawings_of(world(("bpr", "ccl")), asked=Asked("absolute"))
        figure = drawing.draw(*drawing.arguments)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours", "BPR"]


def test_a_page_may_limit_an_axis():
    with drawn_for(Page(limits=(("ndcg@20", 0.0, 0.5),))):
        (drawing,) = drawings_of(world(), asked=Asked("absolute"))
        assert drawing.draw(*drawing.arguments).axes[0].get_ylim() == (0.0, 0.5)


def test_values_that_are_missing_are_nothing_in_every_kind():
    found = world(("bpr", "ccl"))
    gone = found["loss"] == "ccl"
    columns = ["mean", "low", "high", "retention", "retention_low", "retention_high"]
    found.loc[gone, columns] = np.nan
    for kind in ("curves", "heatmap"):
        for drawing in drawings_of(found, kinds=[kind]):
            drawing.draw(*drawing.arguments)
    assert drawings_of(found[gone].assign(retention=np.nan), kinds=["heatmap"]) == []
