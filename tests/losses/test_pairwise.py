import pytest
import torch

from robustbench_rec import LOSSES
from robustbench_rec.testing import LossContract, batch_of


class TestBPR(LossContract):
    loss = LOSSES["bpr"]()

    def test_hand_worked_value(self):
        # Rendle 2009: -log sigmoid(p - n). Rows of margins 1 and -2: .313262 and 2.126928.
        batch = batch_of(torch.tensor([2.0, 0.0]), torch.tensor([[1.0], [2.0]]))
        assert self.loss(batch).item() == pytest.approx(1.220095, abs=1e-6)
