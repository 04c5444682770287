import pytest
import torch

from robustbench_rec import LOSSES
from robustbench_rec.testing import LossContract


class TestCCL(LossContract):
    loss = LOSSES["ccl"](margin=0.4, weight=2.0)

    def test_hand_worked_value(self):
        # (1 - 0.7) + 2 * (0.1 + 0 + 0.5) / 3
        pos, neg = torch.tensor([0.7]), torch.tensor([[0.5, -0.2, 0.9]])
        assert self.loss(pos, neg, torch.arange(1)).item() == pytest.approx(0.7)

    def test_negatives_under_the_margin_get_no_gradient(self):
        pos = torch.tensor([0.7], requires_grad=True)
        neg = torch.tensor([[0.5, -0.2, 0.39]], requires_grad=True)
        _, _, by_neg = self.gradients(pos, neg, torch.arange(1))
        assert (by_neg > 0).tolist() == [[True, False, False]]

    @pytest.mark.parametrize("n", [1, 7])
    def test_pulls_positives_up_and_pushes_negatives_down(self, n):
        pos = torch.tensor([0.5], requires_grad=True)
        neg = torch.full((1, n), 0.6, requires_grad=True)
        _, by_pos, by_neg = self.gradients(pos, neg, torch.arange(1))
        assert by_pos.item() == -1
        assert torch.allclose(by_neg, torch.full((1, n), 2.0 / n))


class TestDrRLNearOrder1(LossContract):
    loss = LOSSES["drrl"](order=1.01, margin=0.2)

    @pytest.mark.parametrize("n", [1, 2, 1000])
    def test_the_norm_tends_to_the_largest_excess(self, n):
        pos, neg, users = self.scores(n)
        value, _, _ = self.gradients(pos, neg, users)
        largest = 0.1 + (neg - 0.2).relu().amax(dim=1)
        bound = ((1 - pos).relu() + largest + 0.2).mean()
        # The power mean of order 101 lies within N^(-1/101) of the largest term.
        assert value <= bound + 1e-7  # the margin is a float32
        assert value >= bound - largest.mean() * (1 - n ** (-1 / 101)) - 1e-7

    def test_gradient_is_the_derivative(self):
        # The largest terms carry the gradient, so it is compared at scores well apart.
        pos, neg = torch.tensor([0.5]), torch.tensor([[0.9, 0.8, 0.3]])
        pos, neg = (x.double().requires_grad_() for x in (pos, neg))
        objective = self.loss.bind(1, 1)
        assert torch.autograd.gradcheck(lambda p, n: objective(p, n, torch.arange(1)), (pos, neg))


class TestDrRL(LossContract):
    loss = LOSSES["drrl"](order=2.0, eps=0.1, margin=0.2)

    def test_hand_worked_value(self):
        # Order 2 has dual 2. Excesses 0.1 + (0.3, 0, 0.7): the root mean square of .4, .1, .8
        # is sqrt((.16 + .01 + .64) / 3) = sqrt(.27); plus (1 - .7) and the margin .2.
        pos, neg = torch.tensor([0.7]), torch.tensor([[0.5, -0.2, 0.9]])
        value = self.loss.bind(1, 1)(pos, neg, torch.arange(1))
        assert value.item() == pytest.approx(0.3 + 0.27**0.5 + 0.2)

    def test_as_the_order_grows_it_truncates_like_ccl(self):
        # The dual tends to 1, the norm to a mean: (1 - p) + eps + MEAN relu(n - m) + m.
        pos, neg, users = self.scores(9)
        limit = LOSSES["drrl"](order=1e9, margin=0.4).bind(4, 1)(pos, neg, users)
        ccl = LOSSES["ccl"](margin=0.4, weight=1.0)(pos, neg, users)
        assert limit.item() == pytest.approx(ccl.item() + 0.1 + 0.4, abs=1e-6)

    def test_only_the_users_of_a_batch_move_their_margins(self):
        objective = self.loss.bind(n_users=5, n_items=1)
        pos, neg = torch.tensor([0.7, 0.7]), torch.tensor([[0.5], [0.1]])
        (move,) = objective.moves
        (gradient,) = torch.autograd.grad(
            objective(pos, neg, torch.tensor([1, 3])) * 2, list(move.parameters)
        )
        # Row of user 1: the excess counts, so its norm falls by 1 as the margin grows by 1.
        assert gradient.tolist() == pytest.approx([0, 0, 0, 1, 0])
