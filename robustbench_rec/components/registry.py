"""Registries: names of classes, found lazily in our folders, in plugins and in entry points."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast
from weakref import WeakSet

from robustbench_rec.components.overheard import overheard
from robustbench_rec.components.settings import Component, hints, no_such_setting, setting_names
from robustbench_rec.errors import InputError, is_interrupt, nearest, one_line, placed
from robustbench_rec.processes import plain_output, same_folder

C = TypeVar("C", bound=Component)
NAME = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,63}$")


_REGISTRIES: WeakSet[Registry[Any]] = WeakSet()
"""All registries: a plugin may hold components of several kinds."""


class Registry(Generic[C]):
    """Classes of one kind by name.

    Args:
        kind: the word for an entry in messages, as in "no loss named ...".
        package: the package with our own entries. Its dotted name is also the entry-point group of
            other packages. It is imported at the first look-up.

    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self.broken: dict[str, str] = {}
        """Modules and entry points that could not be imported -> the reason."""
        self._classes: dict[str, type[C]] = {}
        self._scanned = False
        _REGISTRIES.add(self)

    def add(self, name: str) -> Callable[[type[C]], type[C]]:
        """Register the decorated frozen dataclass as `name`; place it above `@dataclass`.

        Raises:
            ValueError: the name is not made of lower-case letters, digits, '_', '.' and '-', or
                another class holds it.
            TypeError: the class is not a frozen dataclass.

        """
        if not NAME.fullmatch(name):
            raise ValueError(f"{self.kind} name {name!r} must match {NAME.pattern}")

        def register(cls: type[C]) -> type[C]:
            parameters = cls.__dict__.get("__dataclass_params__")
            if parameters is None or not parameters.frozen:
                raise TypeError(
                    f"{cls.__qualname__} must be decorated with @dataclass(frozen=True)"
                )
            if not self._is_ours(cls):
                self._scan()  # so that a plugin meets the names that are taken
            held = self._classes.get(name)
            if held is not None and _address(held) != _address(cls):
                raise ValueError(
                    f"{self.kind} {name!r} is already taken by {_address(held)}; {_address(cls)} "
                    "needs another name"
                )
            cls.name = name
            self._classes[name] = cls
            if not self._is_ours(cls):
                with suppress(InputError, SyntaxError):  # it has no file; asked again when needed
                    code_of(cast(Any, cls))  # now: its file may change later, this code does not
            return cls

        return register

    def _is_ours(self, cls: type[Any]) -> bool:
        return cls.__module__.startswith(f"{self.package}.")

    def of_module(self, name: str) -> Iterator[Any]:
        """Yield the classes that a module, or a package, has registered so far."""
        for cls in self._classes.values():
            if f"{cls.__module__}.".startswith(f"{name}."):
                yield cls

    @property
    def ours(self) -> tuple[str, ...]:
        """The names in our own package, in order, without plugins."""
        return tuple(name for name in self if self._is_ours(self._classes[name]))

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        ours = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(ours.__path__):
            if not module.name.startswith("_"):
                self._import(f"{self.package}.{module.name}")
        for point in entry_points(group=self.package):
            self._import(point.module)

    def _import(self, where: str) -> None:
        """Import one module; a broken module must not affect the others."""
        try:
            importlib.import_module(where)
        except BaseException as error:
            if is_interrupt(error):
                raise
            self.broken[where] = one_line(error)

    def __getitem__(self, name: str) -> type[C]:
        """Return the class registered as `name`; InputError names the nearest if there is none."""
        self._scan()
        if name not in self._classes:
            raise InputError(
                f"no {self.kind} named {name!r}{nearest(name, self._classes)} "
                f"(known: {', '.join(self)}){self._broken_note()}"
            )
        return self._classes[name]

    def _broken_note(self) -> str:
        parts = (f"{where} could not be imported ({why})" for where, why in self.broken.items())
        return "".join(f"; {part}" for part in parts)

    def __contains__(self, name: object) -> bool:
        self._scan()
        return isinstance(name, str) and name in self._classes

    def __iter__(self) -> Iterator[str]:
        self._scan()
        return iter(sorted(self._classes))

    def __len__(self) -> int:
        self._scan()
        return len(self._classes)

    def build(self, table: Mapping[str, Any]) -> C:
        """Make a component from a table of TOML or JSON: `{"name": "softmax", "tau": 0.2}`."""
        settings = dict(table)
        name = settings.pop("name", None)
        if not isinstance(name, str):
            raise InputError(f"a {self.kind} needs a `name` (known: {', '.join(self)})")
        with placed("name"):
            cls = self[name]
        component: C = make(cls, settings, name)
        return component


def make(cls: type[Any], settings: Mapping[str, Any], name: str) -> Any:
    """Construct a dataclass from plain settings, checking keys, types and bounds.

    Raises:
        InputError: an unknown key (with the nearest), a value of the wrong type, a missing
            setting, or one out of bounds; one line.

    """
    for key in settings:
        if key not in setting_names(cls):
            raise InputError(no_such_setting(cls, key, name), (key,))
    for field in dataclasses.fields(cls):
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and field.name not in settings:
            raise InputError(f"{name} needs the setting {field.name!r}")
    values = {key: _typed(cls, key, value, name) for key, value in settings.items()}
    try:
        return cls(**values)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from None


def _typed(cls: Any, key: str, value: Any, name: str) -> Any:
    """Check a value against the type of its field; only int is converted, to float."""
    from pydantic import ValidationError

    try:
        return _reader(cls, key).validate_python(value, strict=True)
    except ValidationError as error:
        wanted = error.errors()[0]["msg"].removeprefix("Input ").lower()
        raise InputError(f"{name}.{key} is {value!r}; it {wanted}", (key,)) from None


@functools.cache
def _reader(cls: Any, key: str) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(hints(cls)[key])


def _address(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def placed_plugin(plugin: str) -> str:
    """Return a plugin so that any folder can find it: a file by its absolute path."""
    return str(Path(plugin).absolute()) if plugin.endswith(".py") else plugin


def load_plugins(plugins: Iterable[str], as_imported: bool = False) -> None:
    """Import plugins named explicitly: a path to a .py file, or a dotted module name.

    Args:
        plugins: the paths or names.
        as_imported: whether to go on with the code that this process imported earlier, if the
            files of its components hold other code now.

    Raises:
        InputError: a file is missing, or a module cannot be imported, or changed afterwards.

    Warns:
        UserWarning: warnings and logs of a plugin during import, one line each.

    """
    for plugin in [plugins] if isinstance(plugins, str) else plugins:
        try:
            with same_folder(), plain_output(), overheard() as lines:
                if plugin.endswith(".py"):
                    module = _import_file(Path(plugin))
                else:
                    module = importlib.import_module(plugin)
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise InputError(
                f"plugin {plugin!r} could not be imported: {one_line(error)}"
            ) from error
        if not as_imported and _has_changed(module):
            raise InputError(
                f"plugin {plugin!r} changed after this process imported it; restart the process "
                "(the kernel of a notebook, the worker of a cluster)"
            )
        for line in lines.told():
            warnings.warn(f"plugin {plugin!r}: {line}", stacklevel=2)


def _has_changed(module: ModuleType) -> bool:
    """Say whether the files of a plugin's components hold other code than was imported."""
    for registry in _REGISTRIES:
        for cls in registry.of_module(module.__name__):
            try:
                if _code_in_file(cls) != code_of(cls):
                    return True
            except SyntaxError:  # it is being edited
                return True
            except InputError:  # it is gone: the code that was imported is all there is
                continue
    return False


def _import_file(path: Path) -> ModuleType:
    path = path.resolve()
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"robustbench_rec_plugin_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise InputError("no such file")
    module_spec = importlib.util.spec_from_file_location(name, path)
    if module_spec is None or module_spec.loader is None:
        raise InputError("not a Python file")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    try:
        module_spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@functools.cache
def code_of(cls: Any) -> str:
    """Return a digest of the code of a component: its whole module, including helpers.

    It is part of a cell's identity, so that cells of a corrected component run again. Comments,
    docstrings and imports do not count, so that modules can move. Imported code does not count: a
    change of results there, as in `backbones/_graph.py`, must increase `PROTOCOL`.

    Of a plugin it is the code that was imported, whatever its file holds later.

    Raises:
        InputError: the class is not defined in a file.

    """
    return _code_in_file(cls)


def _code_in_file(cls: Any) -> str:
    """Return as `code_of`, of what the file holds now; SyntaxError if it is not Python."""
    try:
        source = inspect.getsource(sys.modules[cls.__module__])
    except (OSError, TypeError):
        raise InputError(f"{_address(cls)} has no source file; put it into a .py file") from None
    tree = _Code().visit(ast.parse(source))
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:12]


class _Code(ast.NodeTransformer):
    """Drops imports and docstrings from a module, and `if` statements without other content."""

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node):
            return None
        self.generic_visit(node)
        emptied = isinstance(node, ast.If) and not (node.body or node.orelse)
        return None if emptied else node


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
