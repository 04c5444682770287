"""Names: what people call components, in place of the names of their code."""

from __future__ import annotations

import re

from robustbench_rec.errors import visible
from robustbench_rec.figures.page import page

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
"""Name in the code -> what people say."""
SETTINGS = {"pool=own": "own positives", "pool=held_out": "held-out positives"}
"""Setting in the code -> what people say."""


def called(label: str) -> str:
    """Return what a figure calls a component, by its label.

    `psl(activation=relu)` is PSL (relu), `softmax(tau=0.1)` is Softmax (SL, tau=0.1): words stand
    alone, numbers beside what they set. A name that is not known here stays as it is.
    """
    given = dict(page().names)
    if label in given:
        return plain(given[label])
    name, _, inside = label.partition("(")
    said = given.get(name) or NAMES.get(name, name)
    settings = [_said(one) for one in inside.removesuffix(")").split(", ") if one]
    if not settings:
        return plain(said)
    head, _, within = said.removesuffix(")").partition(" (")
    return plain(f"{head} ({', '.join([*filter(None, [within]), *settings])})")


def _said(setting: str) -> str:
    key, _, value = setting.partition("=")
    is_word = re.fullmatch(r"[A-Za-z][\w -]*", value) and value not in ("True", "False", "None")
    return SETTINGS.get(setting) or (value if is_word else f"{key}={value}")


def plain(text: str) -> str:
    """Return a text that matplotlib draws as it stands: a dollar begins no formula."""
    return visible(text).replace("$", r"\$")
