"""The cost of a propagation at Amazon-Electronic's size, forward and backward, by sparse product.

python -m benchmarks.propagation
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.step import ITEMS, USERS, random_split
from benchmarks.timing import best, table, using
from robustbench_rec import Interactions
from robustbench_rec.backbones._graph import Graph, Half, Pair, layer_mean

Propagate = Callable[[Tensor, Tensor, int], Pair]
HEADER = ("product", "layers", "threads", "ms", "times the chosen")
PAIRS = 182_398
"""Electronic's, before validation pairs are carved out."""

DIM = 64
CHOSEN = "compiled, two halves"
COPY = "a copy of the tables"


def rows(times: int = 30) -> list[tuple[object, ...]]:
    """Measure every variant on 2 and 3 layers, with 1 and 2 threads, as the best of `times`."""
    train = random_split(USERS, ITEMS, PAIRS).train
    ways = variants(Graph(train))
    found: list[tuple[object, ...]] = []
    for layers in (2, 3):
        for threads in (1, 2):
            with using(threads):
                spent = best(_runs(ways, _tables(train), layers), times)
            ms = {name: one.wall for name, one in spent.items()}
            floor, least = _floor(train, layers, ms.pop(COPY))
            lines = {**ms, floor: least}
            found += [
                (name, layers, threads, f"{one:.1f}", f"{one / ms[CHOSEN]:.2f}")
                for name, one in lines.items()
            ]
    return found


def variants(graph: Graph) -> Mapping[str, Propagate]:
    """Return the ways to propagate, by name: (users, items, layers) -> layer means."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        csr = _csr(graph.to_users), _csr(graph.to_items)
        coo = csr[0].to_sparse_coo(), csr[1].to_sparse_coo()
        whole = _read_whole(*coo)
        whole_csr = whole.to_sparse_csr()
    return {
        CHOSEN: lambda users, items, layers: layer_mean(graph, users, items, layers),
        "torch COO, autograd's transpose": lambda *tables: _by_autograd(coo[0], *tables),
        "torch COO, two halves": _self_adjoint(_two_halves(*coo)),
        "torch CSR, two halves": _self_adjoint(_two_halves(*csr)),
        "torch CSR, two halves, addmm": _self_adjoint(_two_halves(*csr, torch.addmm)),
        "torch COO, one symmetric": _self_adjoint(_symmetric(whole)),
        "torch CSR, one symmetric": _self_adjoint(_symmetric(whole_csr)),
    }


def _csr(half: Half) -> Tensor:
    size = len(half.starts) - 1, int(half.columns.max()) + 1
    return torch.sparse_csr_tensor(
        half.starts, half.columns, half.weights, size, check_invariants=False
    )


def _read_whole(to_users: Tensor, to_items: Tensor) -> Tensor:
    """Return [[0, to_users], [to_items, 0]] in COO."""
    n_users, n_items = to_users.shape
    shifts = torch.tensor([[0], [n_users]]), torch.tensor([[n_users], [0]])
    indices = torch.cat([to_users.indices() + shifts[0], to_items.indices() + shifts[1]], dim=1)
    values = torch.cat([to_users.values(), to_items.values()])
    size = n_users + n_items
    whole = torch.sparse_coo_tensor(indices, values, (size, size), check_invariants=False)
    return whole.coalesce()


def _add_product(base: Tensor, matrix: Tensor, dense: Tensor) -> Tensor:
    return torch.sparse.mm(matrix, dense).add_(base)


def _two_halves(
    to_users: Tensor,
    to_items: Tensor,
    add: Callable[[Tensor, Tensor, Tensor], Tensor] = _add_product,
) -> Propagate:
    def propagate(users: Tensor, items: Tensor, layers: int) -> Pair:
        all_users, all_items = users, items
        for _ in range(layers):
            all_users, all_items = (
                add(users, to_users, all_items),
                add(items, to_items, all_users),
            )
        return all_users.div_(layers + 1), all_items.div_(layers + 1)

    return propagate


def _symmetric(whole: Tensor) -> Propagate:
    def propagate(users: Tensor, items: Tensor, layers: int) -> Pair:
        tables = torch.cat([users, items])
        total = tables
        for _ in range(layers):
            total = _add_product(tables, whole, total)
        total.div_(layers + 1)
        return total[: len(users)], total[len(users) :]

    return propagate


def _by_autograd(graph: Tensor, users: Tensor, items: Tensor, layers: int) -> Pair:
    """Propagate as the package did before it had a product of its own."""
    user_sum, item_sum = users, items
    for _ in range(layers):
        users, items = torch.sparse.mm(graph, items), torch.sparse.mm(graph.t(), users)
        user_sum, item_sum = user_sum + users, item_sum + items
    return user_sum / (layers + 1), item_sum / (layers + 1)


def _self_adjoint(propagate: Propagate) -> Propagate:
    """Return the propagation with itself as its backward."""

    class SelfAdjoint(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, users: Tensor, items: Tensor, layers: int) -> Pair:
            ctx.layers = layers
            return propagate(users, items, layers)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
            return *propagate(*gradients, ctx.layers), None

    return SelfAdjoint.apply


def _runs(
    ways: Mapping[str, Propagate], tables: Pair, layers: int
) -> dict[str, Callable[[], object]]:
    """Return what to time: each way there and back, and a copy of the tables."""
    source = torch.cat(tables).detach()
    runs: dict[str, Callable[[], object]] = {
        name: partial(_there_and_back, way, tables, layers) for name, way in ways.items()
    }
    return runs | {COPY: partial(torch.empty_like(source).copy_, source)}


def _there_and_back(propagate: Propagate, tables: Pair, layers: int) -> object:
    return torch.autograd.grad(propagate(*tables, layers), tables, tables)


def _floor(train: Interactions, layers: int, copy_ms: float) -> tuple[str, float]:
    """Say what must move, and how long it takes at the speed of a copy of the tables.

    Each product reads the tables, the base and the matrix and writes the tables. That each pair
    also fetches a whole embedding is no part of the time: a better order of the rows might leave
    these fetches to the nearest cache. Tables that fit into the caches are copied at their speed.
    """
    products, rows = 2 * layers, train.n_users + train.n_items
    moved = products * (3 * rows * DIM * 4 + 2 * len(train) * 8 + rows * 4)
    fetched = products * 2 * len(train) * DIM * 4
    ms = copy_ms * moved / (2 * rows * DIM * 4)
    return f"floor: {moved / 1e6:.0f} MB at a copy's speed; {fetched / 1e6:.0f} MB of fetches", ms


def _tables(train: Interactions) -> Pair:
    generator = torch.Generator().manual_seed(0)
    users, items = (
        torch.randn(n, DIM, generator=generator).mul_(0.1).requires_grad_()
        for n in (train.n_users, train.n_items)
    )
    return users, items


def main() -> None:
    """Print the table."""
    print(table(HEADER, rows()))


if __name__ == "__main__":
    main()
