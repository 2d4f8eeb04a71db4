"""A ventricular cell of four variables whose slow current is left open: an upstroke by formula, the rest by a law or a network."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from physics.cell_model import CellModel, Cells, Gates, Others, Scalar, Stacked
from physics.closure import Closure, Variable, check_closure
from physics.parameters import Parameter, ParameterSet, arrays_of
from solvers import rows_of, stack_rows
from solvers.elementary import rational_tanh
from solvers.rows import apart

Each = Float[Array, "#*cells"]  # one number, or one per cell

SLOW_CURRENT_INPUTS = (
    Variable("membrane_potential", "mV"),
    Variable("recovery", "1"),
    Variable("memory", "1"),
    Variable("log_open_share_of_rapid_potassium_channels", "1"),
    Variable("log_open_share_of_calcium_channels", "1"),
)
SLOW_CURRENT_OUTPUTS = (Variable("slow_current", "A/F"),)

LEAST_SHARE = 0.05  # of channels that a drug leaves open; a logarithm below that is far from anything trained on

_HERE = "fitted here to ten Tusscher and Panfilov 2006, epicardial; see docs/theory/ionic_closure.md"

REDUCED_VENTRICULAR = ParameterSet(
    "ReducedVentricular",
    sodium_conductance=Parameter(8.7, "nS/pF", (0.1, 100.0), _HERE),
    sodium_reversal=Parameter(70.0, "mV", (20.0, 100.0), "RT/F ln(140/8.6), of that cell at rest"),
    activation_centre=Parameter(-35.8, "mV", (-70.0, -20.0), _HERE),
    activation_width=Parameter(16.0, "mV", (2.0, 60.0), _HERE),
    inactivation_centre=Parameter(-76.0, "mV", (-90.0, -50.0), "ten Tusscher et al. 2004, h and j"),
    inactivation_width=Parameter(13.0, "mV", (2.0, 20.0), "ten Tusscher et al. 2004, h and j"),
    recovery_rate=Parameter(0.065, "1/ms", (0.001, 1.0), _HERE),
    inactivation_rate=Parameter(5.7, "1/ms", (0.1, 20.0), _HERE),
    inactivation_rate_centre=Parameter(-4.1, "mV", (-70.0, 20.0), _HERE),
    inactivation_rate_width=Parameter(8.0, "mV", (1.0, 40.0), _HERE),
    rectifier_conductance=Parameter(0.068, "nS/pF", (0.001, 10.0), _HERE),
    rectifier_reversal=Parameter(-88.7, "mV", (-110.0, -60.0), _HERE),
    rectifier_centre=Parameter(-68.0, "mV", (-90.0, -20.0), _HERE),
    rectifier_width=Parameter(17.2, "mV", (2.0, 60.0), _HERE),
    depolarised_centre=Parameter(-36.0, "mV", (-80.0, 0.0), _HERE),
    depolarised_width=Parameter(18.0, "mV", (1.0, 60.0), _HERE),
    rest_rate=Parameter(0.0087, "1/ms", (1e-3, 1.0), _HERE),
    plateau_rate=Parameter(0.005, "1/ms", (1e-4, 1.0), _HERE),
    memory_rate=Parameter(0.0053, "1/ms", (1e-6, 0.1), _HERE),
    resting_mv=Parameter(-85.4, "mV", (-100.0, -60.0), _HERE),
    resting_memory=Parameter(0.3, "1", (0.0, 1.0), _HERE),
)


class ReducedVentricular(CellModel):
    r"""Potential $V$, recovery $w$, memory $z$ and one gate $q$ of the fast sodium current, with a slow current $J$ that is left open.

    $$\dot V = I_{st} - g_{Na}\,m_\infty(V)^3 q\,(V - E_{Na}) - g_{K1}\,\varphi\bigl(\tfrac{V_{K1}-V}{k_{K1}}\bigr)(V - E_{K1})
      - J(V, w, z, \ln s_{Kr}, \ln s_{CaL})$$

    $$\dot w = (1 - S - w)\,\bigl(r_0 + (r_1 - r_0) S\bigr), \quad \dot z = (S - z)\,r_z, \quad S = \varphi\bigl(\tfrac{V - V_S}{k_S}\bigr),
      \quad \dot q = (q_\infty(V) - q)\,r_q(V)$$

    with $\varphi(x) = \tfrac12(1 + T(x))$ and $T$ of :func:`solvers.elementary.rational_tanh`, which costs a division instead of an
    exponential; $m_\infty = \varphi((V-V_m)/k_m)$ at once, $q_\infty = \varphi((V_q-V)/k_q)^2$, and $r_q = r_{rec}\,q_\infty^2 +
    r_{in}\,\varphi((V-V_r)/k_r)$: slow to recover, the slower the less the cell has repolarised, and fast to inactivate.
    $w$ is the clock of an action potential: it runs down while the cell is depolarised and comes back at rest, which is what restitution
    is made of; $z$ follows the share of time that the cell was depolarised, over $1/r_z$.

    $J$ (A/F, positive outward) is a :class:`physics.Closure` of :data:`SLOW_CURRENT_INPUTS`: a network, or
    :func:`physics.two_slow_currents`. What a drug leaves open of two channels is an input of it. All inputs but $V$ are bounded by
    construction, so that a closure with bounded output keeps $V$ bounded, whatever it has learned.

    State: ``(4, *cells)`` in the order of :attr:`names`, mV and pure numbers; A/F and ms.

    Args:
        slow_current: $J$.
        open_rapid_potassium: $s_{Kr}$, the share of hERG channels that is left open; one number, or one per cell.
        open_calcium: $s_{CaL}$, of L-type calcium channels.

    Good values: :data:`REDUCED_VENTRICULAR` with a law, or ``twinsim.closures.ionic_closure()``, which loads values and network that were
    learned together. It has no currents, ions or calcium of its own, so that other drugs, exercise or contraction are outside of it; the
    first beat after minutes of rest, changes over minutes of pacing (inner sodium) and early afterdepolarisations are not in it either.

    Raises:
        ValueError: A closure of other variables, or a share outside of 0.05 to 1.

    Source: structure after Mitchell, Schaeffer (2003), Bull Math Biol 65, 767, and Fenton, Karma (1998), Chaos 8, 20; h and j as one gate
    after Luo, Rudy (1991), Circ Res 68, 1501.
    """

    sodium_conductance: Scalar
    sodium_reversal: Scalar
    activation_centre: Scalar
    activation_width: Scalar
    inactivation_centre: Scalar
    inactivation_width: Scalar
    recovery_rate: Scalar
    inactivation_rate: Scalar
    inactivation_rate_centre: Scalar
    inactivation_rate_width: Scalar
    rectifier_conductance: Scalar
    rectifier_reversal: Scalar
    rectifier_centre: Scalar
    rectifier_width: Scalar
    depolarised_centre: Scalar
    depolarised_width: Scalar
    rest_rate: Scalar
    plateau_rate: Scalar
    memory_rate: Scalar
    resting_mv: Scalar
    resting_memory: Scalar
    slow_current: Closure
    open_rapid_potassium: Each
    open_calcium: Each

    def __check_init__(self) -> None:
        check_closure(self.slow_current, SLOW_CURRENT_INPUTS, SLOW_CURRENT_OUTPUTS)
        for name in ("open_rapid_potassium", "open_calcium"):
            share = getattr(self, name)
            if not isinstance(share, jnp.ndarray | np.ndarray) or isinstance(share, Tracer):
                continue  # traced, or what stands for arrays when a tree is taken apart
            values = np.asarray(share)
            if not ((values >= LEAST_SHARE) & (values <= 1)).all():
                got = values.min() if values.min() < LEAST_SHARE else values.max()
                raise ValueError(
                    f"got {name} of {got:g}; expected the share of channels left open, {LEAST_SHARE} to 1; "
                    "do: give 1 without a drug, 0.4 for a block of 60 %"
                )

    @classmethod
    def with_law(cls, slow_current: Closure, open_rapid_potassium: float = 1.0, open_calcium: float = 1.0) -> "ReducedVentricular":
        """The values of :data:`REDUCED_VENTRICULAR` around a closure."""
        shares = {"open_rapid_potassium": open_rapid_potassium, "open_calcium": open_calcium}
        given = {name: jnp.asarray(share, dtype=float) for name, share in shares.items()}
        return cls(**arrays_of(REDUCED_VENTRICULAR), slow_current=slow_current, **given)

    def blocked(self, open_rapid_potassium: float | Array, open_calcium: float | Array) -> "ReducedVentricular":
        """The cell under a drug that leaves so much of two channels open; one share, or one per cell.

        Raises:
            ValueError: A share outside of 0.05 to 1.
        """
        shares = (jnp.asarray(share, self.sodium_conductance.dtype) for share in (open_rapid_potassium, open_calcium))
        found = eqx.tree_at(lambda cell: (cell.open_rapid_potassium, cell.open_calcium), self, tuple(shares))
        found.__check_init__()
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return ("voltage", "recovery", "memory", "q")

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return ("mV", "1", "1", "1")

    def initial_state(self) -> Float[Array, " components"]:
        """Rest with the memory of pacing at about 1 Hz; w and q at their steady values."""
        v = self.resting_mv
        depolarised = _rise(v, self.depolarised_centre, self.depolarised_width)
        return jnp.stack([v, 1 - depolarised, self.resting_memory, self._inactivation(v)])

    def millivolts(self, state: Stacked) -> Cells:
        """The first component."""
        return state[0]

    def front_time(self) -> Scalar:
        """As of :class:`physics.TenTusscher2006`, whose upstroke it has."""
        return jnp.ones_like(self.resting_mv)

    def currents(self, state: Stacked) -> dict[str, Cells]:
        """Fast sodium, rectifier and slow current, A/F; positive is outward."""
        v, w, z, q = rows_of(state)
        open_share = _twice(v, self.activation_centre, self.activation_width)
        rectified = _twice(v, self.rectifier_centre, -self.rectifier_width)
        given = [v, w, z, *(jnp.log(share).astype(v.dtype) for share in (self.open_rapid_potassium, self.open_calcium))]
        return {
            "INa": (self.sodium_conductance / 8) * (open_share * open_share * open_share) * q * (v - self.sodium_reversal),
            "IK1": (self.rectifier_conductance / 2) * rectified * (v - self.rectifier_reversal),
            "Islow": self.slow_current(jnp.stack(jnp.broadcast_arrays(*given)))[0],
        }

    def others(self, state: Stacked, stimulus: Each) -> Others:
        """See :class:`physics.CellModel`; w and z are so slow that explicit steps of them are cheaper and as good."""
        v, w, z, _ = rows_of(state)
        depolarised = apart(_rise(v, self.depolarised_centre, self.depolarised_width))  # else computed again for each row
        speed = self.rest_rate + (self.plateau_rate - self.rest_rate) * depolarised
        current = sum(self.currents(state).values())
        return stack_rows([stimulus - current, (1 - depolarised - w) * speed, (depolarised - z) * self.memory_rate])

    def gates(self, state: Stacked) -> tuple[Gates, Gates]:
        """See :class:`physics.CellModel`."""
        v = state[0]
        steady = self._inactivation(v)
        fast = _twice(v, self.inactivation_rate_centre, self.inactivation_rate_width)
        return steady[None], (self.recovery_rate * (steady * steady) + (self.inactivation_rate / 2) * fast)[None]

    def _inactivation(self, v: Cells) -> Cells:
        return _rise(v, self.inactivation_centre, -self.inactivation_width) ** 2


def _rise(v: Cells, centre: Each, width: Each) -> Cells:
    """From 0 to 1 around a centre, exactly 0 and 1 beyond three widths; a negative width falls."""
    return 0.5 + 0.5 * rational_tanh((v - centre) * (1 / width))


def _twice(v: Cells, centre: Each, width: Each) -> Cells:
    """From 0 to 2: its half goes into the constant that it is multiplied by, one product less per cell."""
    return 1 + rational_tanh((v - centre) * (1 / width))
