"""Suites: what loads, which cells it means, and one teaching line for every mistake."""

import json
import tomllib
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from robustbench_rec import InputError
from robustbench_rec.experiment import suite_file
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.suite import Suite
from robustbench_rec.experiment.suite_file import LARGEST_FILE, load_suite, shipped

SUITE = """\
name = "tiny"
about = "Small."
seed = 0
replicates = 2
metrics = ["ndcg@20", "recall@20"]
training = { epochs = 1, lr = 1e-2 }
baselines = []

[[dataset]]
name = "synthetic"
n_users = 60
n_items = 50
positives = 20

[[backbone]]
name = "mf"
dim = 4
init_std = 0.1

[[loss]]
name = "bpr"

[[loss]]
name = "softmax"
tau = 0.2
training = { lr = 1e-3 }

[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.5]

[[perturbation]]
name = "popularity_shift"
level = [0, 1]
"""


def line_of(text: str, among: str = SUITE) -> int:
    """Return the number of the first line that starts with `text`."""
    return 1 + next(at for at, line in enumerate(among.splitlines()) if line.startswith(text))


def load(folder: Path, *changes: tuple[str, str], text: str = SUITE) -> Suite:
    """Load the suite with some of its text replaced."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
        text = text.replace(old, new)
    path = folder / "tiny.toml"
    path.write_text(text, encoding="utf-8")
    return load_suite(str(path), folder / "data")


def cells_of(folder: Path, *changes: tuple[str, str], fingerprint: str = "f") -> list[Cell]:
    suite = load(folder, *changes)
    return suite.cells(dict.fromkeys(suite.datasets, fingerprint))


def ids(cells: list[Cell]) -> set[str]:
    return {cell.id for cell in cells}


def refused(folder: Path, *changes: tuple[str, str], text: str = SUITE) -> str:
    """Return the one line that says why a changed suite is refused, less the path of its file."""
    with pytest.raises(InputError) as caught:
        load(folder, *changes, text=text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(folder / "tiny.toml"))
    return message.removeprefix(str(folder / "tiny.toml"))


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_suite_loads_and_has_a_clean_control_everywhere(name, tmp_path):
    suite = load_suite(name, tmp_path)
    assert suite.name == name
    assert suite.about
    assert suite.text == shipped()[name]
    cells = suite.cells(dict.fromkeys(suite.datasets, "f"))
    assert len(ids(cells)) == len(cells) == suite.n_cells
    controls = {replace(one, level=0.0) for one in suite.perturbations}
    assert controls <= set(suite.perturbations)


@pytest.mark.parametrize("name", ["drrl-each-level", "drrl-noisy-selection", "drrl-retuned"])
def test_what_is_held_against_drrl_differs_in_nothing_but_what_it_asks(name):
    whole, part = (tomllib.loads(shipped()[one]) for one in ("drrl", name))
    alike = ("seed", "metrics", "training", "backbone", "loss")
    assert {key: part[key] for key in alike} == {key: whole[key] for key in alike}
    assert part["tune"]["trials"] == whole["tune"]["trials"]
    for axis in ("dataset", "perturbation"):
        assert all(one in whole[axis] for one in part[axis])
    assert part["replicates"] <= whole["replicates"]


def test_the_wider_search_is_of_two_losses_of_drrl_and_differs_in_its_tries_alone():
    whole, part = (tomllib.loads(shipped()[one]) for one in ("drrl", "drrl-searched"))
    for key in ("seed", "metrics", "training", "backbone", "perturbation"):
        assert part[key] == whole[key]
    for key in ("dataset", "loss", "claim"):
        assert all(one in whole[key] for one in part[key])
    assert part["tune"] == {**whole["tune"], "trials": 64}


def test_a_shipped_suite_and_its_copy_are_the_same(tmp_path):
    (tmp_path / "copy.toml").write_text(shipped()["smoke"])
    copy = load_suite(str(tmp_path / "copy.toml"), tmp_path)
    assert copy == load_suite("smoke", tmp_path)


def test_cells_are_the_product_in_the_file_s_order(tmp_path):
    keys = [
        (cell.loss.name, cell.perturbation.name, cell.perturbation.level, cell.replicate)
        for cell in cells_of(tmp_path)
    ]
    levels = [
        ("hidden_positives", 0),
        ("hidden_positives", 0.5),
        ("popularity_shift", 0),
        ("popularity_shift", 1),
    ]
    expected = product(("bpr", "softmax"), levels, (0, 1))
    assert keys == [(loss, name, level, rep) for loss, (name, level), rep in expected]


def test_cells_are_only_of_the_data_sets_that_have_a_fingerprint(tmp_path):
    second = "\n[[dataset]]\nname = 'synthetic'\nworld_seed = 1\n\n[[backbone]]"
    suite = load(tmp_path, ("\n[[backbone]]", second))
    one, two = suite.datasets
    assert len(suite.cells({one: "f", two: "f"})) == 32
    assert {cell.dataset for cell in suite.cells({two: "f"})} == {two}


def test_a_loss_s_own_training_stands_over_the_suite_s(tmp_path):
    (_, bpr, _), (_, softmax, _) = load(tmp_path).losses
    assert (bpr.epochs, bpr.lr) == (1, 1e-2)
    assert (softmax.epochs, softmax.lr) == (1, 1e-3)


@pytest.mark.parametrize(
    "change",
    [
        ("seed = 0", "seed = 1"),
        ("n_users = 60", "n_users = 61"),
        ("n_users = 60", "n_users = 60\nvalid = 0.2"),
        ("dim = 4", "dim = 5"),
        ("init_std = 0.1", "init_std = 0.1000001"),
        ("epochs = 1, lr = 1e-2", "epochs = 1, patience = 1, lr = 1e-2"),
        ('"ndcg@20"', '"ndcg@10"'),
    ],
)
def test_another_experiment_has_other_ids(tmp_path, change):
    assert ids(cells_of(tmp_path)).isdisjoint(ids(cells_of(tmp_path, change)))


@pytest.mark.parametrize(
    ("change", "unchanged"),
    [
        (("tau = 0.2", "tau = 0.25"), lambda cell: cell.loss.name == "bpr"),
        (("lr = 1e-2", "lr = 2e-2"), lambda cell: cell.loss.name == "softmax"),
        (("lr = 1e-3", "lr = 2e-3"), lambda cell: cell.loss.name == "bpr"),
        (("level = [0.0, 0.5]", "level = [0, 0.4]"), lambda cell: cell.perturbation.level != 0.5),
        (("replicates = 2", "replicates = 1"), lambda cell: cell.replicate == 0),
    ],
)
def test_a_change_reaches_the_ids_of_the_cells_that_it_concerns_only(tmp_path, change, unchanged):
    before = cells_of(tmp_path)
    kept = {cell.id for cell in before if unchanged(cell)}
    assert 0 < len(kept) < len(before)
    assert ids(before) & ids(cells_of(tmp_path, change)) == kept


def test_other_data_have_other_ids(tmp_path):
    assert ids(cells_of(tmp_path)).isdisjoint(ids(cells_of(tmp_path, fingerprint="g")))


@pytest.mark.parametrize(
    "change",
    [
        ('name = "tiny"', 'name = "huge"'),
        ('about = "Small."\n', ""),
        ("seed = 0", 'seed = 0\naveraging = "all-users"'),
        ('["ndcg@20", "recall@20"]', '["map@20"]'),
        ("level = [0.0, 0.5]", "level = [0.5, 0]"),
        ("dim = 4\ninit_std = 0.1", "init_std = 1e-1 # as before\ndim = 4"),
        ('name = "bpr"', 'name = "bpr"\nn_negatives = 1'),
    ],
)
def test_what_does_not_change_the_experiment_does_not_change_the_ids(tmp_path, change):
    assert ids(cells_of(tmp_path)) == ids(cells_of(tmp_path, change))


def test_other_list_lengths_share_the_trainings(tmp_path):
    before, after = cells_of(tmp_path), cells_of(tmp_path, ('"ndcg@20"', '"ndcg@10"'))
    assert [cell.fit_id for cell in before] == [cell.fit_id for cell in after]


def test_clean_controls_and_test_levels_share_one_training_and_nothing_else_does(tmp_path):
    more = (
        'level = [0, 1]\n\n[[perturbation]]\nname = "negative_contamination"\nlevel = [0, 0.1]'
        '\n\n[[perturbation]]\nname = "false_positives"\nlevel = [0, 0.1]\n'
    )
    cells = cells_of(tmp_path, ("level = [0, 1]\n", more))
    trainings: dict[str, set] = {}
    for cell in cells:
        at = (cell.perturbation.name, cell.perturbation.level)
        key = (cell.loss.name, cell.replicate)
        trainings.setdefault(cell.fit_id, set()).add((key, at))
    by_loss: dict[tuple, list] = {}
    for members in trainings.values():
        (key,) = {key for key, _ in members}
        by_loss.setdefault(key, []).append({at for _, at in members})
    clean = {
        ("hidden_positives", 0),
        ("popularity_shift", 0),
        ("popularity_shift", 1),
        ("negative_contamination", 0),
        ("false_positives", 0),
    }
    alone = [("hidden_positives", 0.5), ("negative_contamination", 0.1), ("false_positives", 0.1)]
    expected = sorted(sorted(group) for group in [clean, *({one} for one in alone)])
    assert set(by_loss) == {("bpr", 0), ("bpr", 1), ("softmax", 0), ("softmax", 1)}
    for groups in by_loss.values():
        assert sorted(sorted(group) for group in groups) == expected


def test_seeds_are_shared_by_what_is_compared_and_by_nothing_else(tmp_path):
    cells = cells_of(tmp_path)
    assert len({cell.training_seed for cell in cells}) == 2  # the replicates
    draws = {
        (cell.perturbation.name, cell.replicate, cell.perturbation_rng().random()) for cell in cells
    }
    assert len(draws) == 4
    assert len({draw for _, _, draw in draws}) == 4


def test_a_cell_survives_json(tmp_path):
    (tmp_path / "log.csv").write_text("user,item\n" + "".join(f"{n % 7},{n}\n" for n in range(70)))
    own = '[[dataset]]\nname = "mine"\npath = "log.csv"\nhold_out = 0.1\n\n[[backbone]]'
    cells = cells_of(tmp_path, ("[[backbone]]", own))
    assert {cell.dataset.name for cell in cells} == {"synthetic", "mine"}
    for cell in cells:
        plain = json.loads(json.dumps(cell.to_plain()))
        again = Cell.from_plain(plain, tmp_path / "data")
        assert again == cell
        assert (again.id, again.fit_id) == (cell.id, cell.fit_id)


def test_ks_hold_those_of_the_metrics_and_the_one_that_selects(tmp_path):
    metrics = '["ndcg@50", "recall@5", "map@50"]'
    assert load(tmp_path, ('["ndcg@20", "recall@20"]', metrics)).ks == (5, 20, 50)


def test_a_suite_s_plugin_lies_beside_it(tmp_path):
    (tmp_path / "gentle.py").write_text(
        "from dataclasses import dataclass\n"
        "from robustbench_rec import PERTURBATIONS, Perturbation\n"
        '@PERTURBATIONS.add("suite-test-gentle")\n'
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Gentle(Perturbation):\n"
        '    """Do nothing."""\n'
    )
    suite = load(
        tmp_path,
        ("seed = 0", 'seed = 0\nplugins = ["gentle.py"]'),
        ('"hidden_positives"', '"suite-test-gentle"'),
    )
    assert suite.plugins == (str(tmp_path / "gentle.py"),)
    assert suite.perturbations[0].name == "suite-test-gentle"


BAD_NAMES = [
    (
        "sofmax",
        ('name = "softmax"', 'name = "sofmax"'),
        "no loss named 'sofmax'; did you mean 'softmax'? (known: advinfonce, bce, ",
    ),
    (
        "hiden_positives",
        ('name = "hidden_positives"', 'name = "hiden_positives"'),
        "no perturbation named 'hiden_positives'; did you mean 'hidden_positives'? (known: ",
    ),
    (
        "lightgnc",
        ('name = "mf"', 'name = "lightgnc"'),
        "no backbone named 'lightgnc'; did you mean 'lightgcn'? (known: lightgcn, mf",
    ),
    (
        "syntetic",
        ('name = "synthetic"', 'name = "syntetic"'),
        "no data set named 'syntetic'; did you mean 'synthetic'? (known: ",
    ),
]


@pytest.mark.parametrize(("name", "change", "says"), BAD_NAMES)
def test_an_unknown_name_gets_its_line_and_the_nearest(tmp_path, name, change, says):
    message = refused(tmp_path, change)
    assert message.startswith(f":{line_of(change[0])}: {says}")


ROWS = {
    "unknown key": (
        ("seed = 0", "sead = 0"),
        "seed",
        "unknown key 'sead'; did you mean 'seed'? (allowed: name, about, seed, ",
    ),
    "unknown table": (
        ("[[backbone]]", "[[backbones]]"),
        "[[backbone]]",
        "unknown key 'backbones'; did you mean 'backbone'?",
    ),
    "unknown setting": (
        ("tau = 0.2", "taau = 0.2"),
        "tau",
        "softmax has no setting 'taau'; did you mean 'tau'? (it takes: ",
    ),
    "unknown setting after one that is listed as allowed": (
        ("init_std = 0.1", "init_stdd = 0.1"),
        "init_std",
        "mf has no setting 'init_stdd'; did you mean 'init_std'? (it takes: dim, init_std)",
    ),
    "setting of a wrong type": (
        ("dim = 4", 'dim = "4"'),
        "dim",
        "mf.dim is '4'; it should be a valid integer",
    ),
    "setting out of range": (("dim = 4", "dim = 0"), "dim", "MF.dim is 0; it must be >= 1"),
    "settings that do not fit": (
        ("positives = 20", "positives = 50"),
        "[[dataset]]",  # what a component refuses by itself has no place of its own
        "Synthetic.positives is 50; it must be below n_items, 50",
    ),
    "level out of range": (
        ("level = [0.0, 0.5]", "level = [0.0, 1.5]"),
        "level",
        "HiddenPositives.level is 1.5; it must lie in [0, 1]",
    ),
    "negative level": (
        ("level = [0.0, 0.5]", "level = [0.0, -0.5]"),
        "level",
        "HiddenPositives.level is -0.5; it must be >= 0",
    ),
    "level that is not a number": (
        ("level = [0.0, 0.5]", "level = [0.0, nan]"),
        "level",
        "HiddenPositives.level is nan; it must be finite and >= 0",
    ),
    "level without the control": (
        ("level = [0.0, 0.5]", "level = [0.1, 0.5]"),
        "level",
        "level is [0.1, 0.5]; it must be a list that includes 0, the clean control",
    ),
    "level that is text": (
        ("level = [0.0, 0.5]", 'level = [0, "high"]'),
        "level",
        "hidden_positives.level is 'high'; it should be a valid number",
    ),
    "level that is true": (
        ("level = [0.0, 0.5]", "level = [false, 0.5]"),
        "level",
        "hidden_positives.level is False; it should be a valid number",
    ),
    "no level": (("level = [0.0, 0.5]\n", ""), "[[perturbation]]", "level"),
    "seed of a wrong type": (
        ("seed = 0", 'seed = "0"'),
        "seed",
        "seed: '0' should be a valid integer",
    ),
    "seed that is true": (("seed = 0", "seed = true"), "seed", "seed: True should be a valid int"),
    "negative seed": (
        ("seed = 0", "seed = -1"),
        "seed",
        "seed: -1 should be greater than or equal to 0",
    ),
    "replicates 0": (
        ("replicates = 2", "replicates = 0"),
        "replicates",
        "replicates: 0 should be greater than or equal to 1",
    ),
    "replicates of a wrong type": (
        ("replicates = 2", "replicates = 2.0"),
        "replicates",
        "replicates: 2.0 should be a valid integer",
    ),
    "a name that is no file name": (
        ('name = "tiny"', 'name = "../tiny"'),
        "name",
        "name: '../tiny' should be made of lower-case letters",
    ),
    "averaging that is unknown": (
        ('about = "Small."', 'averaging = "all"'),
        "about",
        "averaging: 'all' should be 'test-users' or 'all-users'",
    ),
    "unknown metric": (
        ('"ndcg@20"', '"ncdg@20"'),
        "metrics",
        "no metric named 'ncdg'; did you mean 'ndcg'?",
    ),
    "metric without a length": (
        ('"ndcg@20"', '"ndcg"'),
        "metrics",
        "metric 'ndcg' must have the form name@k, such as ndcg@20",
    ),
    "metric at 0": (('"ndcg@20"', '"ndcg@0"'), "metrics", "metric 'ndcg@0' must have the form"),
    "no metric": (
        ('["ndcg@20", "recall@20"]', "[]"),
        "metrics",
        "metrics: [] should hold",
    ),
    "metrics that are no list": (
        ('["ndcg@20", "recall@20"]', '"ndcg@20"'),
        "metrics",
        "metrics: 'ndcg@20' should be a valid list",
    ),
    "training that is no table": (
        ("{ epochs = 1, lr = 1e-2 }", "1"),
        "training",
        "training: 1 should be a table, as in { lr = 1e-3 }",
    ),
    "unknown training key of a loss": (
        ("{ lr = 1e-3 }", "{ learning = 1e-3 }"),
        "training = { lr",
        "training has no setting 'learning'",
    ),
    "training of a loss that is no table": (
        ("{ lr = 1e-3 }", "1e-3"),
        "training = { lr",
        "training is 0.001; it must be a table, as in { lr = 1e-3 }",
    ),
    "tuning of no loss": (
        ("metrics", "tune = { trials = 3 }\nmetrics"),
        "metrics",
        "tune: no loss has candidates, as in tune = { lr = [1e-3, 1e-2] }",
    ),
    "tune that is no table": (
        ("tau = 0.2", "tune = [0.1, 0.2]"),
        "tau",
        "tune is [0.1, 0.2]; it must be a table; give candidates, as in { tau = [0.1, 0.2] }",
    ),
    "tune of nothing": (
        ("tau = 0.2", "tune = {}"),
        "tau",
        "tune is empty; give candidates, as in { tau = [0.1, 0.2] }",
    ),
    "no candidate": (
        ("tau = 0.2", "tune = { tau = [] }"),
        "tau",
        "tune.tau is []; it must hold at least one candidate",
    ),
    "one candidate that is no list": (
        ("tau = 0.2", "tune = { tau = 0.3 }"),
        "tau",
        "tune.tau is 0.3; it must be a list of candidates, or a range as in { low = 1e-3, ",
    ),
    "a candidate twice": (
        ("tau = 0.2", "tune = { tau = [1, 0.5, 1.0] }"),
        "tau",
        "tune.tau holds 1.0 twice",
    ),
    "unknown tuned setting": (
        ("tau = 0.2", "tune = { taau = [0.1] }"),
        "tau",
        "tune has no setting 'taau'; did you mean 'tau'? (softmax and its training take: ",
    ),
    "a tuned name": (
        ("tau = 0.2", 'tune = { name = ["bpr"] }'),
        "tau",
        "tune has no setting 'name'",
    ),
    "a candidate out of its domain": (
        ("tau = 0.2", "tune = { n_negatives = [8], tau = [0.1, 0.0] }"),
        "tau",
        "tune.tau: Softmax.tau is 0.0; it must be > 0",
    ),
    "a candidate of a wrong type": (
        ("tau = 0.2", 'tune = { tau = ["low"] }'),
        "tau",
        "tune.tau: softmax.tau is 'low'; it should be a valid number",
    ),
    "a candidate of the training out of its domain": (
        ("tau = 0.2", "tune = { weight_decay = [-1] }"),
        "tau",
        "tune.weight_decay: TrainConfig.weight_decay is -1.0; it must be >= 0",
    ),
    "a plain mistake beside what is tuned": (
        ("tau = 0.2", "n_negatives = 0\ntune = { tau = [0.1] }"),
        "tau",
        "Softmax.n_negatives is 0; it must be >= 1",
    ),
    "a setting that is given and tuned": (
        ("tau = 0.2", "tune = { tau = [0.1] }\ntau = 0.2"),
        "tau",
        "tune.tau: tau = 0.2 is given too; give either the value or the candidates",
    ),
    "a training setting that is given and tuned": (
        ("tau = 0.2", "tune = { lr = [0.1] }"),
        "tau",
        "tune.lr: lr = 0.001 is given too; give either the value or the candidates",
    ),
    "a range that is none": (
        ("tau = 0.2", "tune = { tau = { low = 0.3, high = 0.3 } }"),
        "tau",
        "tune.tau: low is 0.3 and high is 0.3; low must be below high",
    ),
    "a log range from 0": (
        ("tau = 0.2", "tune = { weight_decay = { low = 0, high = 1, log = true } }"),
        "tau",
        "tune.weight_decay: low is 0; with log = true it must be > 0",
    ),
    "a range without an end": (
        ("tau = 0.2", "tune = { tau = { low = 0.1, high = inf } }"),
        "tau",
        "tune.tau: Range.high is inf; it must be finite",
    ),
    "an unknown key of a range": (
        ("tau = 0.2", "tune = { tau = { low = 0.1, hihg = 1 } }"),
        "tau",
        "tune.tau: the range has no setting 'hihg'; did you mean 'high'? (it takes: high,",
    ),
    "a range without a key": (
        ("tau = 0.2", "tune = { tau = { low = 0.1 } }"),
        "tau",
        "tune.tau: the range needs the setting 'high'",
    ),
    "a range out of the domain": (
        ("tau = 0.2", "tune = { tau = { low = -1, high = 1 } }"),
        "tau",
        "tune.tau: Softmax.tau is -1.0; it must be > 0",
    ),
    "a range of halves for whole numbers": (
        ("tau = 0.2", "tune = { n_negatives = { low = 0.5, high = 8 } }"),
        "tau",
        "tune.n_negatives: n_negatives is a whole number, so low and high must be too",
    ),
    "a range of what is no number": (
        ("tau = 0.2", "tune = { score = { low = 0, high = 1 } }"),
        "tau",
        "tune.score is a range, but score is not a number; list the candidates",
    ),
    "trials 0": (
        ("seed = 0", "tune = { trials = 0 }"),
        "seed",
        "Tuning.trials is 0; it must be >= 1",
    ),
    "an unknown place to tune at": (
        ("seed = 0", 'tune = { at = "level-1" }'),
        "seed",
        "tune.at is 'level-1'; it should be 'level-0' or 'each-level'",
    ),
    "an unknown key of tune": (
        ("seed = 0", "tune = { trails = 1 }"),
        "seed",
        "tune has no setting 'trails'; did you mean 'trials'? (it takes: at, epochs, split, "
        "trials)",
    ),
    "the suite's tune that is no table": (
        ("seed = 0", "tune = 16"),
        "seed",
        "tune: 16 should be a table",
    ),
    "a table that should be a list of tables": (
        ("[[backbone]]", "[backbone]"),
        "[[backbone]]",
        "backbone: one table; it is written [[backbone]], with two brackets",
    ),
    "a table without a name": (
        ('name = "mf"\n', ""),
        "[[backbone]]",
        "a backbone needs a `name` (known: ",
    ),
    "a plugin that is missing": (
        ('about = "Small."', 'plugins = ["no.py"]'),
        "about",
        "plugin 'FOLDER/no.py' could not be imported: no such file",
    ),
    "a module that is missing": (
        ('about = "Small."', 'plugins = ["no_such_module"]'),
        "about",
        "plugin 'no_such_module' could not be imported: ModuleNotFoundError: ",
    ),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_mistake_gets_its_line_and_what_is_allowed(tmp_path, case):
    change, at, says = ROWS[case]
    message = refused(tmp_path, change)
    where, says = line_of(at), says.replace("FOLDER", str(tmp_path))
    assert message.startswith(f":{where}: {says}")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("tau = []", "tune.tau is []; "),
        ("tau = [0.1]\nlr = { low = 2, high = 1 }", "tune.lr: low is 2 and high is 1; "),
        ("tau = [0.1]\n lr = [-1]", "tune.lr: TrainConfig.lr is -1.0; "),
    ],
)
def test_a_mistake_in_a_table_of_what_is_tuned_is_shown_there(tmp_path, wrong, says):
    # The table of the loss before does not count as a loss, nor the suite's as one of these.
    fine = '"bpr"\n[loss.tune]\nlr = [0.1]\n'
    searched = f"[loss.tune]\n{wrong}\n[tune]\ntrials = 3\n"
    text = SUITE.replace("training = { lr = 1e-3 }\n", "").replace('"bpr"\n', fine)
    text = text.replace("tau = 0.2\n", searched)
    message = refused(tmp_path, text=text)
    at = line_of(wrong.splitlines()[-1], text)
    assert message.startswith(f":{at}: {says}")


def test_a_mistake_in_the_suite_s_table_of_tuning_is_shown_there(tmp_path):
    text = SUITE.replace("tau = 0.2\n", "tune = { tau = [0.1] }\n") + "[tune]\ntrials = 0\n"
    message = refused(tmp_path, text=text)
    assert message == f":{line_of('trials', text)}: Tuning.trials is 0; it must be >= 1"


def test_a_setting_of_both_loss_and_training_cannot_be_tuned(tmp_path):
    (tmp_path / "both.py").write_text(
        "from dataclasses import dataclass\n"
        "from robustbench_rec import LOSSES, Loss, setting\n"
        '@LOSSES.add("suite-test-both")\n'
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Both(Loss):\n"
        '    """Has a rate of its own."""\n'
        "    lr: float = setting(0.1)\n"
    )
    message = refused(
        tmp_path,
        ("seed = 0", 'seed = 0\nplugins = ["both.py"]'),
        ('name = "bpr"', 'name = "suite-test-both"\ntune = { lr = [0.1, 0.2] }'),
    )
    assert message == (":23: tune.lr: both suite-test-both and its training have a setting 'lr'")


def test_candidates_that_do_not_go_together_are_refused(tmp_path):
    (tmp_path / "fussy.py").write_text(
        "from dataclasses import dataclass\n"
        "from robustbench_rec import LOSSES, Loss, setting\n"
        '@LOSSES.add("suite-test-fussy")\n'
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Fussy(Loss):\n"
        '    """Wants low under high."""\n'
        "    low: float = setting(0.0)\n"
        "    high: float = setting(1.0)\n"
        "    def __post_init__(self):\n"
        "        if self.low > self.high:\n"
        '            raise ValueError("low is above high")\n'
    )
    tuned = "tune = { low = [0.1, 0.6], high = [0.9, 0.3] }"
    message = refused(
        tmp_path,
        ("seed = 0", 'seed = 0\nplugins = ["fussy.py"]'),
        ('name = "bpr"', f'name = "suite-test-fussy"\n{tuned}'),
    )
    assert message == ":23: tune would try low = 0.6, high = 0.3: low is above high"


def test_epochs_cannot_be_tuned_under_a_cap(tmp_path):
    message = refused(
        tmp_path,
        ("seed = 0", "tune = { epochs = 2 }"),
        ("tau = 0.2", "tune = { epochs = [1, 3] }"),
    )
    assert message.startswith(":25: tune.epochs: cannot be tuned, as epochs of [tune] are the same")


@pytest.mark.parametrize("setting", ["lrr = 1", "lr = -1", "epochs = 1.5"])
def test_a_mistake_in_the_suite_s_training_is_shown_there(tmp_path, setting):
    message = refused(tmp_path, ("{ epochs = 1, lr = 1e-2 }", f"{{ {setting} }}"))
    assert message.startswith(f":{line_of('training')}: ")
    assert setting.split(" = ")[0] in message


def test_a_mistake_in_a_later_metric_is_shown_there(tmp_path):
    message = refused(tmp_path, ('"recall@20"', '"recal@20"'))
    assert message.startswith(f":{line_of('metrics')}: no metric named 'recal'; did you mean")


@pytest.mark.parametrize(
    "kind",
    ["dataset", "backbone", "loss", "name"],
)
def test_what_is_required_is_named_and_no_line_is_made_up(tmp_path, kind):
    kept, skipping = [], False
    for line in SUITE.splitlines(keepends=True):
        if line.startswith("["):
            skipping = line.startswith(f"[[{kind}]]")
        if not skipping and line != f'{kind} = "tiny"\n':
            kept.append(line)
    assert refused(tmp_path, text="".join(kept)) == f": {kind}: missing; a suite needs it"


@pytest.mark.parametrize(
    ("old", "says"),
    [
        ('[[loss]]\nname = "bpr"\n', "[[loss]] bpr(n_negatives=1, score=dot) is given twice"),
        ("init_std = 0.1\n", "[[backbone]] mf(init_std=0.1, dim=4) is given twice"),
    ],
)
def test_what_stands_twice_is_refused(tmp_path, old, says):
    again = f'{old}\n[[backbone]]\nname = "mf"\ndim = 4\n' if "init" in old else f"{old}\n{old}"
    message = refused(tmp_path, (old, again))
    assert message.endswith(says)


def test_a_level_that_stands_twice_is_refused(tmp_path):
    message = refused(tmp_path, ("level = [0.0, 0.5]", "level = [0, 0.5, 0.5]"))
    assert message.endswith("[[perturbation]] hidden_positives(level=0.5) is given twice")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("x = = 1", "SyntaxError: invalid syntax (broken.py, line 1)"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("import robustbench_rec.no_such", "ModuleNotFoundError: No module named"),
        (
            "from robustbench_rec import LOSSES, Loss\nLOSSES.add('Mine')(Loss)",
            "ValueError: loss name 'Mine' must match",
        ),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_a_plugin_that_does_not_import_is_named_with_the_reason(tmp_path, code, why):
    (tmp_path / "broken.py").write_text(code)
    message = refused(tmp_path, ('about = "Small."', 'plugins = ["broken.py"]'))
    plugin = tmp_path / "broken.py"
    assert message.startswith(f":2: plugin '{plugin}' could not be imported: {why}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SUITE.replace("seed = 0", "seed = "), ": not TOML: Invalid value (at line 3, column 8)"),
        (SUITE.replace("[[loss]]", "[[loss]", 1), ": not TOML: Expected ']]'"),
        (SUITE + "\x00", ": not TOML: "),
        ("", ": name: missing; a suite needs it"),
    ],
)
def test_what_is_not_a_suite_in_toml_is_refused(tmp_path, text, says):
    assert refused(tmp_path, text=text).startswith(says)


def test_a_file_that_is_too_large_is_refused_unread(tmp_path):
    text = SUITE + "#" * LARGEST_FILE
    assert refused(tmp_path, text=text) == ": larger than 1 MiB; a suite file is a page of TOML"


def test_a_file_that_is_not_utf_8_is_refused_with_the_place(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes(SUITE.replace("Small", "Café").encode("latin-1"))
    with pytest.raises(InputError) as caught:
        load_suite(str(path), tmp_path)
    assert str(caught.value) == f"{path}: not UTF-8 text (byte {SUITE.index('Small') + 3})"


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    for name, why in (("no.toml", ": No such file"), ("folder.toml", " is not a file")):
        with pytest.raises(InputError) as caught:
            load_suite(str(tmp_path / name), tmp_path)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / name}{why}")
        assert message.endswith("; give a suite's name or a .toml file")


def test_an_unknown_suite_gets_the_nearest_and_all_that_are_known():
    with pytest.raises(InputError) as caught:
        load_suite("smok")
    message = str(caught.value)
    assert message.startswith("no suite named 'smok'; did you mean 'smoke'? (known: ")
    assert all(name in message for name in shipped())


BASELINES = ("baselines = []\n", "")


def test_baselines_are_ranked_once_whatever_the_losses(tmp_path):
    suite = load(tmp_path, BASELINES)
    cells = suite.cells(dict.fromkeys(suite.datasets, "f"))
    baselines = [cell for cell in cells if not cell.backbone.learns]
    # 2 baselines x 4 levels x 2 replicates, beside 1 backbone x 2 losses x 4 levels x 2 replicates.
    assert (len(baselines), len(cells), suite.n_cells) == (16, 32, 32)
    assert {cell.backbone.name for cell in baselines} == {"popularity", "random"}
    assert {cell.loss.name for cell in baselines} == {"untrained"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("baselines = []", 'baselines = ["mf"]'), "baselines has 'mf', which is trained"),
        (("baselines = []", 'baselines = ["populrity"]'), "did you mean 'popularity'?"),
        (("baselines = []", "floors = []"), "unknown key 'floors'; did you mean 'baselines'?"),
        (('name = "mf"\ndim = 4\ninit_std = 0.1', 'name = "random"'), "random trains nothing"),
    ],
)
def test_what_trains_and_what_does_not_have_their_places(tmp_path, change, said):
    assert said in refused(tmp_path, change)


def test_a_suite_without_perturbations_is_of_clean_data(tmp_path):
    text = SUITE[: SUITE.index("[[perturbation]]")]
    (clean,) = load(tmp_path, text=text).perturbations
    assert (clean.name, clean.level, clean.max_level) == ("clean", 0.0, 0.0)


REFERENCE = """
[[reference]]
dataset = "synthetic"
backbone = "mf"
loss = "softmax( tau = .2 )"
values = { "ndcg@20" = 0.05, "recall@20" = 0.08 }
averaging = "all-users"
source = "A paper, table 1"
"""
PERTURBED = 'source = "A paper, table 1"\nperturbation = "hidden_positives"\nlevel = 0.5'


def test_a_reference_becomes_a_value_a_metric_called_as_results_call_it(tmp_path):
    suite = load(tmp_path, text=SUITE + REFERENCE)
    clean, other = suite.references
    assert (clean.metric, clean.value) == ("ndcg@20", 0.05)
    assert (other.metric, other.value) == ("recall@20", 0.08)
    assert other == replace(clean, metric="recall@20", value=0.08)
    assert clean.dataset == "synthetic(n_users=60, n_items=50, positives=20)"
    assert (clean.backbone, clean.loss) == ("mf(dim=4)", "softmax")
    assert (clean.perturbation, clean.level) == ("", 0)
    assert (clean.tolerance, clean.approximate) == (0.04, False)
    assert clean.source == "A paper, table 1"


def test_a_reference_finds_its_level_and_is_labelled_where_a_suite_has_several(tmp_path):
    second = (
        '\n[[loss]]\nname = "softmax"\ntau = 0.3\n\n[[perturbation]]\nname = "hidden_positives"'
    )
    text = (SUITE + REFERENCE).replace('\n[[perturbation]]\nname = "hidden_positives"', second)
    change = ('source = "A paper, table 1"', f"{PERTURBED}\ntolerance = 0.1\napproximate = true")
    one, _ = load(tmp_path, change, text=text).references
    assert one.loss == "softmax"  # whatever else the suite has
    assert (one.perturbation, one.level) == ("hidden_positives", 0.5)
    assert (one.tolerance, one.approximate) == (0.1, True)


def test_references_change_no_id(tmp_path):
    suite = load(tmp_path, text=SUITE + REFERENCE)
    assert ids(suite.cells(dict.fromkeys(suite.datasets, "f"))) == ids(cells_of(tmp_path))


REFERENCES = {
    "a loss that the suite lacks": (
        ("softmax( tau = .2 )", "sofmax"),
        "loss",
        "loss 'sofmax' is not in the suite; did you mean 'softmax'? (it has: bpr, softmax)",
    ),
    "settings that the suite lacks": (
        ("tau = .2", "tau = .3"),
        "loss",
        "loss 'softmax( tau = .3 )' is not in the suite; did you mean 'softmax'? (it has: ",
    ),
    "a data set that the suite lacks": (
        ('dataset = "synthetic"', 'dataset = "movielens-1m"'),
        "dataset",
        "dataset 'movielens-1m' is not in the suite (it has: synthetic(n_users=60, n_items=50, ",
    ),
    "a perturbation that the suite lacks": (
        ("A paper, table 1", 'a"\nperturbation = "false_positives'),
        "perturbation",
        "perturbation 'false_positives' is not in the suite; did you mean 'hidden_positives'?",
    ),
    "a level that is not in the sweep": (
        ('source = "A paper, table 1"', PERTURBED.replace("0.5", "0.4")),
        "level",
        "level is 0.4; it must be one of 0, 0.5, the sweep of hidden_positives",
    ),
    "a perturbation without level": (
        ('source = "A paper, table 1"', PERTURBED.replace("level = 0.5", "")),
        "perturbation",
        "a perturbation needs its level; give a level of hidden_positives",
    ),
    "a level of nothing": (
        ('source = "A paper, table 1"', 'level = 0.5\nsource = "a"'),
        "level",
        "level is 0.5; without a perturbation it must be 0, the clean control",
    ),
    "an unknown metric": (
        ('"ndcg@20"', '"ncdg@20"'),
        "values",
        "values: no metric named 'ncdg'; did you mean 'ndcg'?",
    ),
    "a length that is not recorded": (
        ('"ndcg@20"', '"ndcg@10"'),
        "values",
        "values: ndcg@10 is not recorded by this suite (list lengths: 20); add a metric at 10",
    ),
    "a percentage": (
        ("0.05", "5.29"),
        "values",
        "values: ndcg@20 is 5.29; it must be at most 1 (a share, not a percentage)",
    ),
    "zero": (("0.05", "0"), "values", "values: ndcg@20 is 0; it must be finite and above 0"),
    "not a number": (("0.05", "nan"), "values", "values: ndcg@20 is nan; it must be finite and"),
    "infinity": (("0.05", "inf"), "values", "values: ndcg@20 is inf; it must be finite and above"),
    "text for a number": (
        ("0.05", '"0.05"'),
        "values",
        "reference.values is {'ndcg@20': '0.05', 'recall@20': 0.08}; it should be a valid number",
    ),
    "no value": (
        ('{ "ndcg@20" = 0.05, "recall@20" = 0.08 }', "{}"),
        "values",
        'values is empty; it must hold a metric, as in { "ndcg@20" = 0.0529 }',
    ),
    "an unknown averaging": (
        ('"all-users"', '"users"'),
        "averaging",
        "reference.averaging is 'users'; it should be 'test-users' or 'all-users'",
    ),
    "no averaging": (
        ('averaging = "all-users"\n', ""),
        "[[reference]]",
        "reference needs the setting 'averaging'",
    ),
    "no source": (('"A paper, table 1"', '" "'), "source", "source is empty; it must say where"),
    "a tolerance in percent": (
        ("source =", "tolerance = 4.0\nsource ="),
        "tolerance",
        "Reference.tolerance is 4.0; it must be in (0, 1]",
    ),
    "an unknown key": (
        ("values =", "value ="),
        "value",
        "reference has no setting 'value'; did you mean 'values'?",
    ),
    "one table": (
        ("[[reference]]", "[reference]"),
        "[reference]",
        "reference: one table; it is written [[reference]], with two brackets",
    ),
}


@pytest.mark.parametrize("case", REFERENCES)
@pytest.mark.parametrize("first", [False, True])
def test_a_mistake_in_a_reference_gets_its_line_and_what_is_allowed(tmp_path, case, first):
    (old, new), at, says = REFERENCES[case]
    table = REFERENCE.replace(old, new)
    assert table != REFERENCE
    head, tables = SUITE.split("\n[[dataset]]")
    parts = (head, table, "\n[[dataset]]", tables) if first else (SUITE, table)
    text = "".join(parts)
    start = text.index(table)
    line = text[:start].count("\n") + line_of(at, table)
    assert refused(tmp_path, text=text).startswith(f":{line}: {says}")


def test_a_mistake_elsewhere_is_found_below_a_reference(tmp_path):
    head, tables = SUITE.split("\n[[dataset]]")
    text = head + REFERENCE + "\n[[dataset]]" + tables.replace("n_users", "n_user")
    assert refused(tmp_path, text=text).startswith(f":{line_of('n_user', text)}: synthetic has no")


def test_a_reference_that_may_mean_two_is_refused(tmp_path):
    text = SUITE.replace(
        "[[backbone]]", '[[dataset]]\nname = "synthetic"\nn_users = 70\n[[backbone]]'
    )
    message = refused(tmp_path, text=text + REFERENCE)
    assert message.startswith(
        f":{line_of('dataset =', text + REFERENCE)}: dataset 'synthetic' may "
    )
    assert message.endswith("; give more settings")


def test_a_second_value_of_one_source_for_one_point_is_refused(tmp_path):
    again = REFERENCE.replace("0.05", "0.06").replace('"recall@20" = 0.08', '"map@20" = 0.1')
    message = refused(tmp_path, text=SUITE + REFERENCE + again)
    line = (SUITE + REFERENCE).count("\n") + line_of("values", again)
    assert message == f":{line}: values: ndcg@20 of softmax is given twice for this source"
    other = again.replace("A paper", "Another paper")
    assert len(load(tmp_path, text=SUITE + REFERENCE + other).references) == 4


def test_the_name_for_no_loss_is_refused_as_a_loss(tmp_path):
    message = refused(tmp_path, ('name = "bpr"', 'name = "untrained"'))
    assert "untrained cannot be chosen as a loss" in message


PLACES = (
    """\
name = "x"
about = """
    + '"""'
    + """
[[loss]]
tau = 1
"""
    + '"""'
    + """
training.lr = 1
metrics = [
  "ndcg@20",
  "ndgc@10",
]

[[loss]]
name = "bpr"

  [[ loss ]]
name = "psl"
"tau" = 1
tune = { lr = [1], activation = ["relu"] }

[loss.training]
epochs = 3

[[reference]]
values = { "ndcg@20" = 0.1 }
"""
)


@pytest.mark.parametrize(
    ("at", "line"),
    [
        ((), None),
        (("name",), 1),
        (("training", "lr"), 6),
        (("metrics", 1), 7),
        (("loss",), 12),
        (("loss", 0), 12),
        (("loss", 0, "tau"), 12),
        (("loss", 1, "name"), 16),
        (("loss", 1, "tau"), 17),
        (("loss", 1, "tune", "activation"), 18),
        (("loss", 1, "training", "epochs"), 21),
        (("loss", 2, "tau"), 12),
        (("reference", 0, "values", "ndcg@20"), 24),
        (("nothing",), None),
    ],
)
def test_a_place_is_found_in_the_text(at, line):
    tomllib.loads(PLACES)
    assert suite_file.line_of(PLACES, at) == line


@pytest.mark.parametrize(
    ("key", "allowed"),
    [("replicates_vary", "'split' or 'training'"), ("selection", "'clean' or 'noisy'")],
)
def test_what_is_varied_and_selected_is_one_of_two(tmp_path, key, allowed):
    told = refused(tmp_path, ("seed = 0", f'seed = 0\n{key} = "both"'))
    assert told.startswith(f":4: {key}: 'both' should be {allowed}")


def test_replicates_draw_their_own_splits_unless_the_suite_says_otherwise(tmp_path):
    shared = ("seed = 0", 'seed = 0\nreplicates_vary = "training"')
    own, one = cells_of(tmp_path), cells_of(tmp_path, shared)
    assert {cell.split_of for cell in own} == {0, 1}
    assert {cell.split_of for cell in one} == {None}
    assert not ids(own) & ids(one)
    published = ("health", "psl-electronic", "psl-electronic-popularity", "slatk-label-noise")
    for name in shipped():
        vary = load_suite(name, tmp_path).replicates_vary
        assert vary == ("training" if name in (*published, "psl-false-negatives") else "split")


CONTAMINATED = """
[[loss]]
name = "directau"

[[perturbation]]
name = "negative_contamination"
level = [0.0, 0.3, 0.5]
"""


def test_a_loss_without_negatives_has_no_cell_where_these_are_contaminated(tmp_path):
    suite = load(tmp_path, ("baselines = []", ""), text=SUITE + CONTAMINATED)
    cells = suite.cells(dict.fromkeys(suite.datasets, "f"))
    assert len(cells) == suite.n_cells
    met = {(cell.loss.name, cell.perturbation.name) for cell in cells}
    names = {one.name for one in suite.perturbations}
    losses = ("bpr", "softmax", "untrained")  # baselines stand under every perturbation
    everything = {*product(losses, names), *product(["directau"], names)}
    assert met == everything - {("directau", "negative_contamination")}
    ((entry, perturbation),) = suite.not_applicable
    assert (entry.loss.name, perturbation.name) == ("directau", "negative_contamination")
