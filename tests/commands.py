"""The command line as this interpreter runs it."""

import sys


def command_line(*arguments: object) -> list[str]:
    """Return the words that start `robustbench-rec ARGUMENTS`."""
    return [sys.executable, "-m", "robustbench_rec", *map(str, arguments)]
