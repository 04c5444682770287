"""The contract of backbones."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from robustbench_rec.components.backbone import Backbone
from robustbench_rec.interactions import Interactions
from robustbench_rec.testing.clauses import DoesNotApply, require, require_words
from robustbench_rec.testing.toys import toy_split


class BackboneContract:
    """The contract of a backbone; subclass it and set yours.

    Attributes:
        backbone: the backbone under test, with its settings.

    """

    backbone: ClassVar[Backbone]
    train: ClassVar[Interactions] = toy_split().train

    def built(self, seed: int = 3, train: Interactions | None = None) -> nn.Module:
        """Return its module for training pairs, with a seeded generator."""
        generator = torch.Generator().manual_seed(seed)
        return self.backbone.build(self.train if train is None else train, generator)

    def tables(self, module: nn.Module) -> dict[str, Tensor]:
        """Return the embeddings of users and of items, by name."""
        found = module()
        require(
            isinstance(found, tuple) and len(found) == 2,
            f"its call returns {type(found).__name__}, not (users, items)",
        )
        return dict(zip(("users", "items"), found, strict=True))

    def test_says_what_it_is(self) -> None:
        """It has a registered name, a docstring, and a source."""
        require(self.backbone.name, "it has no name: register it by @BACKBONES.add(name)")
        require_words(type(self.backbone))
        require(self.backbone.source, "it has no source: name the paper, or the reason")

    def test_embeddings_have_the_asked_shape(self) -> None:
        """Its call returns finite float32 embeddings of users and of items."""
        wanted = {"users": self.train.n_users, "items": self.train.n_items}
        for name, table in self.tables(self.built()).items():
            shape = wanted[name], self.backbone.dim
            require(
                table.shape == shape,
                f"the embeddings of {name} have the shape {tuple(table.shape)}, not {shape}",
            )
            require(table.dtype == torch.float32, f"those of {name} are {table.dtype}")
            require(table.isfinite().all(), f"some of {name} are infinite or not a number")

    def test_they_follow_the_generator_alone(self) -> None:
        """Equal seeds give equal embeddings, and torch's global generator is not used."""
        before = torch.get_rng_state()
        one, other = (self.tables(self.built()) for _ in range(2))
        for name, table in one.items():
            require(
                torch.equal(table, other[name]),
                f"the embeddings of {name} differ under one seed: draw from `generator` alone",
            )
        require(
            torch.equal(torch.get_rng_state(), before),
            "torch's own generator was drawn from: draw from `generator` alone",
        )

    def test_evaluation_repeats_itself(self) -> None:
        """In evaluation mode a second call returns the same."""
        module = self.built().eval()
        first = {name: table.clone() for name, table in self.tables(module).items()}
        for name, table in self.tables(module).items():
            require(torch.equal(table, first[name]), f"the embeddings of {name} differ")

    def test_every_tensor_moves_with_the_module(self) -> None:
        """Each tensor is a parameter or a buffer, so that `.to(device)` moves it."""
        for part in self.built().modules():
            left = [name for name, value in vars(part).items() if isinstance(value, Tensor)]
            require(not left, f"{type(part).__name__}.{left[0] if left else ''} is neither of both")

    def test_only_what_learns_has_parameters(self) -> None:
        """It has parameters if and only if it says that it `learns`."""
        has = bool(list(self.built().parameters()))
        said = "says" if self.backbone.learns else "does not say"
        require(
            has == self.backbone.learns,
            f"it {said} that it learns, and has {'some' if has else 'no'} parameters",
        )

    def test_gradients_reach_every_parameter(self) -> None:
        """Each parameter gets a gradient from the embeddings."""
        if not self.backbone.learns:
            raise DoesNotApply("it does not learn")
        module = self.built()
        parameters = dict(module.named_parameters())
        total = torch.stack([table.square().sum() for table in self.tables(module).values()]).sum()
        gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            require(gradient is not None, f"{name} has no gradient")
            require(gradient is not None and gradient.abs().sum() > 0, f"that of {name} is 0")

    def test_who_has_no_training_pair_gets_finite_embeddings(self) -> None:
        """Users and items without a training pair get finite embeddings, too."""
        alone = Interactions.of([0, 0], [0, 2], 3, 4)
        for name, table in self.tables(self.built(train=alone)).items():
            rows = (~table.isfinite().all(dim=1)).nonzero().flatten().tolist()
            require(not rows, f"{name[:-1]} {rows[0] if rows else ''} gets {_first(table, rows)}")


def _first(table: Tensor, rows: list[int]) -> list[float]:
    return table[rows[0]].tolist() if rows else []
