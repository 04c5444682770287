"""Suite files: TOML becomes a suite, and every mistake a one-line message with its line number."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from stat import S_ISREG
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robustbench_rec.components.backbone import BACKBONES, Backbone
from robustbench_rec.components.dataset import DATASETS, Dataset
from robustbench_rec.components.labels import spec_once
from robustbench_rec.components.loss import LOSSES
from robustbench_rec.components.perturbation import PERTURBATIONS, Perturbation
from robustbench_rec.components.registry import NAME, load_plugins, make, placed_plugin
from robustbench_rec.components.settings import spec
from robustbench_rec.data.catalog import default_data_dir, resolve
from robustbench_rec.data.source import refuse_of_system
from robustbench_rec.errors import InputError, Place, nearest, placed
from robustbench_rec.evaluation.metrics import Averaging, try_out
from robustbench_rec.experiment.cell import Selection, Varies
from robustbench_rec.experiment.claim import Claim, read_claim
from robustbench_rec.experiment.reference import Grid, Published, read_reference
from robustbench_rec.experiment.search_space import Entry, Tuning, read_entry
from robustbench_rec.experiment.shown import check_shown, without_label
from robustbench_rec.experiment.suite import Suite
from robustbench_rec.training.config import TrainConfig

LARGEST_FILE = 1 << 20
MOST_REPLICATES, MOST_CELLS = 10_000, 1_000_000
LONG_KEY = re.compile(
    r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[^\S\n]*+\.[^\S\n]*+){20}"""
)
"""A key with so many dotted parts is refused: reading it takes quadratic time."""
INT64 = 2**63
T = TypeVar("T")
Table = dict[str, Any]


class _File(BaseModel):
    """The keys of a suite file; the components check the contents of the tables."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str = Field(pattern=NAME.pattern)
    about: str = ""
    seed: int = Field(default=0, ge=0)
    replicates: int = Field(default=1, ge=1, le=MOST_REPLICATES)
    replicates_vary: Varies = "split"
    selection: Selection = "clean"
    metrics: list[str] = Field(default=["ndcg@20", "recall@20"], min_length=1)
    averaging: Averaging = "test-users"
    baselines: list[str] = ["popularity", "random"]
    plugins: list[str] = []
    training: Table = {}
    tune: Table = {}
    dataset: list[Table] = Field(min_length=1)
    backbone: list[Table] = Field(min_length=1)
    loss: list[Table] = Field(min_length=1)
    perturbation: list[Table] = Field(default=[{"name": "clean", "level": [0]}], min_length=1)
    reference: list[Table] = []
    claim: list[Table] = []
    figures: Table = {}


def load_suite(
    name_or_path: str | Path, data_dir: Path | None = None, plugins: Sequence[str] = ()
) -> Suite:
    """Read a suite by its name or from a .toml file.

    Args:
        name_or_path: a shipped suite's name, or a path.
        data_dir: the folder of the data sets; the default folder if None.
        plugins: files or modules to import, besides those of the suite.

    Raises:
        InputError: an unknown suite, key, name or value; one line with the file, the line number if
            known, the mistake and the allowed values.

    """
    load_plugins(plugins)
    plugins = [placed_plugin(plugin) for plugin in plugins]
    file = locate_suite_file(str(name_or_path))
    with _with_location(file):
        table = _parsed(file)
        return _Reader(table, file, data_dir or default_data_dir()).suite(tuple(plugins))


def shipped() -> dict[str, str]:
    """Return the suites that come with the package: name -> text of the file."""
    folder = files("robustbench_rec.suites")
    found = (entry for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in sorted(found, key=lambda entry: entry.name)
    }


@dataclass(frozen=True)
class SuiteFile:
    """A suite file and its text.

    Attributes:
        called: its name in messages.
        text: its text.
        base: the folder to which its paths are relative.

    """

    called: str
    text: str
    base: Path


def locate_suite_file(name_or_path: str) -> SuiteFile:
    """Find a suite file and read its text; InputError if it is missing or not text."""
    if not name_or_path.endswith(".toml"):
        suites = shipped()
        if name_or_path not in suites:
            raise InputError(
                f"no suite named {name_or_path!r}{nearest(name_or_path, suites)} "
                f"(known: {', '.join(suites)}; or give the path of a .toml file)"
            )
        return SuiteFile(f"{name_or_path}.toml", suites[name_or_path], Path.cwd())
    path = Path(name_or_path)
    usage = "give a suite's name or a .toml file"
    try:
        refuse_of_system(path)
        held = path.stat()
        text = path.read_bytes() if S_ISREG(held.st_mode) and held.st_size <= LARGEST_FILE else b""
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # of a path that no file can have
        raise InputError(f"{path}: {getattr(error, 'strerror', error)}; {usage}") from None
    if not S_ISREG(held.st_mode):
        raise InputError(f"{path} is not a file; {usage}")
    if held.st_size > LARGEST_FILE:
        raise InputError(f"{path}: larger than 1 MiB; a suite file is a page of TOML")
    try:
        told = text.decode("utf-8-sig").replace("\r\n", "\n")
        return SuiteFile(str(path), told, path.resolve().parent)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None


@contextmanager
def _with_location(file: SuiteFile) -> Iterator[None]:
    """Add the file, and the line number if known, to an InputError."""
    try:
        yield
    except InputError as error:
        line = line_of(file.text, error.at)
        where = f"{file.called}:{line}" if line else file.called
        raise InputError(f"{where}: {error}", error.at) from None


def line_of(text: str, at: Place) -> int | None:
    """Return the line, from 1, where a TOML text sets a place, else the line of its container.

    The line of a header or key is the first that sets its path; inside an inline table or list it
    is the line of the key with this value.
    """
    ends = [at[:length] for length in range(len(at), 0, -1)]
    lines: dict[Place, int] = {}
    for place, line in _places(text):
        lines.setdefault(place, line)
    return next((lines[end] for end in ends if end in lines), None)


HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
INLINE = re.compile(r"""[{,]\s*([\w-]+|"[^"]*"|'[^']*')\s*=""")


def _places(text: str) -> Iterator[tuple[Place, int]]:
    """Yield the places that a TOML text sets, each with its line."""
    table: Place = ()
    count: dict[Place, int] = {}
    quoted = False
    for line, content in enumerate(text.splitlines(), 1):
        if not quoted and (header := HEADER.match(content)):
            table = _opened(_parts(header[2]), header[1] == "[[", count)
            yield from ((table[:end], line) for end in range(1, len(table) + 1))
        elif not quoted and (key := KEY.match(content)):
            place = (*table, *_parts(key[1]))
            yield place, line
            for inside in INLINE.finditer(content, key.end()):
                yield (*place, *_parts(inside[1])), line
        quoted ^= (content.count('"""') + content.count("'''")) % 2 == 1


def _opened(names: Place, is_array: bool, count: dict[Place, int]) -> Place:
    """Return the place of a table from its header; arrays of tables are counted."""
    place: Place = ()
    for name in names[:-1]:
        place = (*place, name)
        place = (*place, count[place]) if place in count else place
    place = (*place, names[-1])
    if is_array:
        count[place] = count.get(place, -1) + 1
    return (*place, count[place]) if place in count else place


def _parts(dotted: str) -> Place:
    """Split a key of TOML at its dots, without the quotes."""
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _parsed(file: SuiteFile) -> _File:
    """Check the keys of a suite file and the types of their values."""
    if (long := LONG_KEY.search(file.text)) is not None:
        line = file.text.count("\n", 0, long.start()) + 1
        raise InputError(f"not TOML of a suite: line {line} has a key of 20 parts or more")
    try:
        table = tomllib.loads(file.text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"not TOML: {error}") from None
    except ValueError:  # Python's own bound on digits
        raise InputError("not TOML: a whole number of more than 64 bits") from None
    _check_values(table)
    for key in table:
        if key not in _File.model_fields:
            allowed, close = ", ".join(_File.model_fields), nearest(key, _File.model_fields)
            raise InputError(f"unknown key {key!r}{close} (allowed: {allowed})", (key,))
    try:
        return _File.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        at = () if first["type"] == "missing" else first["loc"]
        raise InputError(f"{first['loc'][0]}: {_reason(first)}", at) from None


def _check_values(value: Any, at: Place = ()) -> None:
    """Refuse values that TOML or our messages cannot represent, at any depth."""
    if isinstance(value, dict | list):
        for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
            _check_values(inside, (*at, key))
    elif isinstance(value, int) and not -INT64 <= value < INT64:
        raise InputError(f"{at[-1]} is a whole number of more than 64 bits", at)
    elif isinstance(value, str) and not value.replace("\n", "").replace("\t", "").isprintable():
        raise InputError(f"{at[-1]} is {value!r}; it holds a character that is not printable", at)


class _Reader:
    """Builds the components in the tables of a suite file."""

    def __init__(self, file: _File, found: SuiteFile, data_dir: Path) -> None:
        self.file, self.text, self.base = file, found.text, found.base
        self.data_dir = data_dir

    def suite(self, plugins: tuple[str, ...]) -> Suite:
        file = self.file
        own = tuple(self._plugin(plugin) for plugin in file.plugins)
        with placed("plugins"):
            load_plugins(own)
        with placed("metrics"):
            try_out(file.metrics)
        with placed("training"):
            make(TrainConfig, file.training, "training")
        with placed("tune"):
            tune: Tuning = make(Tuning, file.tune, "tune")
        with placed("baselines"):
            baselines = _baselines(file.baselines)
        suite = Suite(
            name=file.name,
            about=file.about,
            seed=file.seed,
            replicates=tuple(range(file.replicates)),
            replicates_vary=file.replicates_vary,
            selection=file.selection,
            metrics=tuple(file.metrics),
            averaging=file.averaging,
            datasets=self._axis("dataset", self._dataset),
            backbones=self._axis("backbone", _backbone),
            losses=self._axis("loss", self._loss),
            perturbations=self._axis("perturbation", _levels),
            baselines=baselines,
            plugins=tuple(plugins) + own,
            text=self.text,
            tune=tune,
        )
        if suite.n_cells > MOST_CELLS:
            raise InputError(f"{suite.n_cells:,} cells; a suite has at most {MOST_CELLS:,}")
        if "tune" in file.model_fields_set and not any(entry.space for entry in suite.losses):
            missing = "tune: no loss has candidates, as in tune = { lr = [1e-3, 1e-2] }"
            raise InputError(missing, ("tune",))
        grid = _grid(suite)
        with placed("figures"):
            check_shown(file.figures, suite.labels["loss"], file.metrics)
        return replace(suite, references=self._references(grid), claims=self._claims(grid))

    def _plugin(self, plugin: str) -> str:
        return str(self.base / plugin) if plugin.endswith(".py") else plugin

    def _axis(self, kind: str, build: Callable[[Table], list[T]]) -> tuple[T, ...]:
        """Build the component of each table of a kind; duplicates are refused."""
        built: dict[str, T] = {}
        names: list[str] = []
        for at, table in enumerate(getattr(self.file, kind)):
            with placed(kind, at):
                for one in build(without_label(table, names)):
                    printed = one.text if isinstance(one, Entry) else spec(one)
                    if printed in built:
                        _refuse_repeated(one, built[printed], kind)
                    built[printed] = one
        return tuple(built.values())

    def _dataset(self, table: Table) -> list[Dataset]:
        if table.get("name") in DATASETS:
            return [resolve(table, self.data_dir, self.base)]
        with placed("name"):  # what may be wrong is that there are no such data
            return [resolve(table, self.data_dir, self.base)]

    def _loss(self, table: Table) -> list[Entry]:
        """Build a loss; its training settings override the suite's."""
        own = table.get("training", {})
        if not isinstance(own, dict):
            wanted = f"training is {own!r}; it must be a table, as in {{ lr = 1e-3 }}"
            raise InputError(wanted, ("training",))
        settings = {key: value for key, value in table.items() if key not in ("training", "tune")}
        shared = self.file.training
        if "tune" in table:
            cap = self.file.tune.get("epochs", 0)
            entry = read_entry(settings, own, shared, table["tune"], cap)
        else:
            loss = LOSSES.build(settings)
            with placed("training"):
                entry = Entry(loss, make(TrainConfig, shared | own, "training"))
        if not entry.loss.learns:
            name = entry.loss.name
            message = f"{name} cannot be chosen as a loss; name baselines in baselines = [...]"
            raise InputError(message, ("name",))
        return [entry]

    def _references(self, grid: Grid) -> tuple[Published, ...]:
        """Read the published values, with full labels of the suite."""
        found: list[Published] = []
        for at, table in enumerate(self.file.reference):
            with placed("reference", at):
                found.extend(read_reference(table, grid, found))
        return tuple(found)

    def _claims(self, grid: Grid) -> tuple[Claim, ...]:
        """Read the claims, with full labels of the suite."""
        found = []
        for at, table in enumerate(self.file.claim):
            with placed("claim", at):
                found.append(read_claim(table, grid))
        return tuple(found)


def _grid(suite: Suite) -> Grid:
    """Return the grid of a suite, for references and claims."""
    labels = suite.labels
    levels: dict[str, list[float]] = {}
    for one in suite.perturbations:
        label = labels["perturbation"][spec_once(one, without="level")]
        levels.setdefault(label, []).append(one.level)
    return Grid(labels, levels, suite.ks)


def _refuse_repeated(one: object, before: object, kind: str) -> NoReturn:
    """Raise the InputError for a component that prints like an earlier one."""
    printed = spec(one.loss) if isinstance(one, Entry) else spec(one)
    if one == before:
        raise InputError(f"[[{kind}]] {printed} is given twice")
    if kind == "dataset":
        raise InputError(f"[[{kind}]] {printed} is given twice; give two data sets two names")
    raise InputError(f"[[{kind}]] {printed} is given twice (numbers equal to 12 digits)")


def _backbone(table: Table) -> list[Backbone]:
    """Build a backbone that is trained."""
    backbone = BACKBONES.build(table)
    if not backbone.learns:
        message = f"{backbone.name} trains nothing; name it in baselines = [...] instead"
        raise InputError(message, ("name",))
    return [backbone]


def _baselines(names: Iterable[str]) -> tuple[Backbone, ...]:
    """Build baselines with their default settings."""
    built = tuple(BACKBONES.build({"name": name}) for name in dict.fromkeys(names))
    for one in built:
        if one.learns:
            known = ", ".join(name for name in BACKBONES if not BACKBONES[name].learns)
            raise InputError(f"baselines has {one.name!r}, which is trained (baselines: {known})")
    return built


def _levels(table: Table) -> list[Perturbation]:
    """Build a perturbation for each level of its sweep."""
    sweep = table.get("level")
    values = sweep if isinstance(sweep, list) else [sweep]
    if 0 not in values:
        given = "missing" if sweep is None else repr(sweep)
        raise InputError(
            f"level is {given}; it must be a list that includes 0, the clean control of every "
            "degradation, as in level = [0, 0.1, 0.2]",
            ("level",),
        )
    return [PERTURBATIONS.build(table | {"level": value}) for value in values]


ALLOWED = {
    "too_short": "should hold at least one",
    "dict_type": "should be a table, as in { lr = 1e-3 }",
    "string_pattern_mismatch": "should be made of lower-case letters, digits, '_', '.' and '-'",
}
"""Our messages in place of pydantic's unclear ones."""


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "missing":
        return "missing; a suite needs it"
    if error["type"] == "list_type" and isinstance(error["input"], dict):
        return f"one table; it is written [[{error['loc'][0]}]], with two brackets"
    allowed = ALLOWED.get(error["type"], str(error["msg"]).removeprefix("Input ").lower())
    return f"{error['input']!r} {allowed}"
