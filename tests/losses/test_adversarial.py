import math
from dataclasses import replace

import pytest
import torch

from robustbench_rec import LOSSES
from robustbench_rec.components.loss import bound
from robustbench_rec.testing import LossContract, batch_of
from robustbench_rec.training.diagnostics import slopes_of
from robustbench_rec.training.optimizers import Mover


def opposed(loss, users, items):
    """Bind the loss to one user and some items, and set the adversary's embeddings (n, 1)."""
    objective = loss.bind(n_users=1, n_items=len(items))
    with torch.no_grad():
        objective.users.copy_(torch.tensor(users))
        objective.items.copy_(torch.tensor(items))
    return objective


def row(pos, neg, negatives):
    batch = batch_of(torch.tensor([pos]), torch.tensor([neg]))
    return replace(batch, negatives=torch.tensor([negatives]))


class TestAdvInfoNCE(LossContract):
    loss = LOSSES["advinfonce"](tau=0.5, weight=2.0, adversary_dim=1)

    def test_hand_worked_value(self):
        # Products log 2 and log 3, so delta = (2, 3) / 5. K N SUM_j delta_j e^(n_j/tau) =
        # 4 (.4 e^.2 + .6 e^-.2) = 4 x .979799; e^(p/tau) = e^.4 = 1.491825.
        objective = opposed(self.loss, [[1.0]], [[0.0], [math.log(2)], [math.log(3)]])
        value = objective(row(0.2, [0.1, -0.1], [1, 2]))
        assert value.item() == pytest.approx(math.log(1 + 3.919198 / 1.491825), abs=1e-6)

    def test_hand_worked_value_of_an_adversary_by_cosine(self):
        # Cosines -1 and 1, whatever the lengths: delta = (.119203, .880797).
        # 4 (.119203 e^.2 + .880797 e^-.2) = 4 x .866731.
        loss = LOSSES["advinfonce"](tau=0.5, weight=2.0, adversary_dim=1, adversary="cosine")
        objective = opposed(loss, [[2.0]], [[3.0], [-5.0], [0.1]])
        value = objective(row(0.2, [0.1, -0.1], [1, 0]))
        assert value.item() == pytest.approx(math.log(1 + 3.466922 / 1.491825), abs=1e-6)

    def test_the_adversary_climbs_towards_hard_negatives(self):
        objective = opposed(self.loss, [[1.0]], [[0.0], [0.0]])
        batch = row(0.2, [0.5, -0.5], [0, 1])
        (move,) = objective.moves
        assert (move.when, move.optimizer, move.ascend) == ("apart", "adam", True)
        mover = Mover(replace(move, lr=0.1), model_lr=1.0)
        before = objective(batch)
        for _ in range(3):
            mover.step(torch.autograd.grad(objective(batch), mover.parameters), n_rows=1)
        assert objective(batch) > before
        assert objective.items[0] > objective.items[1]

    def test_without_the_adversary_each_negative_counts_by_its_score(self):
        # Equal products: delta is even, and weights are those of the softmax, times what of the
        # whole is the negatives'.
        objective = opposed(self.loss, [[1.0]], [[0.3], [0.3], [0.3]])
        batch = row(0.2, [0.4, 0.1, -0.3], [0, 1, 2])
        weights = slopes_of(objective, batch).weights
        expected = (batch.neg.detach() / 0.5).softmax(dim=1).numpy()
        assert weights / weights.sum() == pytest.approx(expected, abs=1e-6)

    def test_the_adversary_starts_by_the_seed_alone(self):
        one, two, other = (bound(self.loss, 5, 7, seed) for seed in (2**63 + 1, 2**63 + 1, 4))
        assert torch.equal(one.users, two.users)
        assert torch.equal(one.items, two.items)
        assert not torch.equal(one.users, other.users)
        assert one.users.shape == (5, 1)
        assert one.items.shape == (7, 1)

    def test_it_starts_xavier_normal(self):
        wide = LOSSES["advinfonce"]().bind(2000, 436)
        assert wide.users.std().item() == pytest.approx((2 / 2064) ** 0.5, rel=0.01)
        assert wide.items.std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.02)


class TestAdvInfoNCEByCosine(LossContract):
    loss = LOSSES["advinfonce"](tau=0.2, adversary="cosine")
