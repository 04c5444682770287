"""Who may know whom: imports between our modules go one way."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import robustbench_rec

PACKAGE = Path(robustbench_rec.__file__).parent
ROOT = "robustbench_rec"
ORDER = (
    "errors seeds processes compiling",
    "rows interactions",
    "kernels",
    "components",
    "data evaluation",
    ROOT,  # the public names
    "losses backbones datasets metrics perturbations suites training",
    "experiment",
    "records",
    "running analysis",
    "figures tables",
    "report",
    "testing",
    "kit",
    "cli",
    "__main__",
)
"""Each row may know those above it; whatever stands in one row knows nothing of its neighbours."""
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names.split()}
PLUGINS = ("losses", "backbones", "datasets", "metrics", "perturbations")


def module_files() -> dict[str, Path]:
    """Return every module of ours, by its name below the package."""
    checkout = PACKAGE.parent
    ours = list(PACKAGE.rglob("*.py"))
    ours += [p for part in ("perturbations", "suites") for p in (checkout / part).glob("*.py")]
    top = {path: PACKAGE if path.is_relative_to(PACKAGE) else checkout for path in ours}
    dotted = {".".join(path.relative_to(top[path]).with_suffix("").parts): path for path in ours}
    return {name.removesuffix(".__init__"): path for name, path in dotted.items()}


FILES = module_files()


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of all that is imported, in functions too; not for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from imports(node)


def known_to(name: str) -> set[str]:
    """Return our modules that a module imports, by their names below the package."""
    found = set()
    for target in imports(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        parts = target.split(".")
        if parts[0] == ROOT:
            below = (".".join(parts[1:end]) for end in range(len(parts), 1, -1))
            found.add(next((module for module in below if module in FILES), ROOT))
    return found


def room(name: str) -> str:
    return ROOT if name == "__init__" else name.partition(".")[0]


def test_every_module_has_its_place():
    assert {room(name) for name in FILES} == set(RANK)
    assert len([path for path in FILES.values() if path.parent == PACKAGE]) <= 8


def test_no_import_leads_back():
    TopologicalSorter({name: known_to(name) - {ROOT} for name in FILES}).prepare()


@pytest.mark.parametrize("name", FILES)
def test_imports_go_one_way(name):
    within = {other for other in known_to(name) if room(other) == room(name)}
    for other in known_to(name) - within:
        assert RANK[room(other)] < RANK[room(name)], f"{name} must not know {other}"


@pytest.mark.parametrize("name", [name for name in FILES if room(name) in PLUGINS])
def test_plugins_are_built_on_public_names(name):
    known = {other for other in known_to(name) if not other.startswith(f"{room(name)}._")}
    assert known <= {ROOT, "rows", "compiling"}
    targets = imports(ast.parse(FILES[name].read_text(encoding="utf-8")))
    ours = [target.rpartition(".") for target in targets if target.startswith(ROOT)]
    assert {one for module, _, one in ours if module == ROOT} <= set(robustbench_rec.__all__)


def test_only_one_module_knows_an_optimizer():
    knowing = {name for name, path in FILES.items() if "torch.optim" in path.read_text()}
    assert knowing == {"training.optimizers"}


def test_every_public_name_is_there_and_no_other_is_promised():
    assert set(robustbench_rec.__all__) == {*robustbench_rec._LATE, "__version__"}
    assert all(getattr(robustbench_rec, name) for name in robustbench_rec.__all__)
    assert set(robustbench_rec.__all__) <= set(dir(robustbench_rec))
