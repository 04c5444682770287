"""The README's plugin is the very file that is tested."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def test_the_readme_s_plugin_passes_the_readme_s_test(checkout, readme_plugin, tmp_path):
    text = (checkout / "README.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    (contract,) = (block for block in blocks if "PerturbationContract" in block)
    (tmp_path / "hidden_hits.py").write_text(readme_plugin)
    (tmp_path / "test_hidden_hits.py").write_text(contract)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "11 passed" in done.stdout


def test_the_readme_s_metric_passes_the_contract(checkout, tmp_path):
    text = (checkout / "README.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    metric, contract = (block for block in blocks if "RankBiasedPrecision" in block)
    (tmp_path / "rbp.py").write_text(metric)
    (tmp_path / "test_rbp.py").write_text(contract)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout


def test_every_command_of_the_readme_is_one_of_ours(checkout):
    from robustbench_rec.cli.main import main

    text = (checkout / "README.md").read_text()
    said = [line.strip() for line in text.splitlines()]
    commands = [line.split()[1] for line in said if line.startswith("robustbench-rec ")]
    assert commands
    assert set(commands) <= set(main.commands)


def test_the_readme_s_loss_passes_the_contract(checkout, tmp_path):
    text = (checkout / "README.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    loss, contract = (block for block in blocks if "LearnedHinge" in block)
    (tmp_path / "learned_hinge.py").write_text(loss)
    (tmp_path / "test_learned_hinge.py").write_text(contract)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("said", ["Split.from_frames(train, test)", 'run("smoke", '])
def test_what_the_readme_says_of_python_runs_as_it_stands(checkout, tmp_path, said):
    text = (checkout / "README.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    (code,) = (block for block in blocks if said in block)
    pairs = [(f"u{user}", 7 * user + k * k) for user in range(60) for k in range(6)]
    for name, part in (("train", pairs), ("test", [(user, item + 30) for user, item in pairs])):
        rows = [f"{user},{item % 50}" for user, item in part]
        (tmp_path / f"{name}.csv").write_text("\n".join(["user,item", *dict.fromkeys(rows)]))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert len(code.strip().splitlines()) <= 15
