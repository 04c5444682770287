"""results/README.md: its tables are what the published runs say today."""

import subprocess
from math import isnan

import pytest

from robustbench_rec.analysis.claims import claims
from robustbench_rec.analysis.contrasts import contrasts_of_runs
from robustbench_rec.analysis.ranking import rank
from robustbench_rec.analysis.verdicts import ALPHA
from robustbench_rec.records.run import Run, read_run
from robustbench_rec.training.config import PROTOCOL

pytestmark = pytest.mark.slow

RUNS = ("drrl", "drrl-health", "drrl-movielens")
LOSSES = 8


def number(value: float, sign: str = "-") -> str:
    return f"{value:{sign}.3f}".replace("0.", ".", 1)


def judgement(claim) -> str:
    """Write a row of `claims` as a cell of the table."""
    decided = claim["verdict"] in ("confirmed", "refuted")
    says = f"**{claim['verdict']}**" if decided else claim["verdict"]
    if not isnan(claim["effect"]):
        says += f" {number(claim['effect'], '+')} [{number(claim['low'])}, {number(claim['high'])}]"
    if not isnan(claim["at"]):
        says += f" at {claim['at']:g}"
    better = [loss.partition("(")[0] for loss in claim["beaten_by"]]
    if len(better) == LOSSES - 2 and "ccl" not in better:
        says += "; beaten there by all but `ccl`"
    elif better:
        says += f"; beaten there by {', '.join(f'`{loss}`' for loss in better)}"
    flags = claim["flags"].split()
    return says + (f"; {', '.join(flags)}" if flags else "")


@pytest.fixture(scope="module")
def runs(checkout) -> list[Run]:
    """Return the founding study on its three data sets."""
    return [read_run(checkout / "results" / "reference" / name) for name in RUNS]


def require(rows: list[str], checkout) -> None:
    text = (checkout / "results" / "README.md").read_text("utf-8")
    assert "\n".join(rows) in text, "the table is now:\n" + "\n".join(rows)


def test_one_command_trains_each_run_of_todays_protocol_anew(checkout):
    shown = subprocess.run(
        ["make", "--dry-run", "references"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    folders = [path.parent for path in checkout.glob("results/reference/*/manifest.json")]
    names = [path.name for path in folders if set(read_run(path).manifest.protocol) == {PROTOCOL}]
    assert len(names) > len(RUNS)
    assert [name for name in names if f" {name} " not in shown.replace(";", " ")] == []


def test_the_table_of_claims_is_what_the_runs_say(runs, checkout):
    tables = [claims(run) for run in runs]
    assert all(table["says"].tolist() == tables[0]["says"].tolist() for table in tables)
    rows = [
        f"| {one[0]['says']} | {' | '.join(map(judgement, one))} |"
        for one in zip(*(table.to_dict("records") for table in tables), strict=True)
    ]
    require(rows, checkout)


def test_the_table_of_losses_is_what_the_runs_say(runs, checkout):
    tables = [rank(run).set_index(["perturbation", "loss"]).sort_index() for run in runs]
    ranked = set(tables[0].index.get_level_values("loss"))
    losses = [loss for loss in runs[0].manifest.specs["loss"] if loss in ranked]
    assert len(losses) == LOSSES
    rows = []
    for loss in losses:
        cells = [
            " / ".join(bold(table.loc[(perturbation, loss)]) for table in tables)
            for perturbation in ("negative_contamination", "false_positives", "popularity_shift")
        ]
        clean = (table.loc[("negative_contamination", loss), "at 0"] for table in tables)
        cells.append(" / ".join(number(value) for value in clean))
        rows.append(f"| `{loss.partition('(')[0]}` | {' | '.join(cells)} |")
    require(rows, checkout)


def bold(row) -> str:
    return f"**{number(row['score'])}**" if row["top"] else number(row["score"])


def test_the_table_of_differences_is_what_the_runs_say(runs, checkout):
    tables = [claims(run).set_index("says")["levels"] for run in runs]
    rows = []
    for name, says in {
        "BCE": "SL is sensitive to false negatives: BCE keeps more",
        "MSE": "SL is sensitive to false negatives: MSE keeps more",
        "DrRL": "DrRL keeps more than SL with false negatives",
    }.items():
        cells = [" / ".join(map(difference, table[says])) for table in tables]
        rows.append(f"| {name} - SL | {' | '.join(cells)} |")
    require(rows, checkout)


def difference(level) -> str:
    """Write the effect of a claim at a level, in bold if it is significant."""
    told = number(level["effect"], "+")
    return f"**{told}**" if level["p"] <= ALPHA else told


def test_the_table_of_pushes_is_what_the_runs_say(runs, checkout):
    text = (checkout / "results" / "README.md").read_text("utf-8")
    (head,) = (line for line in text.splitlines() if line.startswith("| | `ccl` |"))
    losses = [cell.strip(" `") for cell in head.split("|")[2:-1]]
    for start, column, level in (
        ("| their share of the push |", "false_negative_share", 0.5),
        ("| push on them, per pull on positives |", "push_over_pull", 0.5),
        (
            "| the same, if all were pushed like those with a weight |",
            "push_on_false_negatives",
            0.5,
        ),
        ("| negatives used, clean |", "utilisation", 0.0),
    ):
        (row,) = (line for line in text.splitlines() if line.startswith(start))
        cells = [cell.split("/") for cell in row.removeprefix(start).split("|")[:-1]]
        for at, run in enumerate(runs):
            means = at_kept_epochs(run, column, level)
            for loss, cell in zip(losses, cells, strict=True):
                told = "1.00" if cell[0].strip() == "all" else cell[at].strip()
                digit = 10.0 ** -len(told.partition(".")[2])
                assert means[loss] == pytest.approx(float(told), abs=0.51 * digit)


def at_kept_epochs(run: Run, column: str, level: float):
    held = run.diagnostics
    held = held[(held["perturbation"] == "negative_contamination") & (held["level"] == level)]
    held = held[held["best"] & (held["diagnostic"] == column)]
    return held.groupby(held["loss"].str.partition("(")[0])["value"].mean()


def test_the_table_of_noisy_selection_is_what_the_runs_say(runs, checkout):
    noisy = read_run(checkout / "results" / "reference" / "drrl-noisy-selection")
    its = {
        "NDCG@20 at .4": ("false_positives", "value", 0.4),
        "kept up to .4": ("false_positives", "kept", 0.4),
    }
    require(differences(noisy, runs[0], its), checkout)


def test_the_table_of_tuning_anew_is_what_the_runs_say(runs, checkout):
    anew = read_run(checkout / "results" / "reference" / "drrl-retuned")
    its = {
        "NDCG@20, clean": ("", "value", 0.0),
        "kept with false negatives, to .5": ("negative_contamination", "kept", 0.5),
        "kept with label noise, to .4": ("false_positives", "kept", 0.4),
    }
    chosen: dict[str, set[str]] = {}
    for study in anew.summary.tuning:
        chosen.setdefault(study.loss, set()).add(str(study.chosen))
    settings = " | ".join(str(len(held)) for held in chosen.values())
    require(
        [*differences(anew, runs[0], its), f"| different settings chosen | {settings} |"], checkout
    )


def test_the_table_of_tuning_at_each_level_is_what_the_runs_say(runs, checkout):
    each = read_run(checkout / "results" / "reference" / "drrl-each-level")
    ranked, rows = rank(each), []
    for says, perturbation, most in (
        ("false negatives", "negative_contamination", 0.5),
        ("label noise", "false_positives", 0.4),
    ):
        level = number(most)[:2]
        its = {
            f"{says}: NDCG@20 at {level}": (perturbation, "value", most),
            f"kept, to {level}": (perturbation, "kept", most),
        }
        held = ranked[ranked["perturbation"] == perturbation].set_index("loss")
        cells = [bold(held.loc[loss]) for loss in each.manifest.specs["loss"] if loss in held.index]
        rows += [*differences(each, runs[0], its), f"| what is then kept | {' | '.join(cells)} |"]
    require(rows, checkout)


def differences(run: Run, other: Run, its: dict[str, tuple[str, str, float]]) -> list[str]:
    """Return rows of each loss minus itself in another run: says -> perturbation, quantity, level.

    A difference on clean data is of no perturbation, "".
    """
    found = contrasts_of_runs(run, other)
    found = found[found["metric"] == "ndcg@20"].fillna({"perturbation": ""})
    rows = []
    for says, (perturbation, quantity, level) in its.items():
        row = found[(found["perturbation"] == perturbation) & (found["level"] == level)]
        row = row[row["quantity"] == quantity]
        assert len(row) == LOSSES
        cells = [
            f"**{number(one, '+')}**" if verdict in ("higher", "lower") else number(one, "+")
            for one, verdict in zip(row["difference"], row["verdict"], strict=True)
        ]
        rows.append(f"| {says} | {' | '.join(cells)} |")
    return rows
