from dataclasses import replace

import pytest
import torch

from robustbench_rec import LOSSES
from robustbench_rec.testing import LossContract, batch_of
from robustbench_rec.training.diagnostics import slopes_of

ROWS = batch_of(torch.zeros(4).double(), torch.zeros(4, 0).double())


class TestDirectAU(LossContract):
    """It looks at embeddings, not at scores: what the contract says of scores holds of those."""

    loss = LOSSES["directau"](gamma=1.0)

    def of(self, users, items):
        return self.loss(replace(ROWS, user_vectors=users, item_vectors=items))

    def vectors(self, rows=4):
        rng = torch.Generator().manual_seed(0)
        return [torch.randn(rows, 3, generator=rng).double().requires_grad_() for _ in range(2)]

    def test_hand_worked_value(self):
        # Directions of users (1, 0) and (0, 1), of items (1, 0) twice. |u - i|^2 is 0 and 2, the
        # mean 1; users are sqrt(2) apart: log exp(-4) = -4; items 0 apart: 0. 1 + (-4 + 0) / 2.
        users, items = torch.tensor([[2.0, 0], [0, 3]]), torch.tensor([[1.0, 0], [5, 0]])
        assert self.of(users, items).item() == pytest.approx(-1.0)

    @pytest.mark.parametrize("n", [1, 2, 1000])
    def test_is_a_finite_scalar(self, n):
        vectors = self.vectors(rows=n)
        value = self.of(*vectors)
        assert value.shape == ()
        assert value.isfinite()
        assert all(part.isfinite().all() for part in torch.autograd.grad(value, vectors))

    @pytest.mark.parametrize("n", [1, 1000])
    def test_is_finite_at_extreme_scores(self, n):
        for size in (0.0, 1e-20, 1e15):  # all alike; at 0 they have no direction
            vectors = [torch.full((n, 3), size, requires_grad=True) for _ in range(2)]
            value = self.of(*vectors)
            assert value.isfinite()
            assert all(part.isfinite().all() for part in torch.autograd.grad(value, vectors))

    @pytest.mark.parametrize("n", [1, 7])
    def test_pulls_positives_up_and_pushes_negatives_down(self, n):
        # Alignment pulls each pair together; uniformity pushes users apart, positives or not.
        users, items = self.vectors(rows=n + 1)
        before = torch.nn.functional.cosine_similarity(users, items)
        by_items = torch.autograd.grad(
            LOSSES["directau"](gamma=0.0)(self.batch(users, items)), items
        )
        after = torch.nn.functional.cosine_similarity(users, items - 1e-3 * by_items[0])
        assert (after > before).all()
        alone = self.of(users, items) - LOSSES["directau"](gamma=0.0)(self.batch(users, items))
        (by_users,) = torch.autograd.grad(alone, users)
        assert self.spread(users - 1e-3 * by_users) > self.spread(users)

    def batch(self, users, items):
        return replace(ROWS, user_vectors=users, item_vectors=items)

    def spread(self, vectors):
        return torch.pdist(torch.nn.functional.normalize(vectors, dim=1)).mean()

    def test_gradient_is_the_derivative(self):
        assert torch.autograd.gradcheck(self.of, self.vectors())

    def test_rows_are_averaged(self):
        # Alignment is; uniformity is of pairs of rows, so only their order does not count.
        users, items = self.vectors()
        aligned = LOSSES["directau"](gamma=0.0)
        twice = self.batch(torch.cat([users, users]), torch.cat([items, items]))
        torch.testing.assert_close(aligned(self.batch(users, items)), aligned(twice))
        order = torch.tensor([2, 0, 3, 1])
        torch.testing.assert_close(self.of(users, items), self.of(users[order], items[order]))

    def test_it_weighs_no_sampled_negative(self):
        assert slopes_of(self.loss, batch_of(torch.zeros(4), torch.zeros(4, 5))) is None

    def test_it_draws_no_negatives(self):
        with pytest.raises(ValueError, match=r"n_negatives is 1; it must be in \[0, 0\]"):
            LOSSES["directau"](n_negatives=1)
