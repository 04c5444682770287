"""Suites that nobody writes: each is read, or refused in one line that a terminal only prints."""

import cProfile
import json
import os
import pstats

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustbench_rec import InputError
from robustbench_rec.experiment.suite_file import LARGEST_FILE, load_suite

WHOLE = """\
name = "tiny"
about = "what it is"
seed = 3
replicates = 2
replicates_vary = "split"
metrics = ["ndcg@20", "recall@10"]
baselines = ["popularity"]
training = { epochs = 1, lr = 1e-2 }

[tune]
trials = 2

[[dataset]]
name = "synthetic"
n_users = 60
n_items = 50
positives = 20

[[backbone]]
name = "mf"
dim = 4

[[loss]]
name = "softmax"
tau = 0.2
training = { lr = 1e-3 }
tune = { n_negatives = [10, 20] }

[[loss]]
name = "bpr"

[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.2]

[[reference]]
source = "nobody"
loss = "bpr"
metric = "ndcg@20"
value = 0.1

[[claim]]
says = "A keeps more"
kind = "keeps-more"
loss = "softmax"
than = "bpr"
perturbation = "hidden_positives"
"""
REST = WHOLE.partition("[tune]")[2]


@pytest.fixture
def refused(tmp_path):
    def refuse(text: str | bytes) -> str:
        path = tmp_path / "s.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(InputError) as caught:
            load_suite(path)
        says = str(caught.value).removeprefix(str(path))
        assert says.isprintable()
        return says

    return refuse


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("seed = 3", "seed = 9" + "9" * 5000, ": not TOML: a whole number of more than 64 bits"),
        ("seed = 3", "seed = 0x" + "f" * 5000, ":3: seed is a whole number of more than 64 bits"),
        ("epochs = 1", "epochs = 99999999999999999999", ":8: epochs is a whole number of more tha"),
        ("= 2\nrep", "= 1000000000000\nrep", ":4: replicates: 1000000000000 should be less than o"),
        ('"synthetic"', '"mine\\n"', ":14: data set name 'mine\\n' must match ^"),
        ('"what it is"', '"\\u001b[2J"', ":2: about is '\\x1b[2J'; it holds a character that is n"),
        (
            "[0.0, 0.2]",
            "[0.0, 0.2, 0.2000000000000001]",
            "(level=0.2) is given twice (numbers equal to 12",
        ),
        (
            'name = "bpr"',
            'name = "bpr"\n[[loss]]\nname = "bpr"',
            "[[loss]] bpr(n_negatives=1, score=dot) stands twice",
        ),
        ("seed = 3", ".".join(["a"] * 50_000) + " = 3", ": not TOML of a suite: line 3 has a key"),
        ("seed = 3", "a" * 500_000 + " = 3", ":3: unknown key 'aaaa"),
        ("seed = 3", "seed = " + "[" * 100_000, ": not TOML: maximum recursion depth exceeded"),
    ],
)
def test_what_no_suite_holds_is_refused_in_one_line(refused, old, new, says):
    assert old in WHOLE
    text = WHOLE.replace(old, new, 1)
    assert says in refused(text)


def test_more_cells_than_anybody_runs_are_refused_by_their_number(refused):
    levels = ", ".join(f"{0.01 * at:.2f}" for at in range(61))
    text = WHOLE.replace("[0.0, 0.2]", f"[{levels}]").replace(
        "replicates = 2\n", "replicates = 9000\n"
    )
    assert refused(text).startswith(": 1,647,000 cells; a suite has at most 1,000,000")


@pytest.mark.parametrize("path", ["a\0b.toml", "a" * 300 + ".toml", ".toml"])
def test_what_is_no_path_is_told(path):
    with pytest.raises(InputError, match=r"give a suite's name or a \.toml file"):
        load_suite(path)


def test_what_is_no_file_is_not_read(tmp_path):
    fifo, loop, device = (tmp_path / f"{name}.toml" for name in ("fifo", "loop", "device"))
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    device.symlink_to("/dev/zero")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match=r"is a system file .* give another file"):
        load_suite(str(device))
    for path in (fifo, tmp_path / "folder.toml"):
        with pytest.raises(InputError, match="is not a file; give a suite's name or a"):
            load_suite(path)
    with pytest.raises(InputError, match=r"[Ss]ymlink loop|symbolic links"):
        load_suite(loop)
    (tmp_path / "large.toml").write_bytes(b"#" * (LARGEST_FILE + 1))
    with pytest.raises(InputError, match="larger than 1 MiB"):
        load_suite(tmp_path / "large.toml")


def test_losses_are_read_in_proportion_to_their_number(tmp_path):
    head, _, tail = WHOLE.replace("[tune]\ntrials = 2\n", "").partition(
        '[[loss]]\nname = "softmax"'
    )
    end = tail[tail.index("[[perturb") : tail.index("[[reference]]")]

    def calls(n: int) -> int:
        rates = (f"{1e-6 * (at + 1):g}" for at in range(n))
        losses = "".join(f'[[loss]]\nname = "bpr"\ntraining = {{ lr = {one} }}\n' for one in rates)
        path = tmp_path / f"{n}.toml"
        path.write_text(head + losses + end)
        with cProfile.Profile() as counted:
            suite = load_suite(path)
            assert len(set(suite.labels["loss"].values())) == n + 1  # of baselines too
        return pstats.Stats(counted).total_calls

    calls(10)  # what is imported and held once
    assert calls(400) - calls(10) < 2.5 * (calls(200) - calls(10))  # the square would be 4


ODD = """1e400 -0.0 nan -inf true [] {} [[]] "" "\\u0000" 0 -1 9223372036854775807 1979-05-27
07:32:00 [{}] ["a",1] {a="b"} [nan] {low=0,high=1} {low=nan,high=1.0} [0.0,1e-320] 1e308 '~'"""
LITERALS = st.one_of(
    st.sampled_from(ODD.split()),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=8).map(json.dumps),
)


@st.composite
def suites(draw):
    """Change some values of a whole suite, drop or double some lines, or flip some bytes."""
    lines = WHOLE.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["value", "value", "value", "key", "drop", "double", "bytes"]))
        key, equals, value = lines[at].partition(" = ")
        if kind == "value" and equals:
            lines[at] = f"{key} = {draw(LITERALS)}"
        elif kind == "key" and equals:
            other = draw(st.sampled_from(lines)).partition(" = ")[0]
            lines[at] = f"{other} = {value}"
        elif kind == "drop":
            lines[at] = ""
        elif kind == "double":
            lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
        elif kind == "bytes":
            lines[at] += draw(st.text(max_size=6))
    return "\n".join(lines)


@pytest.mark.fuzz
@settings(
    max_examples=1500, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=suites())
def test_a_changed_suite_is_read_or_refused_in_one_line(tmp_path, text):
    path = tmp_path / "s.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    refused = ""
    try:
        suite = load_suite(path)
        if suite.n_cells < 1000:
            cells = suite.cells(dict.fromkeys(suite.datasets, "whole"))
            assert len({cell.id for cell in cells}) == suite.n_cells
    except InputError as error:
        refused = str(error)
    assert refused.isprintable()
    assert len(refused) < 1100
