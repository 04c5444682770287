import math

import numpy as np
import pytest
import torch

from robustbench_rec import BACKBONES, LOSSES, Interactions
from robustbench_rec.testing import LossContract, batch_of, toy_split
from robustbench_rec.training.fit import TrainConfig, Trainer

BATCH = batch_of(torch.tensor([0.8]), torch.tensor([[0.2, -0.4]]))


class Shown:
    """A view of three users with given scores, of whom the last has no training pair."""

    train = Interactions.of([0, 0, 1], [0, 2, 1], 3, 4)
    positives = torch.tensor([0.9, 0.1, 0.4])
    negatives = torch.tensor([[0.5, 0.2, 0.3], [0.7, 0.8, 0.6]])

    def scores(self, users, items):
        assert users.tolist() == [0, 0, 1]
        assert items.tolist() == [0, 2, 1]
        return self.positives

    def batches(self, rows):
        assert rows.tolist() == [0, 2]  # the first row of each user who has one
        for user in (0, 1):
            neg = self.negatives[user : user + 1]
            yield batch_of(torch.zeros(1), neg, torch.tensor([user]))


class TestSLAtK(LossContract):
    loss = LOSSES["sl_at_k"](k=2, tau_d=0.5, tau_w=2.0)

    def test_hand_worked_value(self):
        # log(e^-1.2 + e^-2.4) = log(.301194 + .090718) = -.936718. At first all quantiles are 0:
        # sigmoid(.8 / 2) = .598688. At a quantile of .8 it is .5.
        objective = self.loss.bind(1, 9)
        assert objective(BATCH).item() == pytest.approx(-0.560802, abs=1e-6)
        objective.quantiles[0] = 0.8
        assert objective(BATCH).item() == pytest.approx(-0.468359, abs=1e-6)

    @pytest.mark.parametrize(
        ("k", "quantiles"),
        [
            # Of .9 .5 .3 .2 .1, and of .8 .7 .6 .4; nothing is known of the last user.
            (1, [0.9, 0.8, 0]),
            (2, [0.5, 0.7, 0]),
            (3, [0.3, 0.6, 0]),
        ],
    )
    def test_the_quantile_is_the_k_th_largest_score(self, k, quantiles):
        objective = LOSSES["sl_at_k"](k=k, n_negatives=3).bind(3, 4)
        objective.estimate(Shown())
        assert objective.quantiles.tolist() == pytest.approx(quantiles)

    def test_training_estimates_every_so_often(self):
        split, loss = toy_split(), LOSSES["sl_at_k"](k=3, n_negatives=8, every=2)
        module = BACKBONES["mf"](dim=8).build(split.train, torch.Generator().manual_seed(0))
        trainer = Trainer(module, split, loss, TrainConfig(lr=0.1, batch_size=64), 0)
        known = []
        for epoch in (1, 2, 3):
            users, items = (table.clone().numpy() for table in trainer.embeddings())
            drawn = trainer.sampler.draw(epoch, split.train.starts[:-1], 8)
            liked = [users[u] @ items[split.train.items[split.train.users == u]].T for u in (0, 7)]
            missed = [users[u] @ items[drawn[u, 1:]].T for u in (0, 7)]
            all_of = [np.concatenate(both) for both in zip(liked, missed, strict=True)]
            known.append([np.sort(scores)[-3] for scores in all_of])
            trainer.run_epoch(epoch)
            due = known[0] if epoch < 3 else known[2]
            found = trainer.objective.quantiles[[0, 7]].tolist()
            assert found == pytest.approx(due, abs=1e-5)
        assert known[0] != pytest.approx(known[2], abs=1e-3)

    def test_a_steep_weight_may_push_a_positive_down(self):
        """The weight is part of the gradient: a row far from the top is worth leaving.

        w (1 - w) L / tau_w - w / tau_d, with L = log 1000 + 1 / .2 = 11.9 where all negatives
        score 1 above the positive: .25 x 11.9 / .1 - .5 / .2 = 27.3.
        """
        pos = torch.zeros(1, requires_grad=True)
        neg = torch.ones(1, 1000)
        steep = LOSSES["sl_at_k"](tau_d=0.2, tau_w=0.1).bind(1, 9)
        (by_pos,) = torch.autograd.grad(steep(batch_of(pos, neg)), [pos])
        assert by_pos.item() == pytest.approx(2.5 * (math.log(1000) + 5) - 2.5, rel=1e-5)

    def test_k_scores_must_be_among_the_negatives(self):
        LOSSES["sl_at_k"](k=20, n_negatives=20)
        with pytest.raises(ValueError, match=r"n_negatives is 19; it must be >= k, which is 20"):
            LOSSES["sl_at_k"](k=20, n_negatives=19)


class TestSLAtKAsPublished(LossContract):
    loss = LOSSES["sl_at_k"]()


UP, DOWN = 1, -1


class TestLLPAUC(LossContract):
    loss = LOSSES["llpauc"](alpha=0.5, beta=0.25)

    def test_hand_worked_value(self):
        # Scores with sigmoids .5 and .75, .5 and .25. softplus_5 of -(s - 1)^2 + 2 s - .5 = .25
        # and .9375 is .300386 and .939333, the mean .619860, over alpha 1.239719; of
        # s^2 + 2 s - .5 = .75 and .0625 it is .754649 and .172311, the mean .463480, over beta
        # 1.853920. -.5 - 1.239719 + .5 + 1.853920 - 0 - .5 (0 - 1 - 0) + .5 (1 + 0).
        pos, neg = torch.tensor([0.0, math.log(3)]), torch.tensor([[0.0], [-math.log(3)]])
        value = self.loss.bind(2, 9)(batch_of(pos, neg))
        assert value.item() == pytest.approx(1.614201, abs=1e-5)

    @pytest.mark.parametrize("pace", [1.0, 10.0])
    @pytest.mark.parametrize("saddle", ["ascent", "descent"])
    def test_each_scalar_takes_its_own_first_step(self, saddle, pace):
        """Adam's first step is its rate, against the sign of the gradient, or along it.

        At scores near 0 (sigmoid .5) slopes are, with .777 = sigmoid(5 x .25) and
        .977 = sigmoid(5 x .75): a, .777 / .7 + .5 > 0; b, -.977 / .25 - .5 < 0; t_a and t_b, 1;
        s-, 1 - .977 / .25 < 0; s+, -1 + .777 / .7 > 0; g, .977 / .25 - .777 / .7 + 1 > 0.
        """
        split, lr = toy_split(), 1e-3
        loss = LOSSES["llpauc"](alpha=0.7, beta=0.25, saddle=saddle, pace=pace, n_negatives=8)
        module = BACKBONES["mf"](dim=64).build(split.train, torch.Generator().manual_seed(0))
        trainer = Trainer(module, split, loss, TrainConfig(lr=lr, batch_size=480), 0)
        trainer.run_epoch(1)
        one = trainer.objective
        got = torch.stack([one.a, one.b, one.t_a, one.t_b, one.s_neg, one.s_pos, one.g]).tolist()
        turn = UP if saddle == "ascent" else DOWN
        start = [1.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.0]
        steps = [DOWN, UP, DOWN, DOWN, 2 * UP, 2 * turn, 2 * turn]
        expected = [at + pace * lr * step for at, step in zip(start, steps, strict=True)]
        assert got == pytest.approx(expected, abs=1e-6)

    @staticmethod
    def course(saddle, lr, epochs):
        """Train on the toy data, and return a, b, g, t_a, t_b, s+ and s- after each epoch."""
        split = toy_split()
        loss = LOSSES["llpauc"](saddle=saddle, n_negatives=8)
        module = BACKBONES["mf"](dim=8).build(split.train, torch.Generator().manual_seed(0))
        trainer = Trainer(module, split, loss, TrainConfig(lr=lr, batch_size=64), 0)
        one = trainer.objective
        seen = []
        for epoch in range(1, epochs + 1):
            trainer.run_epoch(epoch)
            now = [one.a, one.b, one.g, one.t_a, one.t_b, one.s_pos, one.s_neg]
            seen.append(torch.stack(now).tolist())
        return np.array(seen)

    def test_the_scalars_stay_within_their_bounds(self):
        seen = self.course("ascent", lr=3.0, epochs=3)
        low, high = [0, 0, -1, 0, 0, -1, 0], [1, 1, 1, math.inf, math.inf, 4, 5]
        assert (seen >= low).all()
        assert (seen <= high).all()
        assert (seen == low).any()
        assert (seen == high).any()

    def test_by_descent_both_constraints_hold_and_the_scalars_come_to_rest(self):
        seen = self.course("descent", lr=0.05, epochs=30)
        a, b, g, t_a, t_b = seen.T[:5]
        assert (g >= -a - 1e-6).all()
        assert (g >= b - 1 - 1e-6).all()
        assert t_a.min() < 0
        assert t_b.min() < 0
        assert seen[-1, [0, 1, 2, 5]] == pytest.approx([1, 0, 1, -1])


class TestLLPAUCOverProducts(LossContract):
    """Scores without bounds: their sigmoids saturate."""

    loss = LOSSES["llpauc"](alpha=0.7, beta=0.1, score="dot")
