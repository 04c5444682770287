import pytest
import torch

from robustbench_rec import LOSSES
from robustbench_rec.testing import LossContract, batch_of

BATCH = batch_of(torch.tensor([1.0]), torch.tensor([[0.0, -1.0]]))


class TestBCE(LossContract):
    loss = LOSSES["bce"]()

    def test_hand_worked_value(self):
        # -log sigmoid(1) = -log(1 - sigmoid(-1)) = .313262, -log(1 - sigmoid(0)) = .693147.
        assert self.loss(BATCH).item() == pytest.approx(1.319671 / 3, abs=1e-6)


class TestMSE(LossContract):
    loss = LOSSES["mse"]()

    def test_hand_worked_value(self):
        # sigmoid(1) = .731059, sigmoid(-1) = .268941: .268941^2 = .072329, .25 and .072329.
        assert self.loss(BATCH).item() == pytest.approx(0.394658 / 3, abs=1e-6)


class TestGBCE(LossContract):
    loss = LOSSES["gbce"](calibration=0.75, n_negatives=4)

    def test_hand_worked_value(self):
        # 9 items, so the rate is 4 / 8 = 0.5 and beta = 0.5 (0.75 (1 - 2) + 2) = 0.625. The
        # terms are 0.625 softplus(-1) = 0.625 x 0.313262, softplus(0) = 0.693147 and
        # softplus(-1) = 0.313262; their mean is 1.202198 / 3.
        value = self.loss.bind(n_users=1, n_items=9)(BATCH)
        assert value.item() == pytest.approx(0.400733, abs=1e-6)

    @pytest.mark.parametrize(
        ("calibration", "n_items", "beta"),
        [
            (0.0, 9, 1.0),  # not calibrated: BCE
            (1.0, 9, 0.5),  # calibrated: the sampling rate itself
            (1.0, 401, 0.01),
            (0.5, 401, 0.505),  # 0.01 (0.5 (1 - 100) + 100)
            (1.0, 3, 1.0),  # no more than all items can be sampled
            (1.0, 1, 1.0),  # a catalogue without negatives
        ],
    )
    def test_positives_count_by_beta(self, calibration, n_items, beta):
        loss = LOSSES["gbce"](calibration=calibration, n_negatives=4)
        pos = torch.zeros(1, requires_grad=True)
        value = loss.bind(1, n_items)(batch_of(pos, torch.zeros(1, 4)))
        (by_pos,) = torch.autograd.grad(value, [pos])
        # At 0 every term has a slope of 1/2, and there are 5 of them.
        assert by_pos.item() == pytest.approx(-beta / 10, rel=1e-5)
