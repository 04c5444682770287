"""What moves parameters: Adam for the model, and the optimizers behind a move."""

import pytest
import torch

from robustbench_rec.training.optimizers import Adam


@pytest.mark.parametrize(("weight_decay", "eps"), [(0.0, 1e-8), (0.1, 1e-8), (0.0, 0.5)])
def test_adam_is_that_of_torch(weight_decay, eps):
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(5, 3, generator=generator), torch.randn(4, 3, generator=generator)]
    ours, theirs = ([part.clone().requires_grad_() for part in start] for _ in range(2))
    adam = Adam(ours, 0.01, weight_decay, eps)
    other = torch.optim.Adam(theirs, lr=0.01, weight_decay=weight_decay, eps=eps, fused=True)
    for _ in range(3):
        gradients = [torch.randn(part.shape, generator=generator) for part in start]
        adam.step(gradients)
        for part, gradient in zip(theirs, gradients, strict=True):
            part.grad = gradient.clone()
        other.step()
    assert all(torch.equal(one, two) for one, two in zip(ours, theirs, strict=True))
    assert not torch.equal(ours[0], start[0])


@pytest.mark.parametrize(
    "gradient",
    [torch.ones(()).expand(5, 3), torch.arange(15.0).view(3, 5).t()],
    ids=["expanded", "transposed"],
)
def test_adam_takes_a_gradient_of_any_layout(gradient):
    ours, theirs = (torch.zeros(5, 3, requires_grad=True) for _ in range(2))
    Adam([ours], 0.01, 0.0).step([gradient])
    other = torch.optim.Adam([theirs], lr=0.01)
    theirs.grad = gradient.contiguous()
    other.step()
    torch.testing.assert_close(ours, theirs)
