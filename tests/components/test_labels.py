import pytest

import robustbench_rec
from robustbench_rec.components.labels import (
    distinct_labels,
    label_of,
    meant,
    nearest_label,
    one_meant,
    short_names,
)

PSL = "psl(activation={}, tau={}, n_negatives=200)"
LOSSES = short_names(
    [PSL.format("relu", "0.1"), PSL.format("tanh", "0.1"), PSL.format("tanh", "0.2"), "bpr(lr=1)"]
)


def test_short_names_keep_what_tells_apart():
    names = short_names(["a(x=1, y=2)", "a(x=1, y=3)", "b(x=1)", "c()"])
    assert list(names.values()) == ["a(y=2)", "a(y=3)", "b", "c"]


@pytest.mark.parametrize(
    ("asked", "labels"),
    [
        ("psl(activation=relu, tau=0.1)", ["psl(activation=relu, tau=0.1)"]),
        (" psl( activation = relu,tau=.10 ) ", ["psl(activation=relu, tau=0.1)"]),
        ("psl(activation=relu)", ["psl(activation=relu, tau=0.1)"]),
        ("psl(tau=2e-1, n_negatives=200)", ["psl(activation=tanh, tau=0.2)"]),
        (
            "psl(activation=tanh)",
            ["psl(activation=tanh, tau=0.1)", "psl(activation=tanh, tau=0.2)"],
        ),
        ("psl(activation=atan)", []),
        ("psl(relu)", []),
        ("bpr", ["bpr"]),
        ("bpr()", ["bpr"]),
        ("bpr(lr=1)", ["bpr"]),
        ("bp", []),
        ("", []),
    ],
)
def test_a_text_means_the_components_that_have_all_its_settings(asked, labels):
    assert meant(asked, LOSSES) == labels


def test_a_name_means_all_of_its_name_and_where_one_is_wanted_a_label_means_itself():
    labels = {"a(x=1, y=1)": "a", "a(x=1, y=2)": "a(y=2)"}
    assert meant("a", labels) == ["a", "a(y=2)"]
    assert one_meant("a", labels) == ["a"]
    assert one_meant("a(y=1)", labels) == ["a"]
    assert one_meant("a(x=1)", labels) == ["a", "a(y=2)"]


def test_a_label_is_the_name_with_the_settings_that_are_not_its_defaults():
    softmax, psl = robustbench_rec.LOSSES["softmax"], robustbench_rec.LOSSES["psl"]
    assert label_of(softmax()) == "softmax"
    assert label_of(softmax(tau=0.1, n_negatives=1000)) == "softmax(tau=0.1)"
    assert label_of(psl(tau=0.2, activation="tanh"), without=["tau"]) == "psl(activation=tanh)"
    pool = robustbench_rec.PERTURBATIONS["negative_contamination"]
    assert label_of(pool(level=0.5), without=["level"]) == "negative_contamination"
    assert label_of(pool(pool="held_out")) == "negative_contamination(pool=held_out)"


def test_labels_that_several_specs_share_are_told_apart_by_what_differs():
    labels = {"a(x=1, lr=1)": "a(x=1)", "a(x=1, lr=2)": "a(x=1)", "b(x=1)": "b"}
    assert distinct_labels(labels) == {
        "a(x=1, lr=1)": "a(x=1, lr=1)",
        "a(x=1, lr=2)": "a(x=1, lr=2)",
        "b(x=1)": "b",
    }


def test_a_mistyped_name_is_told_the_nearest_however_long_the_labels_are():
    labels = ["bpr", "softmax(tau=0.3, n_negatives=200)"]
    assert nearest_label("softmx", labels) == "; did you mean 'softmax'?"
    assert nearest_label("nothing", labels) == ""
