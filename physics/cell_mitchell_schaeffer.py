"""The two-variable cell of Mitchell and Schaeffer (2003)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.cell_model import CellModel, Cells, Gates, Others, Scalar, Stacked
from physics.parameters import Parameter, ParameterSet, arrays_of
from solvers import rows_of

_PAPER = "Mitchell and Schaeffer 2003, Bull Math Biol 65, 767, as used in the literature; not read in print"
_CHOICE = "not in the paper, whose voltage has no unit: a ventricular cell from -80 to 20 mV"

MITCHELL_SCHAEFFER_2003 = ParameterSet(
    "MitchellSchaeffer2003",
    inward_constant=Parameter(0.3, "ms", (0.01, 10.0), f"{_PAPER}, tau_in"),
    outward_constant=Parameter(6.0, "ms", (0.1, 100.0), f"{_PAPER}, tau_out"),
    opening_constant=Parameter(120.0, "ms", (1.0, 1000.0), f"{_PAPER}, tau_open"),
    closing_constant=Parameter(150.0, "ms", (1.0, 1000.0), f"{_PAPER}, tau_close"),
    gate_voltage=Parameter(0.13, "1", (0.01, 0.5), f"{_PAPER}, v_gate"),
    resting_mv=Parameter(-80.0, "mV", (-120.0, 0.0), _CHOICE),
    amplitude_mv=Parameter(100.0, "mV", (10.0, 200.0), _CHOICE),
)

FRONT = 48.0  # front time over the constant of the inward current, measured on cables at spacings of 1.2 and 1.8 sqrt(D ms)


class MitchellSchaeffer(CellModel):
    r"""Voltage $v$ from 0 to 1 and a gate $h$ of the inward current.

    $$\dot v = \frac{h\,v^2(1-v)}{\tau_{in}} - \frac{v}{\tau_{out}} + J, \qquad
    \dot h = \begin{cases}(1-h)/\tau_{open} & v < v_{gate}\\ -h/\tau_{close} & v \ge v_{gate}\end{cases}$$

    State ``(2, *cells)``: v, h, without unit; constants in ms. A stimulus in A/F (mV/ms) enters as $J$ after division by
    ``amplitude_mv``; millivolts are $V = $ ``resting_mv`` $+ v\,\cdot$ ``amplitude_mv``.

    For $\tau_{in} \ll \tau_{out} \ll \tau_{open}, \tau_{close}$ the longest action potential is $\tau_{close}\ln(1/h_{min})$ with
    $h_{min} = 4\tau_{in}/\tau_{out}$, and the restitution curve $\tau_{close}\ln\bigl((1-(1-h_{min})e^{-DI/\tau_{open}})/h_{min}\bigr)$
    (:meth:`longest_duration`, :meth:`duration_after`); both neglect up- and downstroke.

    Good values: :data:`MITCHELL_SCHAEFFER_2003`. It fails where ions or drugs matter, where the gate voltage is below the excitation
    threshold and waves of a second kind or pacemaking appear, and has a right-hand side that jumps at $v_{gate}$: no step of fixed
    length keeps second order across it. Source: Mitchell, Schaeffer (2003), *Bull Math Biol* 65, 767.
    """

    inward_constant: Scalar
    outward_constant: Scalar
    opening_constant: Scalar
    closing_constant: Scalar
    gate_voltage: Scalar
    resting_mv: Scalar
    amplitude_mv: Scalar

    @classmethod
    def published(cls) -> "MitchellSchaeffer":
        """The cell with the values of the paper."""
        return cls(**arrays_of(MITCHELL_SCHAEFFER_2003))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return ("voltage", "h")

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return ("1", "1")

    def initial_state(self) -> Float[Array, " components"]:
        """Rest: v = 0, h = 1, where the rates vanish."""
        return jnp.asarray([0.0, 1.0], dtype=self.inward_constant.dtype)

    def millivolts(self, state: Stacked) -> Cells:
        """Scaled and shifted."""
        return self.resting_mv + self.amplitude_mv * state[0]

    def others(self, state: Stacked, stimulus: Float[Array, "#*cells"]) -> Others:
        """See :class:`physics.CellModel`."""
        v, h = rows_of(state)
        current = h * v**2 * (1 - v) * (1 / self.inward_constant) - v * (1 / self.outward_constant)
        return (current + stimulus * (1 / self.amplitude_mv))[None]

    def gates(self, state: Stacked) -> tuple[Gates, Gates]:
        """See :class:`physics.CellModel`."""
        resting = state[:1] < self.gate_voltage
        return resting.astype(state.dtype), jnp.where(resting, 1 / self.opening_constant, 1 / self.closing_constant)

    def front_time(self) -> Scalar:
        """See :class:`physics.CellModel`; the factor is measured."""
        return FRONT * self.inward_constant

    def smallest_gate(self) -> Scalar:
        """h at which the plateau ends: 4 tau_in / tau_out."""
        return 4 * self.inward_constant / self.outward_constant

    def longest_duration(self) -> Scalar:
        """Action potential after a long rest, ms, to leading order."""
        return -self.closing_constant * jnp.log(self.smallest_gate())

    def duration_after(self, interval: Float[Array, "*intervals"]) -> Float[Array, "*intervals"]:
        """Action potential after a diastolic interval (ms), ms, to leading order: the restitution curve."""
        least = self.smallest_gate()
        recovered = 1 - (1 - least) * jnp.exp(-interval / self.opening_constant)
        return self.closing_constant * jnp.log(recovered / least)
