"""Suites: a TOML file becomes checked components, and these become cells."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robustbench_rec.components.backbone import BACKBONES, Backbone
from robustbench_rec.components.dataset import Dataset
from robustbench_rec.components.labels import short_names, spec_once
from robustbench_rec.components.loss import LOSSES
from robustbench_rec.components.perturbation import PERTURBATIONS, Perturbation
from robustbench_rec.components.registry import NAME, load_plugins, make
from robustbench_rec.components.settings import spec
from robustbench_rec.data.catalog import default_data_dir, resolve
from robustbench_rec.errors import InputError, nearest
from robustbench_rec.evaluation.metrics import Averaging, parse
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.reference import Grid, Published, read_reference
from robustbench_rec.experiment.search_space import Entry, Tuning, read_entry
from robustbench_rec.training.config import SELECT_AT, TrainConfig

LARGEST_FILE = 1 << 20
T = TypeVar("T")
Table = dict[str, Any]


class _File(BaseModel):
    """The keys of a suite file; what stands in the tables is checked by what they name."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str = Field(pattern=NAME.pattern)
    about: str = ""
    seed: int = Field(default=0, ge=0)
    replicates: int = Field(default=1, ge=1)
    metrics: list[str] = Field(default=["ndcg@20", "recall@20"], min_length=1)
    averaging: Averaging = "test-users"
    floors: list[str] = ["popularity", "random"]
    plugins: list[str] = []
    training: Table = {}
    tune: Table = {}
    dataset: list[Table] = Field(min_length=1)
    backbone: list[Table] = Field(min_length=1)
    loss: list[Table] = Field(min_length=1)
    perturbation: list[Table] = Field(default=[{"name": "clean", "level": [0]}], min_length=1)
    reference: list[Table] = []


@dataclass(frozen=True)
class Suite:
    """A named grid: data sets x backbones x losses x perturbations x levels x replicates.

    Attributes:
        name, about: for listings.
        seed: of everything random in the suite.
        replicates: repetitions of each cell under other seeds, numbered from 0.
        metrics: `name@k`, what figures show; every metric at every such k is recorded.
        averaging: over users who have a test item, or over all users, the others counting 0.
        datasets, backbones, perturbations: the axes; a perturbation stands once a level.
        losses: each with how it is trained, and what of it is tuned.
        floors: backbones that train nothing, ranked under every perturbation, whatever the losses.
        plugins: files and modules that were imported for it.
        text: the file, word for word.
        tune: how losses are tuned.
        references: published values that its results stand beside.

    """

    name: str
    about: str
    seed: int
    replicates: tuple[int, ...]
    metrics: tuple[str, ...]
    averaging: Averaging
    datasets: tuple[Dataset, ...]
    backbones: tuple[Backbone, ...]
    losses: tuple[Entry, ...]
    perturbations: tuple[Perturbation, ...]
    floors: tuple[Backbone, ...]
    plugins: tuple[str, ...]
    text: str
    tune: Tuning
    references: tuple[Published, ...] = ()

    @classmethod
    def load(
        cls, name_or_path: str, data_dir: Path | None = None, plugins: Iterable[str] = ()
    ) -> Suite:
        """Read a suite by its name or from a .toml file.

        Args:
            name_or_path: a shipped suite's name, or a path.
            data_dir: where data sets are looked for; the default directory if None.
            plugins: files or modules to import besides those that the suite names.

        Raises:
            InputError: an unknown suite, key, name or value; one line with the file, the line
                where that is known, what is wrong and what is allowed.

        """
        return _Reader(find(name_or_path), data_dir or default_data_dir()).suite(tuple(plugins))

    @property
    def ks(self) -> tuple[int, ...]:
        """The list lengths at which metrics are recorded; 20, at which we select, among them."""
        return tuple(sorted({parse(metric)[1] for metric in self.metrics} | {SELECT_AT}))

    @property
    def n_cells(self) -> int:
        """How many cells the whole suite has."""
        trained = len(self.backbones) * len(self.losses) + len(self.floors)
        return len(self.datasets) * trained * len(self.perturbations) * len(self.replicates)

    @property
    def models(self) -> list[tuple[Backbone, Entry]]:
        """What is trained, and by what: each backbone by each loss, then the floors."""
        nothing = Entry(LOSSES["untrained"](), TrainConfig())
        return [*product(self.backbones, self.losses), *product(self.floors, [nothing])]

    @property
    def labels(self) -> dict[str, dict[str, str]]:
        """What results call each component: axis -> full spec -> label."""
        perturbations = (spec_once(one, without="level") for one in self.perturbations)
        return {
            "dataset": short_names(map(spec_once, self.datasets)),
            "backbone": short_names(map(spec_once, [*self.backbones, *self.floors])),
            "loss": short_names(entry.text for _, entry in self.models),
            "perturbation": short_names(perturbations),
        }

    def cells(
        self,
        fingerprints: Mapping[Dataset, str],
        settle: Callable[[Cell, Entry], Cell] = lambda cell, _: cell,
    ) -> list[Cell]:
        """Return the cells of the data sets in `fingerprints`, in the file's order.

        Where a loss is tuned, `settle` turns a cell under its first candidates into the one meant.
        """
        ks = self.ks

        def cell(entry: Entry, **rest: Any) -> Cell:
            made = Cell(loss=entry.loss, training=entry.training, seed=self.seed, ks=ks, **rest)
            return settle(made, entry) if entry.space else made

        return [
            cell(
                entry,
                dataset=dataset,
                fingerprint=fingerprints[dataset],
                backbone=backbone,
                perturbation=perturbation,
                replicate=replicate,
            )
            for dataset, (backbone, entry), perturbation, replicate in product(
                (dataset for dataset in self.datasets if dataset in fingerprints),
                self.models,
                self.perturbations,
                self.replicates,
            )
        ]


def shipped() -> dict[str, str]:
    """Return the suites that come with the package: name -> text of the file."""
    folder = files("robustbench_rec.suites")
    found = (entry for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in sorted(found, key=lambda entry: entry.name)
    }


def find(name_or_path: str) -> tuple[str, str, Path]:
    """Return how to call a suite file, its text, and the folder that its paths are relative to."""
    if not name_or_path.endswith(".toml"):
        suites = shipped()
        if name_or_path not in suites:
            raise InputError(
                f"no suite named {name_or_path!r}{nearest(name_or_path, suites)} "
                f"(known: {', '.join(suites)}; or give the path of a .toml file)"
            )
        return f"{name_or_path}.toml", suites[name_or_path], Path.cwd()
    path = Path(name_or_path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path}: larger than 1 MiB; a suite file is a page of TOML")
        return str(path), path.read_text(encoding="utf-8-sig"), path.resolve().parent
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a suite's name or a .toml file") from None


class _Reader:
    """Turns one file into a Suite, and every mistake in it into one line."""

    def __init__(self, found: tuple[str, str, Path], data_dir: Path) -> None:
        self.where, self.text, self.base = found
        self.data_dir = data_dir
        self.file = self._parse()

    def _parse(self) -> _File:
        try:
            table = tomllib.loads(self.text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise InputError(f"{self.where}: not TOML: {error}") from None
        for key in table:
            if key not in _File.model_fields:
                allowed = ", ".join(_File.model_fields)
                close = nearest(key, _File.model_fields)
                raise self._error(
                    f"unknown key {key!r}{close} (allowed: {allowed})", self._line(key)
                )
        try:
            return _File.model_validate(table)
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0])
            line = None if first["type"] == "missing" else self._header(key)
            raise self._error(f"{key}: {_reason(first)}", line) from None

    def suite(self, plugins: tuple[str, ...]) -> Suite:
        file = self.file
        plugins += tuple(self._plugin(plugin) for plugin in file.plugins)
        self._each([{}], "plugins", lambda _: load_plugins(plugins))
        self._each([{}], "metrics", lambda _: [parse(metric) for metric in file.metrics])
        self._each([{}], "training", lambda _: make(TrainConfig, file.training, "training"))
        tune = self._each([file.tune], "tune", lambda table: make(Tuning, table, "tune"))[0]
        levels = self._each(file.perturbation, "perturbation", _levels)
        suite = Suite(
            name=file.name,
            about=file.about,
            seed=file.seed,
            replicates=tuple(range(file.replicates)),
            metrics=tuple(file.metrics),
            averaging=file.averaging,
            datasets=self._axis("dataset", lambda t: resolve(t, self.data_dir, self.base)),
            backbones=self._axis("backbone", _backbone),
            losses=self._axis("loss", self._loss),
            perturbations=self._distinct("perturbation", [one for many in levels for one in many]),
            floors=self._each([{}], "floors", lambda _: _floors(file.floors))[0],
            plugins=plugins,
            text=self.text,
            tune=tune,
        )
        if "tune" in file.model_fields_set and not any(entry.space for entry in suite.losses):
            missing = "tune: no loss says what to try, as in tune = { lr = [1e-3, 1e-2] }"
            raise self._error(missing, self._header("tune"))
        return replace(suite, references=self._references(suite))

    def _plugin(self, plugin: str) -> str:
        return str(self.base / plugin) if plugin.endswith(".py") else plugin

    def _loss(self, table: Table) -> Entry:
        """Split a loss's own training settings off; they stand over the suite's."""
        own = table.get("training", {})
        if not isinstance(own, dict):
            raise InputError(f"training is {own!r}; it must be a table, as in {{ lr = 1e-3 }}")
        if table.get("name") == "untrained":
            raise InputError("untrained is no loss; name what trains nothing in floors = [...]")
        settings = {key: value for key, value in table.items() if key not in ("training", "tune")}
        shared = self.file.training
        if "tune" in table:
            cap = self.file.tune.get("epochs", 0)
            return read_entry(settings, own, shared, table["tune"], cap)
        return Entry(LOSSES.build(settings), make(TrainConfig, shared | own, "training"))

    def _axis(self, kind: str, build: Callable[[Table], T]) -> tuple[T, ...]:
        return self._distinct(kind, self._each(getattr(self.file, kind), kind, build))

    def _distinct(self, kind: str, built: list[T]) -> tuple[T, ...]:
        printed = [spec(one[0]) if isinstance(one, tuple) else spec(one) for one in built]
        for at, one in enumerate(built):
            if one in built[:at] or (kind == "dataset" and printed[at] in printed[:at]):
                more = "; give two data sets two names" if kind == "dataset" else ""
                raise self._error(f"[[{kind}]] {printed[at]} stands twice{more}", None)
        return tuple(built)

    def _references(self, suite: Suite) -> tuple[Published, ...]:
        """Read the published values, and find what in the suite they are of."""
        labels = suite.labels
        levels: dict[str, list[float]] = {}
        for one in suite.perturbations:
            label = labels["perturbation"][spec_once(one, without="level")]
            levels.setdefault(label, []).append(one.level)
        grid = Grid(labels, levels, suite.ks)
        found: list[Published] = []
        self._each(
            self.file.reference,
            "reference",
            lambda table: found.extend(read_reference(table, grid, found)),
        )
        return tuple(found)

    def _each(self, tables: list[Table], kind: str, build: Callable[[Table], T]) -> list[T]:
        """Build each table, adding to an error where in the file it stands."""
        built = []
        for at, table in enumerate(tables):
            try:
                built.append(build(table))
            except InputError as error:
                line = self._table_line(kind, at, table, str(error))
                raise self._error(str(error), line) from None
        return built

    def _error(self, message: str, line: int | None) -> InputError:
        place = f"{self.where}:{line}" if line else self.where
        return InputError(f"{place}: {message}")

    def _line(self, key: str, first: int = 0) -> int | None:
        """Return the number of the first line, from `first` on, that sets or opens `key`."""
        opening = re.compile(rf"\s*(\[\[?\s*)?{re.escape(key)}\s*(\]|=|\.)")
        lines = self.text.splitlines()
        return next((at + 1 for at in range(first, len(lines)) if opening.match(lines[at])), None)

    def _header(self, kind: str, first: int = 0) -> int | None:
        """Return the number of the first line, from `first` on, that opens a table or sets it.

        A [[reference]] sets keys that are called as tables are.
        """
        opening = re.compile(rf"\s*\[\[?\s*{re.escape(kind)}\s*\]")
        lines = self.text.splitlines()
        opened = (at + 1 for at in range(first, len(lines)) if opening.match(lines[at]))
        return next(opened, None) or self._line(kind, first)

    def _table_line(self, kind: str, at: int, table: Table, message: str) -> int | None:
        """Return the line of the key that a message speaks of, else of its table's header."""
        header = self._header(kind)
        for _ in range(at):
            header = self._header(kind, header) if header else None
        if message.startswith("tune") and "tune" in table and header:
            return self._tune_line(header, table["tune"], message)
        spoken = _spoken(set(table) - {"name"}, message)
        named = "name" if table.get("name") in message.split("'") else None
        key = spoken or named
        return (self._line(key, header) if header and key else None) or header

    def _tune_line(self, header: int, tune: object, message: str) -> int:
        """Return the line of what is tuned in the loss that stands at `header`, or of its key."""
        opening = self._header("loss.tune", header)
        inline = self._line("tune", header)
        found = min((line for line in (opening, inline) if line), default=header)
        inside = tune if found == opening and isinstance(tune, dict) else ()
        key = _spoken(inside, message)
        return (self._line(key, found) if key else None) or found


def _spoken(keys: Iterable[str], message: str) -> str | None:
    """Return the key that a message names first."""
    found = {key: re.search(rf"\b{re.escape(key)}\b", message) for key in keys}
    at = {key: match.start() for key, match in found.items() if match}
    return min(at, key=at.__getitem__, default=None)


def _backbone(table: Table) -> Backbone:
    """Build a backbone that learns."""
    backbone = BACKBONES.build(table)
    if not backbone.learns:
        raise InputError(f"{backbone.name} trains nothing; name it in floors = [...] instead")
    return backbone


def _floors(names: Iterable[str]) -> tuple[Backbone, ...]:
    """Build backbones that do not learn, as they are by default."""
    built = tuple(BACKBONES.build({"name": name}) for name in dict.fromkeys(names))
    for one in built:
        if one.learns:
            known = ", ".join(name for name in BACKBONES if not BACKBONES[name].learns)
            raise InputError(f"floors holds {one.name!r}, which is trained (floors: {known})")
    return built


def _levels(table: Table) -> list[Perturbation]:
    """Build a perturbation once for each level of its sweep."""
    sweep = table.get("level")
    values = sweep if isinstance(sweep, list) else [sweep]
    if 0 not in values:
        given = "missing" if sweep is None else repr(sweep)
        raise InputError(
            f"level is {given}; it must be a list with 0 in it, the clean control that every "
            "degradation is measured against, as in level = [0, 0.1, 0.2]"
        )
    return [PERTURBATIONS.build(table | {"level": value}) for value in values]


ALLOWED = {
    "too_short": "should hold at least one",
    "dict_type": "should be a table, as in { lr = 1e-3 }",
    "string_pattern_mismatch": "should be made of lower-case letters, digits, '_', '.' and '-'",
}
"""What is allowed, where pydantic's own words would not help."""


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "missing":
        return "missing; a suite needs it"
    if error["type"] == "list_type" and isinstance(error["input"], dict):
        return f"one table; it is written [[{error['loc'][0]}]], with two brackets"
    allowed = ALLOWED.get(error["type"], str(error["msg"]).removeprefix("Input ").lower())
    return f"{error['input']!r} {allowed}"
