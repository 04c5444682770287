import math

import pytest
import torch

from robustbench_rec import LOSSES
from robustbench_rec.testing import LossContract

POS, NEG, USERS = torch.tensor([1.0]), torch.tensor([[0.0, -1.0]]), torch.arange(1)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


class TestBCE(LossContract):
    loss = LOSSES["bce"]()

    def test_hand_worked_value(self):
        terms = [-math.log(sigmoid(1)), -math.log(1 - sigmoid(0)), -math.log(1 - sigmoid(-1))]
        assert self.loss(POS, NEG, USERS).item() == pytest.approx(sum(terms) / 3)


class TestMSE(LossContract):
    loss = LOSSES["mse"]()

    def test_hand_worked_value(self):
        terms = [(1 - sigmoid(1)) ** 2, 0.25, sigmoid(-1) ** 2]
        assert self.loss(POS, NEG, USERS).item() == pytest.approx(sum(terms) / 3)
