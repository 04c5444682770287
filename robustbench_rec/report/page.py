"""The page as one HTML file: the template, its style and script, and the content as JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment

from robustbench_rec import __version__

TEMPLATES = files("robustbench_rec.report") / "templates"
IN_SCRIPT = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
"""Characters that could end a script, as JSON may write them instead."""


def page(content: Mapping[str, Any]) -> str:
    """Return the page of a content, which needs no other file and no network.

    The content security policy allows this style and this script, by their digests, and nothing
    else; the script reads the content as text.
    """
    style, script = _text("page.css"), script_text()
    return (
        _environment()
        .from_string(_text("page.html"))
        .render(
            title=content["title"],
            version=__version__,
            policy=policy(style, script),
            style=style,
            script=script,
            content=as_json(content),
        )
    )


def policy(style: str, script: str) -> str:
    """Return the content security policy; `img-src data:` is for PNG made from charts."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def as_json(content: Mapping[str, Any]) -> str:
    """Return content as JSON that stands in a script as it is."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(IN_SCRIPT)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def script_text() -> str:
    """Return the script: its parts, one function around all, in the order of their names."""
    parts = sorted((TEMPLATES / "script").iterdir(), key=lambda part: part.name)
    return "".join(part.read_text(encoding="utf-8") for part in parts)


@cache
def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(autoescape=True, keep_trailing_newline=True)
