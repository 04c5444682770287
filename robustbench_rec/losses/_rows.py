"""Our losses row by row, compiled; each equals the torch form of the loss that names it.

Slopes are derivatives of a row's loss. See `robustbench_rec.rows`. Imports numba: import it late.
"""

from __future__ import annotations

import numpy as np

from robustbench_rec.rows import (
    HALF,
    ONE,
    TWO,
    ZERO,
    Doubles,
    Floats,
    LossAndSlope,
    exp,
    largest,
    log,
    relu,
    row_function,
    row_helper,
    sigmoid,
    softplus,
)

LEAST_RATIO = np.float32(1e-30)
"""Of a term to the largest: less has no weight, and no normal logarithm."""


@row_helper
def _log_sum_exp(
    scores: Floats, slopes: Floats, rate: np.float32, weight: np.float32
) -> np.float32:
    """Return log SUM_j exp(rate n_j); slopes of the negatives become weight times its own."""
    top = largest(scores[1:])
    total = ZERO
    for n in range(1, scores.size):
        slopes[n] = exp(rate * (scores[n] - top))
        total += slopes[n]
    factor = rate * weight / total
    for n in range(1, scores.size):
        slopes[n] *= factor
    return rate * top + log(total)


@row_helper
def _pull(slopes: Floats, factor: np.float32) -> np.float32:
    """Scale the slopes of the negatives, and return the positive's: minus their sum."""
    pull = ZERO
    for n in range(1, slopes.size):
        slopes[n] *= factor
        pull += slopes[n]
    return -pull


@row_function
def bpr(scores: Floats, slopes: Floats, settings: Doubles, own: np.float32) -> LossAndSlope:
    """Return MEAN_j softplus(n_j - p)."""
    share = ONE / np.float32(scores.size - 1)
    value = pull = ZERO
    for n in range(1, scores.size):
        apart = scores[n] - scores[0]
        value += softplus(apart)
        slopes[n] = share * sigmoid(apart)
        pull += slopes[n]
    slopes[0] = -pull
    return share * value, ZERO


@row_function
def bce(scores: Floats, slopes: Floats, settings: Doubles, own: np.float32) -> LossAndSlope:
    """Return the mean of w softplus(-p) and of all softplus(n_j); the setting is w."""
    share, weight = ONE / np.float32(scores.size), np.float32(settings[0])
    value = weight * softplus(-scores[0])
    slopes[0] = -share * weight * sigmoid(-scores[0])
    for n in range(1, scores.size):
        value += softplus(scores[n])
        slopes[n] = share * sigmoid(scores[n])
    return share * value, ZERO


@row_function
def mse(scores: Floats, slopes: Floats, settings: Doubles, own: np.float32) -> LossAndSlope:
    """Return the mean of sigmoid(-p)^2 and of all sigmoid(n_j)^2."""
    share = ONE / np.float32(scores.size)
    miss = sigmoid(-scores[0])
    value = miss * miss
    slopes[0] = -TWO * share * miss * miss * (ONE - miss)
    for n in range(1, scores.size):
        miss = sigmoid(scores[n])
        value += miss * miss
        slopes[n] = TWO * share * miss * miss * (ONE - miss)
    return share * value, ZERO


@row_function
def ccl(scores: Floats, slopes: Floats, settings: Doubles, own: np.float32) -> LossAndSlope:
    """Return relu(1 - p) + w MEAN_j relu(n_j - m); settings are m and w."""
    margin = np.float32(settings[0])
    share = np.float32(settings[1]) / np.float32(scores.size - 1)
    value = ZERO
    for n in range(1, scores.size):
        value += relu(scores[n] - margin)
        slopes[n] = share if scores[n] > margin else ZERO
    slopes[0] = -ONE if scores[0] < ONE else ZERO
    return relu(ONE - scores[0]) + share * value, ZERO


@row_function
def drrl(scores: Floats, slopes: Floats, settings: Doubles, own: np.float32) -> LossAndSlope:
    """Return relu(1 - p) + the power mean of eps + c relu(n_j - m_u) + m_u.

    Settings are the dual order a*, eps and c; m_u is the row's own. Terms are divided by the
    largest: orders near 1 have huge duals. The rounding error of a ratio near 1 is corrected by
    the difference of the scores, which is exact.
    """
    dual, eps, scale = np.float32(settings[0]), np.float32(settings[1]), np.float32(settings[2])
    n_negatives = np.float32(scores.size - 1)
    highest = max(largest(scores[1:]), own)
    top, total = eps + scale * (highest - own), ZERO
    for n in range(1, scores.size):
        term = eps + scale * relu(scores[n] - own)
        ratio = max(term / top, LEAST_RATIO)
        lost = scale * (max(scores[n], own) - highest) / top - (ratio - ONE)
        power = exp(dual * (log(ratio) + (lost / ratio if ratio > HALF else ZERO)))
        total += power
        slopes[n] = power / term if scores[n] > own else ZERO
    norm = top * exp(log(total / n_negatives) / dual)
    factor, push = scale * norm / total, ZERO
    for n in range(1, scores.size):
        slopes[n] *= factor
        push += slopes[n]
    slopes[0] = -ONE if scores[0] < ONE else ZERO
    return relu(ONE - scores[0]) + norm + own, ONE - push


@row_function
def softmax(scores: Floats, slopes: Floats, settings: Doubles, own: np.float32) -> LossAndSlope:
    """Return w log SUM_j exp(n_j / t) - p / t_p; settings are t, w and t_p."""
    rate, weight = np.float32(1 / settings[0]), np.float32(settings[1])
    pull = np.float32(1 / settings[2])
    slopes[0] = -pull
    return weight * _log_sum_exp(scores, slopes, rate, weight) - pull * scores[0], ZERO


@row_function
def softmax_inside(
    scores: Floats, slopes: Floats, settings: Doubles, own: np.float32
) -> LossAndSlope:
    """Return softplus(log SUM_j exp(n_j / t) - p / t): the positive joins the sum."""
    rate = np.float32(1 / settings[0])
    apart = _log_sum_exp(scores, slopes, rate, ONE) - rate * scores[0]
    weight = sigmoid(apart)
    slopes[0] = -rate
    for n in range(scores.size):
        slopes[n] *= weight
    return softplus(apart), ZERO


@row_function
def sl_at_k(scores: Floats, slopes: Floats, settings: Doubles, own: np.float32) -> LossAndSlope:
    """Return sigmoid((p - beta_u) / t_w) log SUM_j exp((n_j - p) / t_d); own is beta_u."""
    rate, sharpness = np.float32(1 / settings[0]), np.float32(1 / settings[1])
    weight = sigmoid(sharpness * (scores[0] - own))
    error = _log_sum_exp(scores, slopes, rate, weight) - rate * scores[0]
    by_weight = sharpness * weight * (ONE - weight) * error
    slopes[0] = by_weight - rate * weight
    return weight * error, -by_weight


@row_function
def psl_relu(scores: Floats, slopes: Floats, settings: Doubles, own: np.float32) -> LossAndSlope:
    """Return log SUM_j s(d_j)^(1/t) with s = relu(d + 1), d_j = (n_j - p) / 2.

    Settings are t and the least s.
    """
    rate, least = np.float32(1 / settings[0]), np.float32(settings[1])
    for n in range(1, scores.size):
        slopes[n] = rate * log(max(HALF * (scores[n] - scores[0]) + ONE, least))
    top, total = largest(slopes[1:]), ZERO
    for n in range(1, scores.size):
        surrogate = HALF * (scores[n] - scores[0]) + ONE
        power = exp(slopes[n] - top)
        total += power
        slopes[n] = power / surrogate if surrogate >= least else ZERO
    slopes[0] = _pull(slopes, HALF * rate / total)
    return top + log(total), ZERO


@row_function
def psl_tanh(scores: Floats, slopes: Floats, settings: Doubles, own: np.float32) -> LossAndSlope:
    """Return the same with s = tanh(d) + 1, which is 2 sigmoid(n_j - p)."""
    rate, least = np.float32(1 / settings[0]), np.float32(settings[1])
    for n in range(1, scores.size):
        slopes[n] = rate * log(max(TWO * sigmoid(scores[n] - scores[0]), least))
    top, total = largest(slopes[1:]), ZERO
    for n in range(1, scores.size):
        half = sigmoid(scores[n] - scores[0])
        power = exp(slopes[n] - top)
        total += power
        slopes[n] = power * TWO * (ONE - half) if TWO * half >= least else ZERO
    slopes[0] = _pull(slopes, HALF * rate / total)
    return top + log(total), ZERO
