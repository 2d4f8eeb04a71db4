"""The minimal human ventricular cell of Bueno-Orovio, Cherry and Fenton (2008): epicardial, mid-myocardial and endocardial."""

from typing import Literal

import jax.numpy as jnp
from jax.nn import sigmoid
from jaxtyping import Array, Float

from physics.bueno_orovio_parameters import (
    BUENO_OROVIO_2008_ENDO,
    BUENO_OROVIO_2008_EPI,
    BUENO_OROVIO_2008_MID,
    BUENO_OROVIO_2008_TNNP,
)
from physics.cell_model import CellModel, Cells, Gates, Others, Scalar, Stacked
from physics.parameters import arrays_of
from solvers import stack_rows

FRONT = 9.1  # front time over the constant of the fast inward current, measured on cables at spacings of 0.9 and 1.2 sqrt(D ms)


class BuenoOrovio2008(CellModel):
    r"""Voltage $u$ from 0 to about 1.5 and gates $v$, $w$, $s$ of three summed currents.

    $$\dot u = -(J_{fi} + J_{so} + J_{si}) + J, \quad
    J_{fi} = -v\,H(u-\theta_v)\frac{(u-\theta_v)(u_u-u)}{\tau_{fi}}, \quad
    J_{so} = \frac{(u-u_o)(1-H(u-\theta_w))}{\tau_o} + \frac{H(u-\theta_w)}{\tau_{so}}, \quad
    J_{si} = -H(u-\theta_w)\frac{w s}{\tau_{si}}$$

    $$\dot v = (1-H_v)\frac{v_\infty-v}{\tau_v^-} - H_v\frac{v}{\tau_v^+}, \quad
    \dot w = (1-H_w)\frac{w_\infty-w}{\tau_w^-} - H_w\frac{w}{\tau_w^+}, \quad
    \dot s = \frac{(1+\tanh(k_s(u-u_s)))/2 - s}{\tau_s}$$

    with $H_v = H(u-\theta_v)$ and $H_w = H(u-\theta_w)$, $H$ the unit step, and

    * $v_\infty = 1$ below $\theta_v^-$ and 0 above, $\tau_v^-$ is $\tau_{v1}^-$ below it and $\tau_{v2}^-$ above;
    * $w_\infty = 1 - u/\tau_{w\infty}$ below $\theta_o$ and $w_\infty^*$ above; $\tau_o$ is $\tau_{o1}$ below it and $\tau_{o2}$ above;
    * $\tau_s$ is $\tau_{s1}$ below $\theta_w$ and $\tau_{s2}$ above;
    * $\tau_w^-$ and $\tau_{so}$ pass from their first to their second value along $(1+\tanh(k(u-u_k)))/2$.

    State ``(4, *cells)``: u, v, w, s, without unit; constants in ms. A stimulus in A/F (mV/ms) enters as $J$ after division by
    ``amplitude_mv``; millivolts are $V = $ ``resting_mv`` $+ u\,\cdot$ ``amplitude_mv``, which the paper gives as $85.7 u - 84$.

    Names, in the paper's order: resting_level $u_o$, upper_level $u_u$, fast_level $\theta_v$, slow_level $\theta_w$, inactivation_level
    $\theta_v^-$, outward_level $\theta_o$, fast_recovery_low and _high $\tau_{v1}^-, \tau_{v2}^-$, fast_closing $\tau_v^+$,
    slow_recovery_low and _high $\tau_{w1}^-, \tau_{w2}^-$ with steepness $k_w^-$ and centre $u_w^-$, slow_closing $\tau_w^+$,
    fast_inward_constant $\tau_{fi}$, outward_low and _high $\tau_{o1}, \tau_{o2}$, plateau_outward_low and _high $\tau_{so1}, \tau_{so2}$
    with $k_{so}, u_{so}$, activation_low and _high $\tau_{s1}, \tau_{s2}$ with $k_s, u_s$, slow_inward_constant $\tau_{si}$,
    slow_steady_slope $\tau_{w\infty}$, slow_steady_high $w_\infty^*$.

    Good values: :data:`physics.BUENO_OROVIO_2008_EPI` and its siblings, by :meth:`published`. It fails where single currents, ions or
    calcium matter. Rates jump at four levels: no step of fixed length keeps second order across them, and gradients do not see them move.

    Source: Bueno-Orovio, Cherry, Fenton (2008), *J Theor Biol* 253, 544. The CellML version switches w at $\theta_o$; the paper at
    $\theta_w$, as here.
    """

    resting_level: Scalar
    upper_level: Scalar
    fast_level: Scalar
    slow_level: Scalar
    inactivation_level: Scalar
    outward_level: Scalar
    fast_recovery_low: Scalar
    fast_recovery_high: Scalar
    fast_closing: Scalar
    slow_recovery_low: Scalar
    slow_recovery_high: Scalar
    slow_recovery_steepness: Scalar
    slow_recovery_centre: Scalar
    slow_closing: Scalar
    fast_inward_constant: Scalar
    outward_low: Scalar
    outward_high: Scalar
    plateau_outward_low: Scalar
    plateau_outward_high: Scalar
    plateau_outward_steepness: Scalar
    plateau_outward_centre: Scalar
    activation_low: Scalar
    activation_high: Scalar
    activation_steepness: Scalar
    activation_centre: Scalar
    slow_inward_constant: Scalar
    slow_steady_slope: Scalar
    slow_steady_high: Scalar
    resting_mv: Scalar
    amplitude_mv: Scalar

    @classmethod
    def published(cls, layer: Literal["epi", "mid", "endo", "tnnp"] = "epi") -> "BuenoOrovio2008":
        """The cell of one layer of the wall with the values of the paper, or the one that follows ten Tusscher et al. (2004), tnnp."""
        sets = {
            "epi": BUENO_OROVIO_2008_EPI,
            "mid": BUENO_OROVIO_2008_MID,
            "endo": BUENO_OROVIO_2008_ENDO,
            "tnnp": BUENO_OROVIO_2008_TNNP,
        }
        return cls(**arrays_of(sets[layer]))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return ("voltage", "v", "w", "s")

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return ("1",) * 4

    def initial_state(self) -> Float[Array, " components"]:
        """Rest as the paper has it; s creeps to its steady state of 0.02 from there."""
        return jnp.asarray([0.0, 1.0, 1.0, 0.0], dtype=self.fast_closing.dtype)

    def millivolts(self, state: Stacked) -> Cells:
        """Scaled and shifted."""
        return self.resting_mv + self.amplitude_mv * state[0]

    def front_time(self) -> Scalar:
        """See :class:`physics.CellModel`; the factor is measured."""
        return FRONT * self.fast_inward_constant

    def currents(self, state: Stacked) -> dict[str, Cells]:
        """The three currents by their names in the paper, 1/ms; positive is outward."""
        u, v, w, s = state
        passed = _rise(u, self.plateau_outward_steepness, self.plateau_outward_centre)
        plateau = self.plateau_outward_low + (self.plateau_outward_high - self.plateau_outward_low) * passed
        rest = (u - self.resting_level) / jnp.where(u < self.outward_level, self.outward_low, self.outward_high)
        slow = u >= self.slow_level
        fast = -v * (u - self.fast_level) * (self.upper_level - u) / self.fast_inward_constant
        return {
            "Jfi": jnp.where(u >= self.fast_level, fast, 0.0),
            "Jso": jnp.where(slow, 1 / plateau, rest),
            "Jsi": jnp.where(slow, -w * s / self.slow_inward_constant, 0.0),
        }

    def others(self, state: Stacked, stimulus: Float[Array, "#*cells"]) -> Others:
        """See :class:`physics.CellModel`."""
        return (stimulus / self.amplitude_mv - sum(self.currents(state).values()))[None]

    def gates(self, state: Stacked) -> tuple[Gates, Gates]:
        """See :class:`physics.CellModel`; w's steady state is negative where u is above slow_steady_slope and below outward_level."""
        u = state[0]
        fast, slow, one = u >= self.fast_level, u >= self.slow_level, jnp.ones_like(u)
        active = u >= self.inactivation_level
        w_steady = jnp.where(u < self.outward_level, 1 - u / self.slow_steady_slope, self.slow_steady_high)
        passed = _rise(u, self.slow_recovery_steepness, self.slow_recovery_centre)
        recovery = self.slow_recovery_low + (self.slow_recovery_high - self.slow_recovery_low) * passed
        steady = [
            jnp.where(fast | active, 0.0, one),
            jnp.where(slow, 0.0, w_steady),
            _rise(u, self.activation_steepness, self.activation_centre),
        ]
        constant = [
            jnp.where(fast, self.fast_closing, jnp.where(active, self.fast_recovery_high, self.fast_recovery_low)) * one,
            jnp.where(slow, self.slow_closing, recovery),
            jnp.where(slow, self.activation_high, self.activation_low) * one,
        ]
        return stack_rows(steady), 1 / stack_rows(constant)


def _rise(u: Cells, steepness: Scalar, centre: Scalar) -> Cells:
    """(1 + tanh(k (u - c))) / 2."""
    return sigmoid(2 * steepness * (u - centre))
