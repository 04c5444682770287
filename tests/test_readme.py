"""The README's plugin is the very file that is tested."""

from robustbench_rec import PERTURBATIONS
from robustbench_rec.registry import load_plugins
from robustbench_rec.testing import PerturbationContract


def test_the_readme_s_plugin_passes_the_contract(readme_plugin, tmp_path):
    path = tmp_path / "hidden_hits.py"
    path.write_text(readme_plugin)
    load_plugins([str(path)])

    class Contract(PerturbationContract):
        perturbation = PERTURBATIONS["hidden_hits"]

    contract = Contract()
    checks = [getattr(contract, name) for name in dir(contract) if name.startswith("test_")]
    assert len(checks) >= 10
    for check in checks:
        check()


def test_every_command_of_the_readme_is_one_of_ours(checkout):
    from robustbench_rec.cli import main

    text = (checkout / "README.md").read_text()
    said = [line.strip() for line in text.splitlines()]
    commands = [line.split()[1] for line in said if line.startswith("robustbench-rec ")]
    assert commands
    assert set(commands) <= set(main.commands)
