"""Propagation over the graph of training pairs. Imports torch and numba: import it late.

The normalised adjacency N has an entry 1 / sqrt(degree_u degree_i) for each training pair, in both
directions; a product with N sends item embeddings to users and user embeddings to items. N is
symmetric, so the derivative of a propagation is a propagation of the gradient: nothing is stored
for the backward pass, and autograd sees one node for any number of layers.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import torch
from numba import prange
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from robustbench_rec import Interactions
from robustbench_rec.compiling import njit

Pair = tuple[Tensor, Tensor]
"""What belongs to users (n_users, dim), and to items (n_items, dim)."""
CHUNK_BYTES = 2**28
"""Bytes that the path of torch operations weighs at once; a column of embeddings at least."""


class Graph(nn.Module):
    """The normalised adjacency as two row-wise halves, so that nothing is transposed."""

    def __init__(self, train: Interactions) -> None:
        super().__init__()
        user_degrees = train.user_counts[train.users].astype(np.float64)
        item_degrees = train.item_counts[train.items].astype(np.float64)
        weights = (1 / np.sqrt(user_degrees * item_degrees)).astype(np.float32)
        self.to_users, self.to_items = halves(train, weights)

    def product(self, tables: Pair, base: Pair | None = None, scale: float = 1.0) -> Pair:
        """Return scale * (base + N tables), or scale * N tables without base; no gradient flows."""
        users, items = tables
        to_users, to_items = base or (None, None)
        return self.to_users(items, to_users, scale), self.to_items(users, to_items, scale)


class Half(nn.Module):
    """A sparse matrix, row-wise.

    Attributes:
        starts: (rows + 1,) int32, the start of each row's entries.
        columns: (entries,) int32.
        weights: (entries,) float32.

    """

    starts: Tensor
    columns: Tensor
    weights: Tensor

    def __init__(
        self, starts: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.float32]
    ) -> None:
        super().__init__()
        # 32 bits: the matrix is read again for every layer of every step.
        self.register_buffer("starts", torch.from_numpy(starts.astype(np.int32)), persistent=False)
        self.register_buffer(
            "columns", torch.from_numpy(columns.astype(np.int32)), persistent=False
        )
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)

    def forward(self, dense: Tensor, base: Tensor | None, scale: float) -> Tensor:
        """Return scale * (base + self dense), no base being a base of zeros: (rows, dim)."""
        if dense.device.type == "cpu":
            return self.compiled(dense, base, scale)
        return self.by_torch(dense, base, scale)

    def compiled(self, dense: Tensor, base: Tensor | None, scale: float) -> Tensor:
        """Return the product by our own loop on a CPU; bit-identical for any number of threads."""
        result = dense.new_empty(len(self.starts) - 1, dense.shape[1]).numpy()
        _multiply(
            self.starts.numpy(),
            self.columns.numpy(),
            self.weights.numpy(),
            _array(dense),
            None if base is None else _array(base),
            result.dtype.type(scale),
            result,
        )
        return torch.from_numpy(result)

    def by_torch(self, dense: Tensor, base: Tensor | None, scale: float) -> Tensor:
        """Return the product by torch's operations, on any device; the same bits every time.

        Not by torch's own sparse product: on a GPU that adds in another order each time.
        """
        lengths, weights = self.starts.diff(), self.weights.to(dense.dtype).unsqueeze(1)
        product = dense.new_empty(len(lengths), dense.shape[1])
        width = max(CHUNK_BYTES // max(len(weights) * dense.element_size(), 1), 1)
        for first in range(0, dense.shape[1], width):
            part = slice(first, first + width)
            entries = dense[:, part].index_select(0, self.columns) * weights  # (entries, width)
            product[:, part] = torch.segment_reduce(
                entries, "sum", lengths=lengths, unsafe=True, initial=0
            )
        return (product if base is None else product.add_(base)).mul_(scale)


def halves(train: Interactions, weights: NDArray[np.float32]) -> tuple[Half, Half]:
    """Return the matrix with a weight for each training pair, users by items, and its transpose."""
    by_item = np.argsort(train.items, kind="stable")
    item_starts = np.concatenate([[0], np.cumsum(train.item_counts)])
    return (
        Half(train.starts, train.items, weights),
        Half(item_starts, train.users[by_item], weights[by_item]),
    )


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().contiguous().numpy()
    return array


# A row has one thread and adds its entries in their order; "contract" allows fused
# multiply-adds, which are the same ones however the rows are shared out.
@njit(cache=True, parallel=True, fastmath={"contract"})
def _multiply(
    starts: NDArray[np.int32],
    columns: NDArray[np.int32],
    weights: NDArray[np.float32],
    dense: NDArray[Any],
    base: NDArray[Any] | None,
    scale: np.floating[Any],
    result: NDArray[Any],
) -> None:
    for row in prange(len(starts) - 1):
        total = result[row]
        for k in range(dense.shape[1]):
            total[k] = 0 if base is None else base[row, k]
        first, last = starts[row], starts[row + 1]
        whole = last - (last - first) % 4
        for e in range(first, whole, 4):  # their loads overlap, and a sum is stored once for four
            c0, c1, c2, c3 = columns[e], columns[e + 1], columns[e + 2], columns[e + 3]
            w0, w1, w2, w3 = weights[e], weights[e + 1], weights[e + 2], weights[e + 3]
            for k in range(dense.shape[1]):
                partial = (total[k] + w0 * dense[c0, k]) + w1 * dense[c1, k]
                total[k] = (partial + w2 * dense[c2, k]) + w3 * dense[c3, k]
        for e in range(whole, last):
            weight, other = weights[e], dense[columns[e]]
            for k in range(dense.shape[1]):
                total[k] += weight * other[k]
        for k in range(dense.shape[1]):
            total[k] *= scale


def layer_mean(graph: Graph, users: Tensor, items: Tensor, layers: int) -> Pair:
    """Return the mean of layers 0 to `layers`: sum_l N^l (users, items) / (layers + 1).

    Args:
        graph: over n_users and n_items.
        users: (n_users, dim).
        items: (n_items, dim).
        layers: how often to propagate, at least 1.

    Returns:
        The two means, shaped as the tables.

    """
    mean: Pair = _LayerMean.apply(graph, layers, users, items)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
    return mean


class Propagation(nn.Module):
    """LightGCN's module: the mean of layers 0 to `layers` over its own embeddings."""

    def __init__(self, tables: nn.Module, graph: Graph, layers: int) -> None:
        super().__init__()
        self.tables, self.graph, self.layers = tables, graph, layers

    def forward(self) -> Pair:
        """Return the means; see `layer_mean`."""
        users, items = self.tables()
        return layer_mean(self.graph, users, items, self.layers)


class _LayerMean(torch.autograd.Function):
    """Horner's form, x + N (x + N (x + ...)): the sum over layers needs no separate pass."""

    @staticmethod
    def forward(ctx: Any, graph: Graph, layers: int, users: Tensor, items: Tensor) -> Pair:
        ctx.graph, ctx.layers = graph, layers
        return _horner(graph, layers, (users, items))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor, Tensor]:
        users, items = gradients
        return None, None, *_horner(ctx.graph, ctx.layers, (users, items))


def _horner(graph: Graph, layers: int, tables: Pair) -> Pair:
    total = tables
    for _ in range(layers - 1):
        total = graph.product(total, tables)
    return graph.product(total, tables, 1 / (layers + 1))


def noisy_layer_mean(
    graph: Graph,
    users: Tensor,
    items: Tensor,
    *,
    layers: int,
    contrasted: int,
    noise: float,
    generator: torch.Generator,
) -> tuple[Pair, Pair]:
    """Return the mean of layers 1 to `layers` with noise, and one of these layers.

    e_l = N e_{l-1} + noise * sign(N e_{l-1}) * r / |r|, r uniform on [0, 1)^dim, drawn for every
    row of every layer. The noise is a constant to the gradient.

    Args:
        graph: over n_users and n_items.
        users: e_0, (n_users, dim).
        items: e_0, (n_items, dim).
        layers: how often to propagate, at least 1.
        contrasted: the layer returned beside the mean, from 1 to `layers`.
        noise: length of the noise added to a row; 0 adds and draws nothing.
        generator: the generator of the noise, on the CPU for any device.

    Returns:
        The mean of users and items, and the contrasted layer of users and items.

    Source: Yu et al., XSimGCL, TKDE 2024; layer 0 is left out, as in the authors' code.

    """
    parts = _NoisyLayerMean.apply(  # type: ignore[no-untyped-call]  # torch leaves apply untyped
        graph, layers, contrasted, noise, generator, users, items
    )
    return parts[:2], parts[2:]


class _NoisyLayerMean(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        graph: Graph,
        layers: int,
        contrasted: int,
        noise: float,
        generator: torch.Generator,
        users: Tensor,
        items: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.graph, ctx.layers, ctx.contrasted = graph, layers, contrasted
        tables, passed = (users, items), []
        for _ in range(layers):
            tables = graph.product(tables)
            if noise:
                for table in tables:
                    _add_noise(table, noise, generator)
            passed.append(tables)
        means = [reduce(torch.add, side) / layers for side in zip(*passed, strict=True)]
        return *means, *passed[contrasted - 1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_mean = [gradient / ctx.layers for gradient in gradients[:2]]
        of_contrasted = [one + other for one, other in zip(of_mean, gradients[2:], strict=True)]
        bases = [of_mean] * ctx.layers
        bases[ctx.contrasted - 1] = of_contrasted
        total = bases.pop()
        while bases:
            total = ctx.graph.product(total, bases.pop())
        return None, None, None, None, None, *ctx.graph.product(total)


def _add_noise(table: Tensor, length: float, generator: torch.Generator) -> None:
    """Move each row of (n, dim), in place, by a random step that keeps every sign."""
    steps = torch.rand(table.shape, generator=generator, dtype=table.dtype).to(table.device)
    table.addcmul_(table.sign(), nn.functional.normalize(steps, dim=1), value=length)
