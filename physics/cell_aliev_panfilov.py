"""The two-variable cell of Aliev and Panfilov (1996)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.cell_model import CellModel, Cells, Gates, Others, Scalar, Stacked
from physics.parameters import Parameter, ParameterSet, arrays_of
from solvers import rows_of

_PAPER = "Aliev and Panfilov 1996, Chaos Solitons Fractals 7, 293, as used in the literature; not read in print"

ALIEV_PANFILOV_1996 = ParameterSet(
    "AlievPanfilov1996",
    excitation_rate=Parameter(8.0, "1", (0.1, 100.0), f"{_PAPER}, k"),
    threshold=Parameter(0.15, "1", (0.01, 0.5), f"{_PAPER}, a (0.15 for cells, 0.1 in some later work)"),
    recovery_rate=Parameter(0.002, "1", (1e-5, 1.0), f"{_PAPER}, epsilon_0"),
    recovery_growth=Parameter(0.2, "1", (0.0, 5.0), f"{_PAPER}, mu_1"),
    recovery_shape=Parameter(0.3, "1", (0.01, 5.0), f"{_PAPER}, mu_2"),
    time_scale=Parameter(12.9, "ms", (0.1, 100.0), f"{_PAPER}, time unit"),
    resting_mv=Parameter(-80.0, "mV", (-120.0, 0.0), f"{_PAPER}, E = 100 u - 80"),
    amplitude_mv=Parameter(100.0, "mV", (10.0, 200.0), f"{_PAPER}, E = 100 u - 80"),
)

FRONT = 25.0  # front time over the time of the excitation, measured on cables at spacings of 3 and 4.5 sqrt(D ms)


class AlievPanfilov(CellModel):
    r"""Voltage $u$ from 0 to 1 and a recovery variable $w$.

    $$T\dot u = k\,u(1-u)(u-a) - u w + T J, \qquad
    T\dot w = \Bigl(\varepsilon_0 + \frac{\mu_1 w}{\mu_2 + u}\Bigr)\bigl(-w - k\,u(u-a-1)\bigr)$$

    with the time unit $T$ (12.9 ms). State ``(2, *cells)``: u, w, without unit; rates are per ms. The second equation has the form of a
    gate, with steady state $-k\,u(u-a-1)$, which is not confined to 0 to 1, and a time constant that depends on w too. A stimulus in
    A/F (mV/ms) enters as $J$ after division by ``amplitude_mv``; millivolts are $V = $ ``resting_mv`` $+ u\,\cdot$ ``amplitude_mv``.

    Good values: :data:`ALIEV_PANFILOV_1996`. It fails where ions or drugs matter, at $u \to -\mu_2$, and its upstroke is several times
    slower than that of a ventricular cell. Source: Aliev, Panfilov (1996), *Chaos, Solitons & Fractals* 7, 293, equations 1 and 2.
    """

    excitation_rate: Scalar
    threshold: Scalar
    recovery_rate: Scalar
    recovery_growth: Scalar
    recovery_shape: Scalar
    time_scale: Scalar
    resting_mv: Scalar
    amplitude_mv: Scalar

    @classmethod
    def published(cls) -> "AlievPanfilov":
        """The cell with the values of the paper."""
        return cls(**arrays_of(ALIEV_PANFILOV_1996))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return ("voltage", "w")

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return ("1", "1")

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """See :class:`physics.CellModel`; w follows u up to a third of the excitation rate, and below zero where u is above 1."""
        return (super().ranges[0], (-2.0, 8.0))

    def initial_state(self) -> Float[Array, " components"]:
        """Rest, where the rates vanish."""
        return jnp.zeros(2, dtype=self.time_scale.dtype)

    def millivolts(self, state: Stacked) -> Cells:
        """Scaled and shifted."""
        return self.resting_mv + self.amplitude_mv * state[0]

    def others(self, state: Stacked, stimulus: Float[Array, "#*cells"]) -> Others:
        """See :class:`physics.CellModel`."""
        u, w = rows_of(state)
        change = self.excitation_rate * u * (1 - u) * (u - self.threshold) - u * w
        return (change * (1 / self.time_scale) + stimulus * (1 / self.amplitude_mv))[None]

    def front_time(self) -> Scalar:
        """See :class:`physics.CellModel`; the factor is measured."""
        return FRONT * self.time_scale / self.excitation_rate

    def gates(self, state: Stacked) -> tuple[Gates, Gates]:
        """See :class:`physics.CellModel`."""
        u, w = state[:1], state[1:]
        speed = self.recovery_rate + self.recovery_growth * w / (self.recovery_shape + u)
        return -self.excitation_rate * u * (u - self.threshold - 1), speed * (1 / self.time_scale)
