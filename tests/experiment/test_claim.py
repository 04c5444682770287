"""Claims in a suite's file: what they mean, and what is refused."""

import pytest

from robustbench_rec import InputError
from robustbench_rec.experiment.claim import Claim, read_claim
from robustbench_rec.experiment.reference import Grid

GRID = Grid(
    {
        "loss": {"softmax(tau=0.2)": "softmax", "drrl(scale=1)": "drrl", "bpr()": "bpr"},
        "perturbation": {
            "negative_contamination(pool=own)": "negative_contamination",
            "hidden_positives()": "hidden_positives",
        },
        "dataset": {},
        "backbone": {},
    },
    {"negative_contamination": [0.0, 0.1, 0.3], "hidden_positives": [0.0]},
    (20,),
)
CLAIM = {
    "says": "DrRL keeps more  than SL",
    "kind": "keeps-more",
    "loss": "drrl(scale=1.0)",
    "than": "softmax",
    "perturbation": "negative_contamination",
}


def test_a_claim_has_the_labels_that_it_means():
    assert read_claim(CLAIM | {"level": 0.1, "untested": {"scale": 1.0}}, GRID) == Claim(
        says="DrRL keeps more than SL",
        kind="keeps-more",
        loss="drrl",
        than="softmax",
        perturbation="negative_contamination",
        level=0.1,
        untested={"scale": 1.0},
    )


@pytest.mark.parametrize(
    ("change", "message", "at"),
    [
        ({"says": " "}, "says is empty; it must state the claim in words", "says"),
        ({"kind": "more"}, "claim.kind is 'more'; it should be 'keeps-more', 'uses-less'", "kind"),
        ({"loss": "drl"}, "loss 'drl' is not in the suite; did you mean 'drrl'?", "loss"),
        ({"than": "sofmax"}, "than 'sofmax' is not in the suite; did you mean 'softmax'?", "than"),
        ({"than": "drrl"}, "than is drrl, the loss itself; name another", "than"),
        ({"level": 0.2}, "level is 0.2; it must be one of 0.1, 0.3, the sweep of neg", "level"),
        (
            {"perturbation": "hidden_positives"},
            "a claim needs level 0 and a higher level of",
            "level",
        ),
        ({"perturbation": ""}, "a claim of kind 'keeps-more' needs 'perturbation'", "kind"),
        ({"kind": "not-beaten"}, "than does not apply to a claim of kind 'not-beaten'", "than"),
        ({"kind": "equivalent"}, "perturbation does not apply to a claim of kind", "perturbation"),
        ({"losses": "x"}, "claim has no setting 'losses'; did you mean 'loss'?", "losses"),
        ({"level": "0.1"}, "claim.level is '0.1'; it should be a", "level"),
    ],
)
def test_a_mistake_is_told_with_its_place(change, message, at):
    with pytest.raises(InputError) as raised:
        read_claim(CLAIM | change, GRID)
    assert str(raised.value).startswith(message)
    assert raised.value.at[:1] == (at,)


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="claim needs the setting 'says'"):
        read_claim({key: value for key, value in CLAIM.items() if key != "says"}, GRID)
