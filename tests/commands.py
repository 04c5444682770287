"""The command line as this interpreter runs it: in a process of its own, or in this one."""

import subprocess
import sys

import plugins
import pytest
from click.testing import CliRunner

from robustbench_rec.cli.main import main


def command_line(*arguments: object) -> list[str]:
    """Return the words that start `robustbench-rec ARGUMENTS`."""
    return [sys.executable, "-m", "robustbench_rec", *map(str, arguments)]


def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `robustbench-rec ARGUMENTS` in this process, and forget its plugins.

    Trainings run here too, unless another engine is named.
    """
    words = [str(word) for word in arguments]
    words += ["--engine", "serial"] if words[0] == "run" and "--engine" not in words else []
    with pytest.MonkeyPatch.context() as patch, plugins.forgotten():
        patch.setattr(sys, "argv", ["robustbench-rec", *words])
        done = CliRunner().invoke(main, words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)
