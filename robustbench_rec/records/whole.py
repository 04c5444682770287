"""Reading one JSON file of a run: whole, or not at all.

A file is whole if it parses, holds what its name says, and matches the checksum of its own text.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from robustbench_rec.experiment.study import StudyOutcome
from robustbench_rec.records.files import contents, has_valid_checksum
from robustbench_rec.records.manifest import Manifest
from robustbench_rec.records.old_forms import Plain, is_of_today, record_of_today
from robustbench_rec.records.record import Record, Trial

Written = TypeVar("Written", Record, Trial, StudyOutcome)
Kind = TypeVar("Kind", Manifest, Record, Trial, StudyOutcome)


def read_whole(kind: type[Written], path: Path, of_today: bool) -> Written:
    """Read a file; one `of_today` must have a checksum.

    Raises:
        OSError, ValueError, RecursionError: it cannot be read, or is not whole.

    """
    text = contents(path)
    found = parsed(kind, text, record_of_today)
    if found.id != path.stem:
        raise ValueError(f"it is the record of {found.id}")
    if of_today and not found.checksum:
        raise ValueError("it has no checksum")
    if found.checksum and not has_valid_checksum(text, found.checksum):
        raise ValueError("its checksum does not match, so it was changed")
    return found


def parsed(kind: type[Kind], text: bytes, of_today: Callable[[Plain], Plain]) -> Kind:
    """Parse JSON and convert it to today's form; ValueError if that fails."""
    with suppress(ValidationError):  # in one go, which takes a third of the time
        found = kind.model_validate_json(text)
        if is_of_today(found):
            return found
    held = json.loads(text)
    if not isinstance(held, dict):
        raise ValueError("it is not a table")
    return kind.model_validate(of_today(held))


def fault(error: Exception) -> str:
    """Return the first reason, on one line, why a file is invalid."""
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    first = error.errors()[0]
    at = " ".join(".".join(map(str, first["loc"])).split())
    if first["type"] == "missing":
        return f"it lacks {at!r}"
    told = " ".join(first["msg"].split()).lower()
    return f"{at}: {told}" if at else told
