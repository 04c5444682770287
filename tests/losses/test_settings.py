"""Settings of losses out of range: one line with the file, the place, and what is allowed."""

import pytest

from robustbench_rec import LOSSES, InputError
from robustbench_rec.experiment.suite_file import load_suite

SUITE = """\
name = "tiny"
baselines = []

[[dataset]]
name = "synthetic"

[[backbone]]
name = "mf"

[[perturbation]]
name = "hidden_positives"
level = [0]

[[loss]]
"""
FIRST = SUITE.count("\n") + 1
"""The line of the loss's name."""

ROWS = [
    ("softmax", "tau = 0", "Softmax.tau is 0.0; it must be > 0"),
    ("softmax", "tau = -0.2", "Softmax.tau is -0.2; it must be > 0"),
    ("softmax", "tau = inf", "Softmax.tau is inf; it must be finite and > 0"),
    ("softmax", "n_negatives = 0", "Softmax.n_negatives is 0; it must be >= 1"),
    ("softmax", 'positive = "both"', "softmax.positive is 'both'; it should be 'outside' or "),
    ("bsl", "tau1 = 0.0", "BSL.tau1 is 0.0; it must be > 0"),
    ("bsl", "tau2 = -1", "BSL.tau2 is -1.0; it must be > 0"),
    ("bsl", 'variant = "paper"', "bsl.variant is 'paper'; it should be 'benchmark' or 'authors'"),
    ("psl", "tau = nan", "PSL.tau is nan; it must be finite and > 0"),
    ("psl", 'activation = "sigmoid"', "psl.activation is 'sigmoid'; it should be 'tanh', "),
    ("ccl", "weight = 0", "CCL.weight is 0.0; it must be > 0"),
    ("ccl", "margin = inf", "CCL.margin is inf; it must be finite"),
    ("drrl", "order = 1", "DrRL.order is 1.0; it must be > 1"),
    ("drrl", "order = 0.5", "DrRL.order is 0.5; it must be > 1"),
    ("drrl", "order = inf", "DrRL.order is inf; it must be finite and > 1"),
    ("drrl", "eps = 0", "DrRL.eps is 0.0; it must be > 0"),
    ("drrl", "scale = 0", "DrRL.scale is 0.0; it must be > 0"),
    ("drrl", "margin_lr = -1", "DrRL.margin_lr is -1.0; it must be >= 0"),
    ("gbce", "calibration = 1.5", "GBCE.calibration is 1.5; it must be in [0, 1]"),
    ("t_ce", "drop = 1", "TruncatedCE.drop is 1.0; it must be in [0, 1)"),
    ("t_ce", "warm_up = 0", "TruncatedCE.warm_up is 0; it must be >= 1"),
    ("r_ce", "power = -0.1", "ReweightedCE.power is -0.1; it must be >= 0"),
    ("directau", "gamma = -1", "DirectAU.gamma is -1.0; it must be >= 0"),
    ("directau", "n_negatives = 5", "DirectAU.n_negatives is 5; it must be in [0, 0]"),
    ("advinfonce", "n_negatives = 1", "AdvInfoNCE.n_negatives is 1; it must be >= 2"),
    ("advinfonce", "weight = 0", "AdvInfoNCE.weight is 0.0; it must be > 0"),
    ("advinfonce", "every = 0", "AdvInfoNCE.every is 0; it must be >= 1"),
    ("advinfonce", "passes = -1", "AdvInfoNCE.passes is -1; it must be >= 0"),
    ("advinfonce", 'adversary = "mlp"', "advinfonce.adversary is 'mlp'; it should be 'dot' or "),
    ("llpauc", "alpha = 0", "LLPAUC.alpha is 0.0; it must be in (0, 1]"),
    ("llpauc", "alpha = 1.1", "LLPAUC.alpha is 1.1; it must be in (0, 1]"),
    ("llpauc", "beta = -0.1", "LLPAUC.beta is -0.1; it must be in (0, 1]"),
    ("llpauc", 'saddle = "flat"', "llpauc.saddle is 'flat'; it should be 'ascent' or 'descent'"),
    ("sl_at_k", "tau_w = 0", "SLAtK.tau_w is 0.0; it must be > 0"),
    ("sl_at_k", "k = 0", "SLAtK.k is 0; it must be >= 1"),
    ("softmax", "temperature = 0.2", "softmax has no setting 'temperature'"),
]


OF_TWO_SETTINGS = [
    ("sl_at_k", "k = 2000", "SLAtK.n_negatives is 1000; it must be >= k, which is 2000"),
    ("sl_at_k", "n_negatives = 19", "SLAtK.n_negatives is 19; it must be >= k, which is 20"),
]
"""What a loss checks by itself; a plain ValueError names no place, so the table's line is told."""


@pytest.mark.parametrize(("loss", "setting", "says"), OF_TWO_SETTINGS)
def test_settings_that_do_not_fit_are_shown_at_the_line_of_their_table(
    tmp_path, loss, setting, says
):
    path = tmp_path / "tiny.toml"
    path.write_text(f'{SUITE}name = "{loss}"\n{setting}\n')
    with pytest.raises(InputError) as caught:
        load_suite(str(path), tmp_path)
    assert str(caught.value).startswith(f"{path}:{FIRST - 1}: {says}")


@pytest.mark.parametrize(("loss", "setting", "says"), ROWS)
def test_a_setting_out_of_range_is_shown_at_its_line_with_what_is_allowed(
    tmp_path, loss, setting, says
):
    path = tmp_path / "tiny.toml"
    path.write_text(f'{SUITE}name = "{loss}"\n{setting}\n')
    with pytest.raises(InputError) as caught:
        load_suite(str(path), tmp_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}:{FIRST + 1}: {says}")


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        ("llpauc", "alpha = 1\nbeta = 1"),
        ("sl_at_k", "k = 20\nn_negatives = 20"),
        ("advinfonce", "n_negatives = 2\npasses = 0"),
        ("drrl", "order = 1.0001"),
        ("t_ce", "drop = 0"),
        ("gbce", "calibration = 0"),
    ],
)
def test_the_ends_of_the_ranges_are_allowed(tmp_path, loss, settings):
    path = tmp_path / "tiny.toml"
    path.write_text(f'{SUITE}name = "{loss}"\n{settings}\n')
    ((loaded, _, _),) = load_suite(str(path), tmp_path).losses
    assert loaded.name == loss


@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "untrained"])
def test_every_loss_can_be_named_without_settings(loss):
    LOSSES[loss]()
