"""What plugins and the current folder may do: a cell fails by name, and nothing else is touched.

Whole commands are marked `faults`; test_overheard.py has what warns and prints in one process.
"""

import sys

import pytest
from tiny import WORLD

from robustbench_rec.records.run import read_run

PLUGIN = """
import logging, os, signal, sys, warnings
from dataclasses import dataclass
from robustbench_rec import PERTURBATIONS, Perturbation

print("imported \\x1b[2J")
warnings.warn("at\\nimport \\x1b[2J")
os.chdir("/")

class Own(BaseException):
    "No error that anybody expects."

class Mute(Exception):
    "One that cannot even be printed."

    def __str__(self):
        raise ValueError("no")

def adder(name, act):
    @PERTURBATIONS.add(name)
    @dataclass(frozen=True)
    class Hostile(Perturbation):
        "Does what it should not."
        unit = "nothing"

        def apply(self, split, rng):
            act(split)
            return split

def interrupts(split):
    raise KeyboardInterrupt("mine")

def exits(split):
    sys.exit(0)

def closes(split):
    raise GeneratorExit("mine")

def raises(split):
    raise Own("mine \\x1b]0;title\\x07" + "long " * 1000)

def mutes(split):
    raise Mute

def writes(split):
    split.train.users.setflags(write=True)

def moves(split):
    os.chdir("/")

def prints(split):
    print("printed \\x1b[2J")
    print("complained \\x1b[2J", file=sys.stderr)

def shuts(split):
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        stream.close()

def cuts(split):
    os.close(1)
    os.close(2)

def warns(split):
    for _ in range(3):
        warnings.warn("of\\ntwo lines \\x1b[2J" + "long " * 1000)
    logging.getLogger("theirs").error("in\\ntwo lines %s", "\\x1b[2J")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.exception("tried")

def signals(split):
    signal.raise_signal(signal.SIGINT)

acts = (interrupts, exits, closes, raises, mutes, writes, moves, prints)
for act in (*acts, shuts, cuts, warns, signals):
    adder(act.__name__, act)
"""
ACTS = ("shuts", "cuts", "interrupts", "exits", "closes", "raises", "mutes", "writes", "moves")
ACTS += ("prints", "warns")
SUITE = (
    """
name = "tiny"
plugins = ["hostile.py"]
baselines = []
training = {{ epochs = 1 }}
"""
    + WORLD
    + """{perturbations}
"""
)


@pytest.mark.faults
@pytest.mark.parametrize("engine", ["loky", "serial"])
def test_whatever_a_plugin_does_its_cell_fails_alone_and_by_name(tmp_path, command, engine):
    acts = [act for act in ACTS if engine == "loky" or act != "interrupts"]  # there it is Ctrl-C
    (tmp_path / "hostile.py").write_text(PLUGIN)
    tables = "".join(f'[[perturbation]]\nname = "{act}"\nlevel = [0, 1]\n' for act in acts)
    (tmp_path / "tiny.toml").write_text(SUITE.format(perturbations=tables))
    words = ("--no-figures", "--out", "out", "--engine", engine, "--jobs", "1")
    done = command("run", "tiny.toml", *words)
    assert done.returncode == 3, done.stderr
    failed = {
        title.split(" level ")[0].split()[-1]: why
        for title, why in read_run(tmp_path / "out").summary.failed.values()
    }
    expected = {
        "interrupts": "KeyboardInterrupt: mine",
        "exits": "SystemExit: 0",
        "closes": "GeneratorExit: mine",
        "raises": "Own: mine  ]0;title long long",
        "mutes": "Mute: a message that cannot be printed",
        "writes": "ValueError: Hostile.apply: cannot set WRITEABLE flag to True",
    }
    assert failed.keys() == expected.keys() & set(acts)
    for act, why in failed.items():
        assert why.startswith(expected[act])
    assert f"cells done, {len(failed)} failed: out" in done.stdout
    warned = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    called = "warning: synthetic mf bpr warns level 1 replicate 0: "
    assert warned[0].endswith("hostile.py': UserWarning: at import  [2J (hostile.py, line 7)")
    assert [line.removeprefix(called)[:40] for line in warned[1:]] == [
        f"UserWarning: of two lines  [2J{'long ' * 2}",
        "theirs logs: in two lines  [2J",
        "root logs: tried (ZeroDivisionError: div",
    ]
    told = done.stdout + done.stderr
    assert "printed  [2J" in told
    assert "complained  [2J" in told
    assert "imported  [2J" in told
    assert not {char for char in told if ord(char) < 32} - set("\n\t\r")
    assert max(map(len, told.splitlines())) < 1500
    beside = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}  # Python's own
    assert beside == {"hostile.py", "out", "tiny.toml"}


@pytest.mark.faults
def test_a_signal_of_a_plugin_in_this_process_is_ctrl_c(tmp_path, command):
    (tmp_path / "hostile.py").write_text(PLUGIN)
    tables = '[[perturbation]]\nname = "signals"\nlevel = [0, 1]\n'
    (tmp_path / "tiny.toml").write_text(SUITE.format(perturbations=tables))
    done = command("run", "tiny.toml", "--no-figures", "--out", "out", "--engine", "serial")
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1].startswith("robustbench-rec: interrupted; finished work")
    assert "Traceback" not in done.stderr
    assert read_run(tmp_path / "out").summary.done == 1


NAMES = (
    "threading json random uuid struct numpy torch pandas joblib numba select socket signal "
    "tempfile shutil subprocess queue pickle inspect ast tokenize typing enum copy types weakref "
    "heapq bisect hashlib datetime platform logging csv math statistics secrets string textwrap "
    "glob click filelock pydantic scipy"
)
VERBS = (
    "list losses",
    "show bpr",
    "data list",
    "run tiny.toml --out one --engine serial --no-figures",
    "status one",
    "rank one",
)
PROCESSES = (
    "run tiny.toml --out two --engine loky --jobs 1",
    "merge one two --out three",
)
"""Commands that start workers, and helpers that draw."""


@pytest.mark.parametrize(
    "verbs",
    [
        pytest.param(VERBS, id="one process"),
        pytest.param((*VERBS, *PROCESSES), id="many", marks=pytest.mark.faults),
    ],
)
def test_no_module_of_the_current_folder_is_run(tmp_path, command, verbs):
    for name in NAMES.split():
        note = f"open({str(tmp_path / 'RAN')!r}, 'a').write({name!r} + ' ')"
        (tmp_path / f"{name}.py").write_text(note)
    clean = '[[perturbation]]\nname = "hidden_positives"\nlevel = [0, 0.2]\n'
    suite = SUITE.replace('plugins = ["hostile.py"]\n', "").format(perturbations=clean)
    (tmp_path / "tiny.toml").write_text(suite)
    code = (
        "from robustbench_rec.cli.main import main\n"
        f"for words in {verbs!r}: main(words.split(), standalone_mode=False)"
    )
    done = command(script=[sys.executable, "-P", "-c", code])  # as the installed command starts
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "RAN").exists(), (tmp_path / "RAN").read_text()


@pytest.mark.faults
def test_where_nothing_can_be_kept_it_runs_and_says_so_once(tmp_path, command, monkeypatch):
    (tmp_path / "home").write_text("no folder")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "temporary").mkdir()  # of this run alone
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    clean = '[[perturbation]]\nname = "hidden_positives"\nlevel = [0, 0.2]\n'
    suite = SUITE.replace('plugins = ["hostile.py"]\n', "").format(perturbations=clean)
    (tmp_path / "tiny.toml").write_text(suite)
    part = ("--only", "level=0", "--jobs", 2)  # one worker trains, as it compiles for long
    done = command("run", "tiny.toml", "--no-figures", "--out", "out", *part)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot hold compiled code") == 1
    assert not list((tmp_path / "temporary").glob("robustbench-rec-*"))
