import math

import pytest
import torch

from robustbench_rec import LOSSES
from robustbench_rec.testing import LossContract, batch_of

BATCH = batch_of(torch.tensor([0.8]), torch.tensor([[0.1, -0.3]]))


class TestSoftmax(LossContract):
    loss = LOSSES["softmax"](tau=0.5)

    def test_hand_worked_value(self):
        # -0.8/0.5 + log(e^0.2 + e^-0.6) = -1.6 + log(1.221403 + 0.548812) = -1.6 + 0.571101; the
        # positive is not in the sum.
        assert self.loss(BATCH).item() == pytest.approx(-1.028899, abs=1e-6)

    def test_weights_of_negatives_are_their_softmax(self):
        pos, neg = self.scores(6, rows=1)
        _, _, by_neg = self.gradients(pos, neg)
        assert torch.allclose(by_neg * self.loss.tau, (neg / self.loss.tau).softmax(dim=1))


class TestSoftmaxWithThePositiveInside(LossContract):
    loss = LOSSES["softmax"](tau=0.5, positive="inside")

    def test_hand_worked_value(self):
        # -log[e^1.6 / (e^1.6 + e^0.2 + e^-0.6)] = log(6.723247 / 4.953032)
        assert self.loss(BATCH).item() == pytest.approx(0.305571, abs=1e-6)


class TestBSL(LossContract):
    loss = LOSSES["bsl"](tau1=0.5, tau2=0.25)

    def test_hand_worked_value(self):
        # -0.8/0.5 + (0.25/0.5) log(e^0.4 + e^-1.2) = -1.6 + 0.5 log 1.793019
        assert self.loss(BATCH).item() == pytest.approx(-1.308049, abs=1e-6)


class TestBSLOfItsAuthors(LossContract):
    loss = LOSSES["bsl"](tau1=0.5, tau2=0.25, variant="authors")

    def test_hand_worked_value(self):
        # User 7 has the positives 0.5 and -0.1: log[(e^1 + e^-0.2) / 2] = log 1.768506 = 0.570135,
        # in both rows; user 3 has 0.3: 0.6. Means of the negatives' exp: log[(e^0.2 + e^-0.6) / 2]
        # = log 0.885107 = -0.122047, then 0, then 1. The rows are
        # -0.570135 - 0.25 x 0.122047, -0.570135, and -0.6 + 0.25; their mean is -1.520782 / 3.
        pos = torch.tensor([0.5, 0.3, -0.1])
        neg = torch.tensor([[0.1, -0.3], [0.5, 0.5], [0.0, 0.0]])
        value = self.loss(batch_of(pos, neg, torch.tensor([7, 3, 7])))
        assert value.item() == pytest.approx(-0.506927, abs=1e-6)

    def test_the_best_of_a_user_s_positives_is_pulled_the_most(self):
        pos = torch.tensor([0.5, -0.1], requires_grad=True)
        value = self.loss(batch_of(pos, torch.zeros(2, 2), torch.tensor([7, 7])))
        (by_pos,) = torch.autograd.grad(value, [pos])
        # softmax(1, -0.2) / 0.5, the same in both rows: no weighing for want of a second row.
        share = 1 / (1 + math.exp(-1.2))
        assert by_pos.tolist() == pytest.approx([-2 * share, -2 * (1 - share)])


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        # d = (0.2 - 0.8) / 2 and (-0.4 - 0.8) / 2, so -0.3 and -0.6; tau 0.5 squares s(d).
        ("relu", math.log(0.7**2 + 0.4**2)),
        ("tanh", math.log(0.708687**2 + 0.462950**2)),  # tanh 0.3 = 0.291313, tanh 0.6 = 0.537050
        ("atan", math.log(0.708543**2 + 0.459580**2)),  # atan 0.3 = 0.291457, atan 0.6 = 0.540420
        ("softplus", math.log(0.554355**2 + 0.437488**2)),  # log 1.740818, log 1.548812
        ("exp", math.log(0.548812 + 0.301194)),  # e^-0.6, e^-1.2
    ],
)
def test_hand_worked_values_of_psl(activation, expected):
    loss = LOSSES["psl"](tau=0.5, activation=activation)
    batch = batch_of(torch.tensor([0.8]), torch.tensor([[0.2, -0.4]]))
    assert loss(batch).item() == pytest.approx(expected, abs=2e-6)


class TestPSL(LossContract):
    loss = LOSSES["psl"](tau=0.1)

    def test_negatives_at_the_far_end_get_no_gradient(self):
        # d = -1, where relu(d + 1) is 0: its logarithm is held at that of TINY.
        pos = torch.tensor([1.0], requires_grad=True)
        neg = torch.tensor([[-1.0, 0.5]], requires_grad=True)
        value, _, by_neg = self.gradients(pos, neg)
        assert value.item() == pytest.approx(math.log(0.75) / 0.1, rel=1e-5)
        assert by_neg[0, 0] == 0


class TestPSLWithTanh(LossContract):
    loss = LOSSES["psl"](tau=0.1, activation="tanh")


class TestPSLWithAtan(LossContract):
    loss = LOSSES["psl"](tau=0.1, activation="atan")


class TestPSLWithSoftplus(LossContract):
    loss = LOSSES["psl"](tau=0.1, activation="softplus")


class TestPSLWithExp(LossContract):
    loss = LOSSES["psl"](tau=0.1, activation="exp")


class TestPSLOverProducts(LossContract):
    """Scores without bounds: surrogates run into their guard and stay finite."""

    loss = LOSSES["psl"](tau=0.1, activation="atan", score="dot")
