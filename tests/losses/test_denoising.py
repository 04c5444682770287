import pytest
import torch

from robustbench_rec import LOSSES
from robustbench_rec.testing import LossContract, batch_of

# softplus(-p) is .313262, 2.126928, .693147, .048587; softplus(n) .693147, .313262, 1.313262,
# .048587, together 2.368258.
POS = torch.tensor([1.0, -2.0, 0.0, 3.0])
NEG = torch.tensor([[0.0], [-1.0], [1.0], [-3.0]])


class TestTruncatedCE(LossContract):
    loss = LOSSES["t_ce"](drop=0.25, warm_up=100)

    def value(self, pos, neg, users=None):
        """Return the loss after the warm-up: a batch of 4 rows then loses one positive."""
        return self.loss(batch_of(pos, neg, users, step=100))

    @pytest.mark.parametrize(
        ("share_of", "step", "expected"),
        [
            ("positives", 0, 5.550182 / 8),  # nothing is left out yet
            ("positives", 50, 5.550182 / 8),  # an eighth of 4 is less than one
            ("positives", 100, 3.423254 / 7),  # without 2.126928
            ("positives", 500, 3.423254 / 7),
            ("batch", 50, 3.423254 / 7),  # an eighth of 8
            ("batch", 100, 2.730107 / 6),  # a quarter of 8: without .693147 either
        ],
    )
    def test_hand_worked_value(self, share_of, step, expected):
        loss = LOSSES["t_ce"](drop=0.25, warm_up=100, share_of=share_of)
        assert loss(batch_of(POS, NEG, step=step)).item() == pytest.approx(expected, abs=1e-6)

    def test_what_is_left_out_gets_no_gradient(self):
        pos = POS.clone().requires_grad_()
        _, by_pos, by_neg = self.gradients(pos, NEG.clone().requires_grad_())
        assert (by_pos == 0).tolist() == [False, True, False, False]
        assert (by_neg > 0).all()

    def test_a_share_of_all_scores_may_leave_no_positive(self):
        loss = LOSSES["t_ce"](drop=0.5, warm_up=1, share_of="batch")
        pos, neg = (part.detach() for part in self.scores(9))
        value = loss(batch_of(pos, neg, step=1))
        torch.testing.assert_close(value, torch.nn.functional.softplus(neg).mean())

    def test_the_share_is_rounded_down(self):
        loss = LOSSES["t_ce"](drop=0.45, warm_up=100)  # 1.8 of 4 rows
        assert loss(batch_of(POS, NEG, step=100)).item() == pytest.approx(3.423254 / 7, abs=1e-6)


class TestReweightedCE(LossContract):
    loss = LOSSES["r_ce"](power=0.5)

    def test_hand_worked_value(self):
        # sigmoid(1)^.5 = .731059^.5 = .855020 weighs .313262, for p = 1 as for n = -1, and
        # .5^.5 = .707107 weighs .693147: (2 x .267845 + .490129) / 3.
        batch = batch_of(torch.tensor([1.0]), torch.tensor([[0.0, -1.0]]))
        assert self.loss(batch).item() == pytest.approx(0.341940, abs=1e-6)

    def test_gradient_is_the_derivative(self):
        # It is not: the weights are held fixed. The gradient is that of BCE, so weighed.
        pos, neg = self.scores(5)
        _, *ours = self.gradients(pos, neg)
        theirs = torch.autograd.grad(LOSSES["bce"]()(batch_of(pos, neg)), (pos, neg))
        weights = pos.sigmoid() ** 0.5, (1 - neg.sigmoid()) ** 0.5
        for one, other, weight in zip(ours, theirs, weights, strict=True):
            torch.testing.assert_close(one, weight * other)
