import subprocess
import sys
from dataclasses import dataclass

import pytest

from robustbench_rec import LOSSES, PERTURBATIONS, InputError, Loss, setting, spec
from robustbench_rec.components.registry import Registry, code_of, load_plugins
from robustbench_rec.components.settings import described


def test_our_own_are_found():
    assert {"bpr", "bce", "mse", "softmax", "ccl", "drrl"} <= set(LOSSES)
    assert not LOSSES.broken
    assert not PERTURBATIONS.broken


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(InputError, match=r"no perturbation named 'hiden_positives'; did you mean"):
        PERTURBATIONS["hiden_positives"]


def test_a_name_is_held_once_and_well_formed():
    registry: Registry[Loss] = Registry("loss", "robustbench_rec.losses")

    @registry.add("mine")
    @dataclass(frozen=True)
    class Mine(Loss):
        pass

    with pytest.raises(ValueError, match=r"loss 'mine' is already taken by .*Mine"):

        @registry.add("mine")
        @dataclass(frozen=True)
        class Other(Loss):
            pass

    with pytest.raises(ValueError, match="must match"):
        registry.add("../mine")
    with pytest.raises(TypeError, match="must be decorated with @dataclass"):
        registry.add("plain")(type("Plain", (Loss,), {}))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "softmax", "taau": 1}, r"softmax has no setting 'taau'; did you mean 'tau'\?"),
        ({"name": "softmax", "tau": "0.2"}, r"softmax.tau is '0.2'; it should be a valid number"),
        ({"name": "softmax", "tau": 0}, r"Softmax.tau is 0.*; it must be > 0"),
        (
            {"name": "softmax", "tau": float("nan")},
            r"Softmax.tau is nan; it must be finite",
        ),
        ({"name": "softmax", "n_negatives": 2.5}, r"n_negatives is 2.5; it should be a valid int"),
        ({"name": "softmax", "score": "cos"}, r"score is 'cos'; it should be 'cosine' or 'dot'"),
        ({"name": "drrl", "order": 1.0}, r"DrRL.order is 1.0; it must be > 1"),
        ({"tau": 1}, r"a loss needs a `name`"),
    ],
)
def test_a_bad_table_is_refused_by_one_line(table, message):
    with pytest.raises(InputError, match=message) as caught:
        LOSSES.build(table)
    assert "\n" not in str(caught.value)


def test_a_misspelt_setting_gets_the_nearest_in_python_too():
    with pytest.raises(TypeError, match=r"softmax has no setting 'taau'; did you mean 'tau'\?"):
        LOSSES["softmax"](taau=1)


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("softmax", {"tau": "0.1"}, "Softmax.tau is '0.1'; it must be a number"),
        ("softmax", {"tau": True}, "Softmax.tau is True; it must be a number"),
        ("softmax", {"n_negatives": 2.5}, "Softmax.n_negatives is 2.5; it must be a whole number"),
        ("softmax", {"score": "cos"}, "Softmax.score is 'cos'; it must be one of 'cosine', 'dot'"),
    ],
)
def test_a_value_of_another_type_is_refused_in_python_too(name, settings, says):
    with pytest.raises(InputError, match=says):
        LOSSES[name](**settings)


def test_a_spec_prints_every_setting_own_ones_first():
    loss = LOSSES.build({"name": "softmax", "tau": 0.1})
    assert spec(loss) == "softmax(tau=0.1, positive=outside, n_negatives=1000, score=cosine)"
    assert spec(loss, without="tau") == "softmax(positive=outside, n_negatives=1000, score=cosine)"


def test_settings_describe_themselves():
    rows = {row["name"]: row for row in described(LOSSES["softmax"])}
    assert rows["tau"] == {
        "name": "tau",
        "required": False,
        "default": 0.2,
        "domain": "> 0",
        "about": "temperature, on the cosine scale",
    }
    assert rows["score"]["domain"] == "cosine | dot"


PLUGIN = '''
from dataclasses import dataclass
from robustbench_rec import PERTURBATIONS, Perturbation

@PERTURBATIONS.add("mine-once")
@dataclass(frozen=True)
class Mine(Perturbation):
    """Mine."""
'''


def test_a_plugin_file_registers_and_loads_once(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    load_plugins([str(path)])
    mine = PERTURBATIONS["mine-once"]
    load_plugins([str(path)])
    assert PERTURBATIONS["mine-once"] is mine


def digest(path, text):
    """Import the text as a plugin and return the digest of the class Mine in it."""
    path.write_text(text)
    load_plugins([str(path)])
    (module,) = (m for m in list(sys.modules.values()) if getattr(m, "__file__", "") == str(path))
    return code_of(module.Mine)


def test_the_digest_of_code_follows_code_and_not_comments(tmp_path):
    text = 'FACTOR = 1\n\nclass Mine:\n    """Words."""\n\n    x = 1  # why\n'
    one = digest(tmp_path / "one.py", text)
    assert one == digest(tmp_path / "two.py", text.replace("Words", "Others").replace("why", "so"))
    assert one != digest(tmp_path / "three.py", text.replace("x = 1", "x = 2"))
    assert one != digest(tmp_path / "four.py", text.replace("FACTOR = 1", "FACTOR = 2"))


def test_the_digest_of_code_does_not_follow_imports(tmp_path):
    text = "import math\n\nclass Mine:\n    x = 1\n\n    def half(self):\n        return 0.5\n"
    moved = text.replace("import math", "from math import pi as tau\nimport json")
    for_types = text.replace(
        "import math", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import math"
    )
    inside = text.replace("        return", "        import math\n\n        return")
    one = digest(tmp_path / "imports_one.py", text)
    assert one == digest(tmp_path / "imports_two.py", moved)
    assert one == digest(tmp_path / "imports_three.py", for_types)
    assert one == digest(tmp_path / "imports_four.py", inside)
    kept = text.replace("    x = 1", "    if 2 > 1:\n        x = 1")
    assert one != digest(tmp_path / "imports_five.py", kept)


def test_a_plugin_cannot_take_a_name_of_ours(tmp_path):
    path = tmp_path / "thief.py"
    path.write_text(PLUGIN.replace("mine-once", "hidden_positives"))
    with pytest.raises(InputError, match=r"perturbation 'hidden_positives' is already taken by "):
        load_plugins([str(path)])
    # In a fresh process the plugin comes before anybody has looked ours up.
    code = (
        "from robustbench_rec.components.registry import load_plugins\n"
        f"try: load_plugins([{str(path)!r}])\nexcept ValueError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "needs another name" in said.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_that_name", "could not be imported: ModuleNotFoundError"),
        ("raise RuntimeError('mine')", "could not be imported: RuntimeError: mine"),
        ("def", "could not be imported: SyntaxError"),
    ],
)
def test_a_broken_plugin_is_named(tmp_path, text, message):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_plugins([str(path)])
    with pytest.raises(InputError, match="no such file"):
        load_plugins([str(tmp_path / "absent.py")])


def test_a_broken_module_of_a_registry_does_not_take_the_others_along(tmp_path, monkeypatch):
    package = tmp_path / "half_broken"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "bad.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry: Registry[Loss] = Registry("loss", "half_broken")
    assert list(registry) == []
    with pytest.raises(
        InputError, match=r"half_broken.bad could not be imported \(ZeroDivisionError"
    ):
        registry["any"]


def test_a_required_setting_is_asked_for():
    registry: Registry[Loss] = Registry("loss", "robustbench_rec.losses")

    @registry.add("needy")
    @dataclass(frozen=True, kw_only=True)
    class Needy(Loss):
        must: int = setting()

    with pytest.raises(InputError, match="needy needs the setting 'must'"):
        registry.build({"name": "needy"})
