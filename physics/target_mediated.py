"""Target-mediated drug disposition: a drug that is bound, and eliminated, by what it acts on."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.closure import Variable
from physics.equation import Equation
from physics.parameters import Parameter, ParameterSet
from physics.state_layout import StateLayout
from solvers import ExplicitRungeKutta, Rate, Stepper
from solvers.shapes import Scalar

Concentrations = Float[Array, "3 *batch"]
DRUG, TARGET, COMPLEX = range(3)
"""Components of the state, in this order."""

_TABLE = "Peletier and Gabrielsson 2012, Eur J Pharm Sci 46, 375, table of estimates, as remembered; the printed table was not read"

PELETIER2012 = ParameterSet(
    "Peletier2012",
    binding=Parameter(0.091, "L/mg/h", (0.0, 1e6), f"{_TABLE}, k_on"),
    unbinding=Parameter(0.001, "1/h", (0.0, 1e6), f"{_TABLE}, k_off"),
    production=Parameter(0.11, "mg/L/h", (0.0, 1e6), f"{_TABLE}, k_in"),
    turnover=Parameter(0.0089, "1/h", (0.0, 1e3), f"{_TABLE}, k_out"),
    elimination=Parameter(0.0015, "1/h", (0.0, 1e3), f"{_TABLE}, k_e(L)"),
    internalisation=Parameter(0.003, "1/h", (0.0, 1e3), f"{_TABLE}, k_e(RL)"),
)
"""A monoclonal antibody and its receptor; concentrations in mg/L of drug that would bind."""


class TargetMediatedDisposition(Equation):
    r"""Drug $L$, free target $R$ and their complex $C$ in one compartment after a bolus:

    $$\dot L=-k_{on}LR+k_{off}C-k_eL,\quad \dot R=k_{in}-k_{out}R-k_{on}LR+k_{off}C,\quad \dot C=k_{on}LR-(k_{off}+k_{int})C.$$

    Stiff: binding ends within $1/k_{on}L_0$, some minutes, and the drug is gone after weeks. The state is ``[3, *batch]``, concentrations
    in equivalents of one unit.

    Args:
        binding: $k_{on}$, L/mg/h.
        unbinding: $k_{off}$, 1/h.
        production: $k_{in}$ of the target, mg/L/h.
        turnover: $k_{out}$ of the free target, 1/h.
        elimination: $k_e$ of the free drug, 1/h.
        internalisation: $k_{int}$ of the complex, 1/h.

    Good values: :data:`PELETIER2012`, doses of 30 to 900 mg/L; :func:`solvers.integrate_stiff`. The explicit stepper is stable for steps
    below about $2.7/k_{on}(L+R)$. Fails: no tissue, no absorption, one site per drug. Source: Mager and Jusko (2001), J Pharmacokinet
    Pharmacodyn 28, 507, equations 1 to 3.
    """

    binding: Scalar
    unbinding: Scalar
    production: Scalar
    turnover: Scalar
    elimination: Scalar
    internalisation: Scalar

    @classmethod
    def peletier2012(cls) -> "TargetMediatedDisposition":
        """With the values of :data:`PELETIER2012`."""
        return cls(*(jnp.asarray(PELETIER2012[name].value, float) for name in cls.__dataclass_fields__))

    def start(self, dose: Scalar) -> Concentrations:
        """A bolus of ``dose`` (mg/L of the compartment) into the target at rest."""
        return jnp.stack([dose, self.production / self.turnover, jnp.zeros_like(dose)])

    def rate(self, state: Concentrations) -> Concentrations:
        """The right-hand side, mg/L/h."""
        drug, target, bound = state
        binds = self.binding * drug * target - self.unbinding * bound
        return jnp.stack(
            [-binds - self.elimination * drug, self.production - self.turnover * target - binds, binds - self.internalisation * bound]
        )

    def stepper(self) -> Stepper:
        """The classical Runge-Kutta method of order four."""
        return ExplicitRungeKutta(TargetMediatedRate(self))

    def state_layout(self) -> StateLayout:
        """See :class:`physics.Equation`."""
        return StateLayout(tuple(Variable(name, "mg/L") for name in ("drug", "target", "complex")), "h")


class TargetMediatedRate(Rate):
    """The rate of concentrations; takes a state of any number of doses.

    Attributes:
        disposition: The model.
    """

    disposition: TargetMediatedDisposition

    def evaluate(self, state: Concentrations, time: Scalar) -> Concentrations:
        """See :class:`solvers.rate.Rate`; the model does not depend on time."""
        del time
        return self.disposition.rate(state)
