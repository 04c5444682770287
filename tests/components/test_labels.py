import pytest

from robustbench_rec.components.labels import meant, short_names

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


def test_a_label_means_itself_though_others_have_its_settings_too():
    labels = {"a(x=1)": "a", "a(x=1, y=2)": "a(y=2)"}
    assert meant("a", labels) == ["a"]
