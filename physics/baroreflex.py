r"""The carotid baroreflex: from the pressure of the arteries to the heart's rate and strength, resistances and the room of the veins."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.parameters import Parameter, ParameterSet

_PAPER = "Ursino (1998), Am. J. Physiol. 275, H1733, Tables 3 and 4 (values by two public implementations of the model)"
SYMPATHETIC_LEAST = 2.66
"""spikes/s; below, effectors of the sympathetic nerves hear nothing."""
EFFECTORS = ("left_elastance", "right_elastance", "splanchnic_resistance", "extrasplanchnic_resistance", "splanchnic_volume",
             "extrasplanchnic_volume", "period_sympathetic", "period_vagal")  # fmt: skip


def _p(value: float, unit: str, low: float, high: float) -> Parameter:
    return Parameter(value, unit, (low, high), _PAPER)


def _effector(name: str, gain: float, unit: str, delay: float, lag: float) -> dict[str, Parameter]:
    return {
        f"{name}_gain": _p(gain, unit, min(0.0, 4 * gain), max(0.0, 4 * gain)),
        f"{name}_delay": _p(delay, "s", 0.0, 10.0),
        f"{name}_lag": _p(lag, "s", 0.1, 60.0),
    }


URSINO_1998 = ParameterSet(
    "Ursino1998",
    set_point=_p(92.0, "mmHg", 50.0, 150.0),
    pressure_width=_p(11.758, "mmHg", 2.0, 40.0),
    afferent_least=_p(2.52, "1/s", 0.0, 20.0),
    afferent_most=_p(47.78, "1/s", 20.0, 120.0),
    pole=_p(2.076, "s", 0.1, 10.0),
    zero=_p(6.37, "s", 0.0, 20.0),
    sympathetic_floor=_p(2.10, "1/s", 0.0, 10.0),
    sympathetic_silent=_p(16.11, "1/s", 5.0, 40.0),
    sympathetic_slope=_p(0.0675, "s", 0.01, 0.5),
    vagal_silent=_p(3.2, "1/s", 0.0, 20.0),
    vagal_most=_p(6.3, "1/s", 1.0, 40.0),
    vagal_centre=_p(25.0, "1/s", 5.0, 80.0),
    vagal_width=_p(7.06, "1/s", 1.0, 40.0),
    **_effector("left_elastance", 0.475, "mmHg/mL", 2.0, 8.0),
    **_effector("right_elastance", 0.282, "mmHg/mL", 2.0, 8.0),
    **_effector("splanchnic_resistance", 0.695, "mmHg s/mL", 2.0, 6.0),
    **_effector("extrasplanchnic_resistance", 0.53, "mmHg s/mL", 2.0, 6.0),
    **_effector("splanchnic_volume", -265.4, "mL", 5.0, 20.0),
    **_effector("extrasplanchnic_volume", -132.5, "mL", 5.0, 20.0),
    **_effector("period_sympathetic", -0.13, "s", 2.0, 2.0),
    **_effector("period_vagal", 0.09, "s^2", 0.2, 1.5),
    left_elastance_base=_p(2.392, "mmHg/mL", 0.5, 8.0),
    right_elastance_base=_p(1.412, "mmHg/mL", 0.2, 5.0),
    splanchnic_resistance_base=_p(2.49, "mmHg s/mL", 0.5, 10.0),
    extrasplanchnic_resistance_base=_p(0.78, "mmHg s/mL", 0.2, 4.0),
    period_base=_p(0.58, "s", 0.3, 1.5),
)
"""Gains act on ln(f - 2.66 + 1) of the sympathetic rate, the last on the vagal rate."""

Effects = Float[Array, "8"]


class Baroreflex(eqx.Module):
    r"""Afferent, efferent and effector equations, one parameter each.

    $$\tau_p\dot{\tilde P} = P + \tau_z\dot P - \tilde P,\qquad
    f_a = \frac{f_{min}+f_{max}e^{(\tilde P-P_n)/k_a}}{1+e^{(\tilde P-P_n)/k_a}},$$
    $$f_s = f_\infty + (f_0-f_\infty)e^{-k f_a},\qquad
    f_v = \frac{f_{v0}+f_{v\infty}e^{(f_a-f_{a0})/k_v}}{1+e^{(f_a-f_{a0})/k_v}},\qquad
    \tau_\theta\dot{\Delta\theta} = G_\theta\ln[f_s(t-D_\theta)-f_{min,s}+1] - \Delta\theta.$$

    Attributes:
        afferent: set_point, pressure_width, afferent_least, afferent_most, pole, zero.
        efferent: sympathetic_floor, sympathetic_silent, sympathetic_slope, vagal_silent, vagal_most, vagal_centre, vagal_width.
        effector: Rows gain, delay, lag; columns :data:`EFFECTORS`.
        base: Of elastances, resistances and the period, :data:`EFFECTORS` without the volumes and the last.
        strength: Of all gains: 1 as published, 0 without reflex.
    """

    afferent: Float[Array, "6"]
    efferent: Float[Array, "7"]
    effector: Float[Array, "3 8"]
    base: Float[Array, "5"]
    strength: Float[Array, ""]

    def filtered(self, inner: Array, pressure: Array) -> Array:
        r"""$\tilde P = x + \frac{\tau_z}{\tau_p}P$ from the inner state $x$."""
        return inner + self.afferent[5] / self.afferent[4] * pressure

    def advanced(self, inner: Array, pressure: Array, step: Array) -> Array:
        r"""$\tau_p\dot x = (1-\tau_z/\tau_p)P - x$ over a step of constant pressure, exactly."""
        pole, zero = self.afferent[4], self.afferent[5]
        rest = (1 - zero / pole) * pressure
        return rest + (inner - rest) * jnp.exp(-step / pole)

    def rates(self, filtered: Array) -> tuple[Array, Array]:
        """Sympathetic drive $\\ln[f_s - 2.66 + 1]$ and vagal rate (1/s), at a filtered pressure."""
        point, width, least, most = self.afferent[:4]
        share = 0.5 * (1 + jnp.tanh(0.5 * (filtered - point) / width))
        spikes = least + (most - least) * share
        floor, silent, slope, silent_vagal, most_vagal, centre, width_vagal = self.efferent
        sympathetic = floor + (silent - floor) * jnp.exp(-slope * spikes)
        part = 0.5 * (1 + jnp.tanh(0.5 * (spikes - centre) / width_vagal))
        return jnp.log1p(jnp.maximum(sympathetic - SYMPATHETIC_LEAST, 0.0)), silent_vagal + (most_vagal - silent_vagal) * part

    def targets(self, drive: Effects) -> Effects:
        """Where the effects go under a drive per effector (the last vagal); in the units of the gains."""
        return self.strength * self.effector[0] * drive

    def factors(self, effects: Effects, resting: Effects) -> tuple[Array, Array, Array, Array, Array]:
        """Left and right elastance, resistance of the systemic bed and period, over those at rest; room of the veins beyond rest, mL.

        Splanchnic and other beds are parallel, as in the paper, so that its gains need no change for a circulation with one bed.
        """

        def values(effects: Array) -> tuple[Array, Array, Array, Array]:
            left, right, first, second, period = self.base
            first, second = first + effects[2], second + effects[3]
            return left + effects[0], right + effects[1], first * second / (first + second), period + effects[6] + effects[7]

        now, rest = values(effects), values(resting)
        ratios = [a / b for a, b in zip(now, rest, strict=True)]
        room = effects[4] + effects[5] - resting[4] - resting[5]
        return ratios[0], ratios[1], ratios[2], jnp.clip(ratios[3], 0.35, 2.5), room


def baroreflex(values: dict[str, float] | None = None, strength: float = 1.0) -> Baroreflex:
    """The published reflex, some values changed by name of :data:`URSINO_1998`.

    Raises:
        KeyError: A wrong name, with the near misses.
    """
    given = values or {}
    for name in given:
        URSINO_1998[name]

    def row(*names: str) -> Array:
        return jnp.asarray([given.get(name, URSINO_1998[name].value) for name in names], float)

    bases = ("left_elastance", "right_elastance", "splanchnic_resistance", "extrasplanchnic_resistance", "period")
    return Baroreflex(
        row("set_point", "pressure_width", "afferent_least", "afferent_most", "pole", "zero"),
        row("sympathetic_floor", "sympathetic_silent", "sympathetic_slope", "vagal_silent", "vagal_most", "vagal_centre", "vagal_width"),
        jnp.stack([row(*(f"{name}_{what}" for name in EFFECTORS)) for what in ("gain", "delay", "lag")]),
        row(*(f"{name}_base" for name in bases)),
        jnp.asarray(strength, float),
    )
