"""What a suite says of its figures: checked as all of it, and in no id."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_rec.errors import InputError
from robustbench_rec.experiment.shown import names_in, read_shown, shown_in
from robustbench_rec.experiment.suite_file import load_suite

SUITE = """\
name = "tiny"
replicates = 1
metrics = ["ndcg@20"]

[[dataset]]
name = "synthetic"
label = "toy data"

[[backbone]]
name = "mf"

[[loss]]
name = "psl"
activation = "relu"
label = "Ours & $more"

[[loss]]
name = "bpr"

[[perturbation]]
name = "hidden_positives"
level = [0, 0.2]
label = "hidden"
"""
FIGURES = """
[figures]
order = ["bpr", "psl(activation=relu)"]
hide = ["bpr"]
limits = { "ndcg@20" = [0, 0.5] }
"""


def ids(tmp_path, text):
    path = tmp_path / "suite.toml"
    path.write_text(text)
    suite = load_suite(path, tmp_path)
    return [cell.id for cell in suite.cells(dict.fromkeys(suite.datasets, "of the data"))]


def test_neither_labels_nor_figures_enter_an_id(tmp_path):
    plain = "\n".join(line for line in SUITE.splitlines() if not line.startswith("label"))
    assert ids(tmp_path, SUITE + FIGURES) == ids(tmp_path, plain)


def test_what_is_said_is_read_from_the_text_of_the_suite():
    assert [*names_in(SUITE)] == [
        ("dataset", "synthetic", "toy data"),
        ("loss", "psl(activation=relu)", "Ours & $more"),
        ("perturbation", "hidden_positives", "hidden"),
    ]
    shown = shown_in(SUITE + FIGURES)
    assert (shown.order, shown.hide) == (["bpr", "psl(activation=relu)"], ["bpr"])
    assert shown.limits == {"ndcg@20": [0, 0.5]}
    assert shown_in("no suite [").order == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"hidden"', "3", "suite.toml:23: label is 3; it must be a text of 1 to 60 characters"),
        ('"hidden"', '" "', "suite.toml:23: label is ' '; it must be a text of 1 to 60 char"),
        ('name = "bpr"', 'name = "bpr"\nlabel = "Ours & $more"', "label 'Ours & $more' is used tw"),
        ("order", "ordr", "figures has no 'ordr'; did you mean 'order'? (allowed: order, hide, l"),
        (
            '["bpr"]',
            '["brp"]',
            "hide names loss 'brp', which this suite lacks; did you mean 'bpr'?",
        ),
        ('["bpr"]', "3", "hide is 3; it must be as in a list"),
        ("[0, 0.5]", "[0.5, 0]", "limits of ndcg@20 are [0.5, 0.0]; they must be two numbers, the"),
        ("[0, 0.5]", "[0, nan]", "limits of ndcg@20 are [0.0, nan]; they must be two numbers, th"),
        ("[0, 0.5]", "'x'", "it must be as in limits = { 'ndcg@20' = [0, 0.4] }"),
        ('"ndcg@20" = [', '"ndcg@5" = [', "limits names 'ndcg@5'; metrics: ndcg@20"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, old, new, said):
    text = SUITE + FIGURES
    assert old in text
    with pytest.raises(InputError) as caught:
        ids(tmp_path, text.replace(old, new))
    assert said in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["order", "hide", "limits", "x"]), JSON, max_size=3))
def test_whatever_stands_in_the_table_is_read_or_refused(table):
    with suppress(InputError):  # nothing else is raised
        read_shown(table)
