"""The sodium-calcium exchanger and the sodium-potassium pump of O'Hara et al. (2011), text S1, pages 12 to 15: cycles of four states."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.cell_model import Cells

Outer = Float[Array, ""]


def exchanged(v: Cells, thermal: Outer, sodium: Cells, calcium: Cells, outer_sodium: Outer, outer_calcium: Outer) -> Cells:
    """Charge that one exchanger moves outward, 1/s, with its activation by calcium.

    Args:
        v: mV.
        thermal: RT/F, mV.
        sodium: Inside, mmol/L; calcium likewise.
        calcium: Beside the exchanger.
        outer_sodium: mmol/L.
        outer_calcium: mmol/L.
    """
    kna1, kna2, kna3 = 15.0, 5.0, 88.12  # mmol/L
    wna, wca, wnaca, on, off = 6e4, 6e4, 5e3, 1.5e6, 5e3  # 1/s, the fourth in L/mmol/s
    hca, hna = jnp.exp(0.167 * v / thermal), jnp.exp(0.5224 * v / thermal)
    h1 = 1 + sodium / kna3 * (1 + hna)
    h2, h3 = sodium * hna / (kna3 * h1), 1 / h1
    h4 = 1 + sodium / kna1 * (1 + sodium / kna2)
    h7 = 1 + outer_sodium / kna3 * (1 + 1 / hna)
    h8 = outer_sodium / (kna3 * hna * h7)
    h10 = 13.5 + outer_sodium / kna1 * (1 + outer_sodium / kna2)
    k1 = outer_calcium * on / h10
    k3_sodium, k4_sodium = h8 * wnaca, h2 * wnaca
    k3, k4 = wca / h7 + k3_sodium, h3 * wca / hca + k4_sodium
    k6 = calcium * on / h4
    k7 = sodium**2 / (h4 * kna1 * kna2) * h2 * wna
    k8 = h8 * outer_sodium**2 / (h10 * kna1 * kna2) * wna
    x1 = off * k4 * (k7 + k6) + off * k7 * (off + k3)
    x2 = k1 * k7 * (k4 + off) + k4 * k6 * (k1 + k8)
    x3 = k1 * k3 * (k7 + k6) + k8 * k6 * (off + k3)
    x4 = off * k8 * (k4 + off) + k3 * off * (k1 + k8)
    total = x1 + x2 + x3 + x4
    by_sodium = 3 * (x4 * k7 - x1 * k8) + x3 * k4_sodium - x2 * k3_sodium
    by_calcium = x2 * off - x1 * k1
    return (by_sodium + 2 * by_calcium) / total / (1 + (150e-6 / calcium) ** 2)


def pumped(v: Cells, thermal: Outer, sodium: Cells, potassium: Cells, outer_sodium: Outer, outer_potassium: Outer) -> Cells:
    """Cycles of one pump, 1/s; each moves three sodium ions out and two potassium ions in.

    As the authors' program but for two slips that public versions correct: protons are 1e-4 mmol/L (pH 7), and the second of the four
    terms of the first state has b1 b4 b3. With them all four transitions carry the same flux. The current changes by less than 1e-8.
    """
    reduced = v / (3 * thermal)
    knai, knao = 9.073 * jnp.exp(-0.155 * reduced), 27.78 * jnp.exp(1.155 * reduced)
    fuel = 9.8 / 1.698e-7
    phosphate = 4.2 / (1 + 1e-4 / 1.698e-7 + sodium / 224 + potassium / 292)
    inside = (1 + sodium / knai) ** 3 + (1 + potassium / 0.5) ** 2 - 1
    outside = (1 + outer_sodium / knao) ** 3 + (1 + outer_potassium / 0.3582) ** 2 - 1
    a1, a2 = 949.5 * (sodium / knai) ** 3 / inside, 687.2
    a3, a4 = 1899 * (outer_potassium / 0.3582) ** 2 / outside, 639 * fuel / (1 + fuel)
    b1, b2 = 182.4 * 0.05, 39.4 * (outer_sodium / knao) ** 3 / outside
    b3, b4 = 79300 * 1e-4 * phosphate / (1 + fuel), 40 * (potassium / 0.5) ** 2 / inside
    x1 = a4 * a1 * a2 + b1 * b4 * b3 + a2 * b4 * b3 + b3 * a1 * a2
    x2 = b2 * b1 * b4 + a1 * a2 * a3 + a3 * b1 * b4 + a2 * a3 * b4
    x3 = a2 * a3 * a4 + b3 * b2 * b1 + b2 * b1 * a4 + a3 * a4 * b1
    x4 = b4 * b3 * b2 + a3 * a4 * a1 + b2 * a4 * a1 + b3 * b2 * a1
    return (a1 * a2 * a3 * a4 - b1 * b2 * b3 * b4) / (x1 + x2 + x3 + x4)
