"""Usual names of components, for figures and tables, in place of names in the code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from robustbench_rec.components.labels import meant, one_meant
from robustbench_rec.experiment.shown import names_in, shown_in
from robustbench_rec.records.run import Run

NAMES = {
    "bpr": "BPR",
    "bce": "BCE",
    "mse": "MSE",
    "softmax": "Softmax (SL)",
    "ccl": "CCL",
    "drrl": "DrRL",
    "bsl": "BSL",
    "psl": "PSL",
    "sl_at_k": "SL@K",
    "advinfonce": "AdvInfoNCE",
    "llpauc": "LLPAUC",
    "gbce": "gBCE",
    "directau": "DirectAU",
    "t_ce": "T-CE",
    "r_ce": "R-CE",
    "mf": "MF",
    "lightgcn": "LightGCN",
    "xsimgcl": "XSimGCL",
    "simplex": "SimpleX",
    "negative_contamination": "false negatives",
    "hidden_positives": "hidden positives",
    "false_positives": "false positives",
    "popularity_shift": "popularity shift",
    "clean": "clean data",
    "movielens-100k": "MovieLens-100K",
    "movielens-1m": "MovieLens-1M",
    "amazon2014-beauty": "Amazon Beauty (2014)",
    "amazon2014-health": "Amazon Health (2014)",
    "amazon2014-electronic": "Amazon Electronic (2014)",
    "amazon2014-electronic-popularity": "Amazon Electronic (2014, popularity)",
}
"""Name in the code -> usual name."""
SETTINGS = {"pool=own": "own positives", "pool=held_out": "held-out positives"}
"""Setting in the code -> usual name."""
NOT_GIVEN: Mapping[str, str] = MappingProxyType({})


def named(label: str, given: Mapping[str, str] = NOT_GIVEN) -> str:
    """Return the usual name of a component.

    `psl(activation=relu)` is PSL (relu), `softmax(tau=0.1)` is Softmax (SL, tau=0.1): a setting
    that is a word is printed alone, a number with the name of the setting. Unknown names do not
    change.

    Args:
        label: the label of the component, short or full.
        given: label, or its name alone -> the name that the user gave it, which takes precedence.

    """
    if label in given:
        return given[label]
    name, _, inside = label.partition("(")
    said = given.get(name) or NAMES.get(name, name)
    settings = [_said(one) for one in inside.removesuffix(")").split(", ") if one]
    if not settings:
        return said
    head, _, within = said.removesuffix(")").partition(" (")
    return f"{head} ({', '.join([*filter(None, [within]), *settings])})"


def in_code(printed: str) -> str:
    """Return the name in the code of a usual name; "" for others."""
    wholly = (code for code, said in NAMES.items() if said.casefold() == printed.casefold())
    heads = {head(said.casefold()): code for code, said in reversed(NAMES.items())}
    return next(wholly, heads.get(head(printed.casefold()), ""))


def head(name: str) -> str:
    """Return a usual name without what stands in brackets."""
    return name.partition(" (")[0]


def _said(setting: str) -> str:
    key, _, value = setting.partition("=")
    is_word = re.fullmatch(r"[A-Za-z][\w -]*", value) and value not in ("True", "False", "None")
    return SETTINGS.get(setting) or (value if is_word else f"{key}={value}")


def given_names(run: Run) -> dict[str, str]:
    """Return short label -> the `label` that the suite of a run gives the component.

    A table of the suite that matches several components, or none, gives no name.
    """
    given = {}
    for axis, written, name in names_in(run.manifest.suite_text):
        specs = {spec: label for label, spec in run.manifest.specs.get(axis, {}).items()}
        matches = one_meant(written, specs)
        if len(matches) == 1:
            given[run.manifest.short(axis, *matches)] = name
    return given


def first_of(run: Run) -> list[str]:
    """Return the labels of the losses that a run's suite puts first, in its order."""
    return _losses_meant(run, shown_in(run.manifest.suite_text).order)


def hidden_of(run: Run) -> frozenset[str]:
    """Return the labels of the losses that a run's suite hides."""
    return frozenset(_losses_meant(run, shown_in(run.manifest.suite_text).hide))


def _losses_meant(run: Run, written: Iterable[str]) -> list[str]:
    """Return the labels of the losses that texts in the suite match."""
    specs = {spec: label for label, spec in run.manifest.specs.get("loss", {}).items()}
    return [label for one in written for label in meant(one, specs)]
