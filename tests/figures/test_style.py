import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from panels import SIX

from robustbench_rec.figures.style import LOOKS, PLUGIN_LOOKS, look, looks


def luminance(color):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_known_losses_differ_in_colour_and_in_marker_with_pattern():
    assert len({known.color for known in LOOKS.values()}) == len(LOOKS)
    assert len({(known.marker, known.pattern) for known in LOOKS.values()}) == len(LOOKS)


def test_the_six_first_losses_need_no_colour():
    for style in ("marker", "pattern"):
        assert len({getattr(LOOKS[loss], style) for loss in SIX}) == len(SIX)


def test_in_greyscale_equal_patterns_differ_in_marker_and_all_stand_out_from_white():
    by_grey = sorted(LOOKS.values(), key=lambda known: luminance(known.color))
    for one, two in pairwise(by_grey):
        assert (one.marker, one.pattern) != (two.marker, two.pattern)
    assert all(1.05 / (luminance(known.color) + 0.05) > 2 for known in LOOKS.values())


def test_variants_differ_in_shade_marker_pattern_and_fill():
    found = looks([f"softmax(tau={tau})" for tau in (0.3, 0.1, 0.2)])
    base, dark, between = (luminance(style.color) for style in found.values())
    assert dark < between < base
    assert len({style.marker for style in found.values()}) == 3
    assert len({(style.pattern, style.fill) for style in found.values()}) == 3
    assert found["softmax(tau=0.1)"] == LOOKS["softmax"]


@pytest.mark.parametrize("loss", sorted({*LOOKS} - {"popularity", "random"}))
def test_the_colour_of_a_variant_is_far_from_that_of_every_other_loss(loss):
    for style in looks([f"{loss}({i})" for i in "123"]).values():
        apart = [distance(style.color, LOOKS[other].color) for other in LOOKS if other != loss]
        assert min(apart) > 12  # two of the palette are 17 apart


def distance(one, other):
    """Return how far apart two colours look, by CIE 1976, in which 2 is just noticed."""
    return float(np.linalg.norm(lab(one) - lab(other)))


def lab(color):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = (
        np.cbrt(part) if part > 0.008856 else 7.787 * part + 16 / 116
        for part in to_xyz @ linear / [0.9505, 1.0, 1.0888]
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_an_unknown_loss_looks_alike_in_every_process():
    code = "from robustbench_rec.figures.style import look; print(look('my_loss(a=1)'))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {str(look("my_loss"))}


def test_plugins_share_no_marker_and_pattern_with_known_losses():
    known = {(style.marker, style.pattern) for style in LOOKS.values()}
    assert not known & {(style.marker, style.pattern) for style in PLUGIN_LOOKS}
    assert len(set(PLUGIN_LOOKS)) == len(PLUGIN_LOOKS) >= 100
