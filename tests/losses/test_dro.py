import pytest
import torch

from robustbench_rec import LOSSES
from robustbench_rec.testing import LossContract, batch_of
from robustbench_rec.training.optimizers import Mover

BATCH = batch_of(torch.tensor([0.7]), torch.tensor([[0.5, -0.2, 0.9]]))


class TestCCL(LossContract):
    loss = LOSSES["ccl"](margin=0.4, weight=2.0)

    def test_hand_worked_value(self):
        # (1 - 0.7) + 2 * (0.1 + 0 + 0.5) / 3
        assert self.loss(BATCH).item() == pytest.approx(0.7)

    def test_negatives_under_the_margin_get_no_gradient(self):
        pos = torch.tensor([0.7], requires_grad=True)
        neg = torch.tensor([[0.5, -0.2, 0.39]], requires_grad=True)
        _, _, by_neg = self.gradients(pos, neg)
        assert (by_neg > 0).tolist() == [[True, False, False]]

    @pytest.mark.parametrize("n", [1, 7])
    def test_pulls_positives_up_and_pushes_negatives_down(self, n):
        pos = torch.tensor([0.5], requires_grad=True)
        neg = torch.full((1, n), 0.6, requires_grad=True)
        _, by_pos, by_neg = self.gradients(pos, neg)
        assert by_pos.item() == -1
        assert torch.allclose(by_neg, torch.full((1, n), 2.0 / n))


class TestDrRLNearOrder1(LossContract):
    loss = LOSSES["drrl"](order=1.01, margin=0.2)

    @pytest.mark.parametrize("n", [1, 2, 1000])
    def test_the_norm_tends_to_the_largest_excess(self, n):
        pos, neg = self.scores(n)
        value, _, _ = self.gradients(pos, neg)
        largest = 0.1 + (neg - 0.2).relu().amax(dim=1)
        bound = ((1 - pos).relu() + largest + 0.2).mean()
        # The power mean of order 101 lies within N^(-1/101) of the largest term.
        assert value <= bound + 1e-7  # the margin is a float32
        assert value >= bound - largest.mean() * (1 - n ** (-1 / 101)) - 1e-7

    def test_gradient_is_the_derivative(self):
        # The largest terms carry the gradient, so it is compared at scores well apart.
        pos, neg = torch.tensor([0.5]), torch.tensor([[0.9, 0.8, 0.3]])
        pos, neg = (x.double().requires_grad_() for x in (pos, neg))
        assert torch.autograd.gradcheck(self.value, (pos, neg))


class TestDrRL(LossContract):
    loss = LOSSES["drrl"](order=2.0, eps=0.1, margin=0.2)

    def test_hand_worked_value(self):
        # Order 2 has dual 2. Excesses 0.1 + (0.3, 0, 0.7): the root mean square of .4, .1, .8
        # is sqrt((.16 + .01 + .64) / 3) = sqrt(.27); plus (1 - .7) and the margin .2.
        value = self.loss.bind(1, 1)(BATCH)
        assert value.item() == pytest.approx(0.3 + 0.27**0.5 + 0.2)

    def test_the_scale_multiplies_the_excess_alone(self):
        # 0.1 + 3 (0.3, 0, 0.7) = 1, .1, 2.2: sqrt((1 + .01 + 4.84) / 3) = sqrt(1.95).
        value = LOSSES["drrl"](order=2.0, eps=0.1, margin=0.2, scale=3.0).bind(1, 1)(BATCH)
        assert value.item() == pytest.approx(0.3 + 1.95**0.5 + 0.2)

    def test_only_the_users_of_a_batch_move_their_margins(self):
        objective = self.loss.bind(n_users=5, n_items=1)
        batch = batch_of(
            torch.tensor([0.7, 0.7]), torch.tensor([[0.5], [0.1]]), torch.tensor([1, 3])
        )
        (move,) = objective.moves
        (gradient,) = torch.autograd.grad(objective(batch) * 2, list(move.parameters))
        # Row of user 1: the excess counts, so its norm falls by 1 as the margin grows by 1.
        assert gradient.tolist() == pytest.approx([0, 0, 0, 1, 0])

    def test_a_margin_s_step_is_that_of_its_row_alone_however_large_the_batch(self):
        loss = LOSSES["drrl"](order=2.0, margin=0.2, margin_lr=0.01)
        batch = batch_of(torch.tensor([0.7, 0.7]), torch.tensor([[0.5], [0.1]]))
        for rows in (1, 2):
            objective = loss.bind(n_users=2, n_items=9)
            (move,) = objective.moves
            part = batch_of(batch.pos[-rows:], batch.neg[-rows:], torch.arange(2)[-rows:])
            mover = Mover(move, model_lr=1.0)
            mover.step(torch.autograd.grad(objective(part), mover.parameters), n_rows=rows)
            # No negative of user 1 is above the margin, whose derivative is 1.
            assert objective.margins[1].item() == pytest.approx(0.19)

    def test_at_scale_1_a_margin_only_ever_falls(self):
        """At c = 1 the ball has radius 0, see test_duality, and its margin has no minimum.

        The derivative by the margin is 1 - c MEAN x^(a* - 1) over (MEAN x^a*)^(1 - 1/a*), the mean
        of the numerator over the negatives above the margin alone. A mean of a lower power is the
        smaller one, so at c = 1 it is positive, until all negatives are above and score alike.
        """
        rng = torch.Generator().manual_seed(0)
        for order in (1.05, 1.5, 2.0, 150.0):
            for margin in (-2.0, 0.0, 0.9):
                neg = 2 * torch.rand(6, 9, generator=rng).double() - 1
                pos = torch.zeros(6).double()
                objective = LOSSES["drrl"](order=order, margin=margin).bind(6, 9)
                value = objective(batch_of(pos, neg))
                (by_margin,) = torch.autograd.grad(value, [objective.margins])
                assert (by_margin > 0).all()

    def test_at_a_larger_scale_a_margin_has_a_place_to_rest(self):
        neg = torch.tensor([[-0.5, 0.0, 0.2, 0.6]]).double()
        slopes = []
        for margin in (-3.0, 0.9):
            objective = LOSSES["drrl"](order=2.0, scale=1.5, margin=margin).bind(1, 9)
            value = objective(batch_of(torch.zeros(1).double(), neg))
            slopes.append(torch.autograd.grad(value, [objective.margins])[0].item())
        assert slopes[0] < 0 < slopes[1]
