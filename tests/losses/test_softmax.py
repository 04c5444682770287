import math

import pytest
import torch

from robustbench_rec import LOSSES
from robustbench_rec.testing import LossContract


class TestSoftmax(LossContract):
    loss = LOSSES["softmax"](tau=0.5)

    def test_hand_worked_value(self):
        # -0.8/0.5 + log(exp(0.1/0.5) + exp(-0.3/0.5)); the positive is not in the sum.
        pos, neg = torch.tensor([0.8]), torch.tensor([[0.1, -0.3]])
        expected = -1.6 + math.log(math.exp(0.2) + math.exp(-0.6))
        assert self.loss(pos, neg, torch.arange(1)).item() == pytest.approx(expected, rel=1e-5)

    def test_weights_of_negatives_are_their_softmax(self):
        pos, neg, users = self.scores(6, rows=1)
        _, _, by_neg = self.gradients(pos, neg, users)
        assert torch.allclose(by_neg * self.loss.tau, (neg / self.loss.tau).softmax(dim=1))
