"""Losses that fail, each in its way: the text of a plugin."""

ODD_LOSSES = """
import ctypes
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from robustbench_rec import LOSSES, Loss


@LOSSES.add("endless")
@dataclass(frozen=True, kw_only=True)
class Endless(Loss):
    "Never ends, and lets no thread of its process run."

    source = "a test"

    def __call__(self, batch):
        ctypes.PyDLL(None).sleep(600)


@LOSSES.add("deadly")
@dataclass(frozen=True, kw_only=True)
class Deadly(Loss):
    "Kills its process."

    source = "a test"

    def __call__(self, batch):
        os.kill(os.getpid(), signal.SIGKILL)


@LOSSES.add("breaks")
@dataclass(frozen=True, kw_only=True)
class Breaks(Loss):
    "Fails."

    source = "a test"

    def __call__(self, batch):
        raise ValueError("it breaks")


@LOSSES.add("held")
@dataclass(frozen=True, kw_only=True)
class Held(Loss):
    "Waits as long as the file `hold` is beside this one."

    source = "a test"

    def __call__(self, batch):
        Path(__file__).with_name("holding").touch()
        while Path(__file__).with_name("hold").exists():
            time.sleep(0.05)
        return batch.pos.sum() * 0 + (batch.neg - batch.pos[:, None]).mean()
"""
