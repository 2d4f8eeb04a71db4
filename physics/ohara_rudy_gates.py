"""Steady states and time constants of the gates that depend on the voltage alone, O'Hara et al. (2011), text S1."""

import jax.numpy as jnp
from jax.nn import sigmoid
from jaxtyping import Array, Float

from physics.cell_model import Cells

Listed = tuple[list[Cells], list[Cells]]


def sodium_gates(v: Cells, late_time: Float[Array, ""]) -> Listed:
    """m, hf, hs, j, hsp, jp of the fast current and mL, hL, hLp of the late one (pages 6 and 7)."""
    m_constant = 1 / (6.765 * jnp.exp((v + 11.64) / 34.77) + 8.552 * jnp.exp(-(v + 77.42) / 5.955))
    fast = 1 / (1.432e-5 * jnp.exp(-(v + 1.196) / 6.285) + 6.149 * jnp.exp((v + 0.5096) / 20.27))
    slow = 1 / (0.009794 * jnp.exp(-(v + 17.95) / 28.05) + 0.3343 * jnp.exp((v + 5.73) / 56.66))
    recovery = 2.038 + 1 / (0.02136 * jnp.exp(-(v + 100.6) / 8.281) + 0.3052 * jnp.exp((v + 0.9941) / 38.45))
    h = sigmoid(-(v + 82.9) / 6.086)
    late = jnp.broadcast_to(late_time, v.shape)
    steady = [
        *(sigmoid((v + 39.57) / 9.871), h, h, h, sigmoid(-(v + 89.1) / 6.086), h),
        *(sigmoid((v + 42.85) / 5.264), sigmoid(-(v + 87.61) / 7.488), sigmoid(-(v + 93.81) / 7.488)),
    ]
    return steady, [m_constant, fast, slow, recovery, 3 * slow, 1.46 * recovery, m_constant, late, 3 * late]


def outward_gates(v: Cells, epicardial: bool) -> Listed:
    """a, if, is, ap, ifp, isp of the transient outward current (page 8)."""
    activation = 1.0515 / (sigmoid((v - 18.4099) / 29.3814) / 1.2089 + 3.5 * sigmoid(-(v + 100) / 29.3814))
    share = 1 - 0.95 * sigmoid(-(v + 70) / 5) if epicardial else 1.0
    fast = share * (4.562 + 1 / (0.3933 * jnp.exp(-(v + 100) / 100) + 0.08004 * jnp.exp((v + 50) / 16.59)))
    slow = share * (23.62 + 1 / (0.001416 * jnp.exp(-(v + 96.52) / 59.05) + 1.78e-8 * jnp.exp((v + 114.1) / 8.079)))
    # 1e-4 / (e^p + e^q): q is above 500 at rest, where e^q overflows short numbers and spoils the gradient of long ones.
    develop = 1.354 + 1e-4 * jnp.exp(-jnp.logaddexp((v - 167.4) / 15.89, -(v - 12.23) / 0.2154))
    phosphorylated = develop * (1 - 0.5 * sigmoid(-(v + 70) / 20))
    i = sigmoid(-(v + 43.94) / 5.711)
    steady = [sigmoid((v - 14.34) / 14.82), i, i, sigmoid((v - 24.34) / 14.82), i, i]
    return steady, [activation, fast, slow, activation, phosphorylated * fast, phosphorylated * slow]


def calcium_gates(v: Cells, recovering: Cells, subspace: Cells) -> Listed:
    """d, ff, fs, fcaf, fcas, jca, nca, ffp, fcafp of the L-type current (pages 9 and 10); nca follows jca and calcium."""
    d_constant = 0.6 + 1 / (jnp.exp(-0.05 * (v + 6)) + jnp.exp(0.09 * (v + 14)))
    fast = 7 + 1 / (0.0045 * jnp.exp(-(v + 20) / 10) + 0.0045 * jnp.exp((v + 20) / 10))
    slow = 1000 + 1 / (3.5e-5 * jnp.exp(-(v + 5) / 4) + 3.5e-5 * jnp.exp((v + 5) / 6))
    calcium_fast = 7 + 1 / (0.04 * jnp.exp(-(v - 4) / 7) + 0.04 * jnp.exp((v - 4) / 7))
    calcium_slow = 100 + 1 / (0.00012 * jnp.exp(-v / 3) + 0.00012 * jnp.exp(v / 7))
    f = sigmoid(-(v + 19.58) / 3.696)
    # Binding at 1000/ms over unbinding at jca/ms, with four calcium ions needed.
    bound = 1 / (1 + 1e-3 * recovering * (1 + 0.002 / subspace) ** 4)
    unbinding = 1 / jnp.maximum(recovering, 1e-6)
    steady = [sigmoid((v + 3.94) / 4.23), f, f, f, f, f, bound, f, f]
    return steady, [
        *(d_constant, fast, slow, calcium_fast, calcium_slow, jnp.full_like(v, 75.0), unbinding),
        *(2.5 * fast, 2.5 * calcium_fast),
    ]


def rapid_potassium_gates(v: Cells) -> Listed:
    """xrf and xrs of the rapid delayed rectifier (page 11)."""
    x = sigmoid((v + 8.337) / 6.789)
    fast = 12.98 + 1 / (0.3652 * jnp.exp((v - 31.66) / 3.869) + 4.123e-5 * jnp.exp(-(v - 47.78) / 20.38))
    slow = 1.865 + 1 / (0.06629 * jnp.exp((v - 34.7) / 7.355) + 1.128e-5 * jnp.exp(-(v - 29.74) / 25.94))
    return [x, x], [fast, slow]


def potassium_gates(v: Cells, outer_potassium: Float[Array, ""]) -> Listed:
    """xs1 and xs2 of the slow delayed rectifier and xk1 of the inward one (pages 11 and 12)."""
    x = sigmoid((v + 11.6) / 8.932)
    first = 817.3 + 1 / (2.326e-4 * jnp.exp((v + 48.28) / 17.8) + 0.001292 * jnp.exp(-(v + 210) / 230))
    second = 1 / (0.01 * jnp.exp((v - 50) / 20) + 0.0193 * jnp.exp(-(v + 66.54) / 31))
    rectifier = sigmoid((v + 2.5538 * outer_potassium + 144.59) / (1.5692 * outer_potassium + 3.8115))
    constant = 122.2 / (jnp.exp(-(v + 127.2) / 20.36) + jnp.exp((v + 236.8) / 69.33))
    return [x, x, rectifier], [first, second, constant]
