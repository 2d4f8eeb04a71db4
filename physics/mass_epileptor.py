"""Seizures that begin and end by themselves: the Epileptor (Jirsa et al. 2014) and its slow plane (Proix et al. 2014)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.neural_mass import Coupled, NeuralMass, PerRegion, Variables
from physics.parameters import Parameter, ParameterSet, arrays_of

_PAPER = "Jirsa, Stacey, Quilichini, Ivanov and Bernard 2014, Brain 137, 2210"
_PLANE = "Proix, Bartolomei, Chauvel, Bernard and Jirsa 2014, J Neurosci 34, 15009"

EPILEPTOR_2014 = ParameterSet(
    "Epileptor2014",
    epileptogenicity=Parameter(-1.6, "1", (-4.0, 0.0), f"{_PAPER}, x0"),
    slow_rate=Parameter(0.00035, "1/ms", (1e-6, 0.1), f"{_PAPER}, 1/tau0 = 1/2857"),
    first_input=Parameter(3.1, "1", (0.0, 5.0), f"{_PAPER}, I_rest1"),
    second_input=Parameter(0.45, "1", (0.0, 2.0), f"{_PAPER}, I_rest2"),
    second_time=Parameter(10.0, "ms", (1.0, 100.0), f"{_PAPER}, tau2"),
    slope=Parameter(0.0, "1", (-5.0, 5.0), f"{_PAPER}, m; 0 in common use"),
    speed=Parameter(1.0, "1", (1e-3, 10.0), "scale of time; 1 in the paper"),
    fast_coupling=Parameter(0.0, "1", (-10.0, 10.0), f"{_PLANE}, of the first population's potential; 0 in common use"),
    spike_coupling=Parameter(0.0, "1", (-10.0, 10.0), f"{_PLANE}, of the second population's potential; 0 in common use"),
    slow_coupling=Parameter(1.0, "1", (-10.0, 10.0), f"{_PLANE}, of permittivity; here positive lets seizures spread"),
)

EPILEPTOR_PLANE_2014 = ParameterSet(
    "EpileptorPlane2014",
    epileptogenicity=Parameter(-1.6, "1", (-4.0, 0.0), f"{_PLANE}, x0"),
    slow_time=Parameter(2857.0, "ms", (1.0, 1e5), f"{_PAPER}, tau0"),
    input=Parameter(3.1, "1", (0.0, 5.0), f"{_PAPER}, I_rest1"),
)


class Epileptor(NeuralMass):
    r"""Fast discharges $(x_1, y_1)$, spikes and waves $(x_2, y_2)$, permittivity $z$, and a filter $g$ between the populations:

    $$\dot x_1 = y_1 - f_1(x_1,x_2,z) - z + I_1 + K_f c_1,\quad \dot y_1 = 1 - 5x_1^2 - y_1,\quad
    \dot z = \tfrac{1}{\tau_0}\left(4(x_1-x_0) - z - 0.1 z^7[z<0] - K_s c_1\right),$$
    $$\dot x_2 = -y_2 + x_2 - x_2^3 + I_2 + 2g - 0.3(z-3.5) + K_2c_2,\quad \dot y_2 = \left(-y_2 +
    6(x_2+0.25)[x_2\ge-0.25]\right)/\tau_2,\quad
    \dot g = -0.01(g - 0.1x_1),$$

    $f_1 = x_1^3 - 3x_1^2$ for $x_1<0$ and $\left(x_2 - 0.6(z-4)^2 - m\right)x_1$ beyond. $c$: differences of $x_1$ and of $x_2$ to
    other regions.
    A region seizes by itself where $x_0 > -2.062$ (the fold at $x_1=-4/3$, in the limit of a slow $z$). Good values:
    :data:`EPILEPTOR_2014`; steps
    up to 0.05 ms. A phenomenon: $z$ stands for many slow processes. The slope of $f_1$ jumps at
    $x_1=0$ and that of $\dot y_2$ at $x_2=-0.25$, where no step keeps second order. Source: the paper's equations 1 to 3; with the
    seventh power that keeps $z$ from running
    off.
    """

    epileptogenicity: PerRegion
    slow_rate: PerRegion
    first_input: PerRegion
    second_input: PerRegion
    second_time: PerRegion
    slope: PerRegion
    speed: PerRegion
    fast_coupling: PerRegion
    spike_coupling: PerRegion
    slow_coupling: PerRegion

    @classmethod
    def published(cls) -> "Epileptor":
        """With the values of the paper."""
        return cls(**arrays_of(EPILEPTOR_2014))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("fast_potential", "fast_recovery", "permittivity", "spike_potential", "spike_recovery", "filter")

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("1",) * 6

    @property
    def coupled(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("fast_potential", "spike_potential")

    def initial_state(self) -> Float[Array, " variables"]:
        """Between seizures."""
        return jnp.asarray([-1.6, -11.8, 3.4, -1.0, 0.0, -0.16], self.speed.dtype)

    def rates(self, state: Variables, coupling: Coupled) -> Variables:
        """See :class:`physics.NeuralMass`."""
        x1, y1, z, x2, y2, g = state
        c1, c2 = coupling
        above = x2 - 0.6 * (z - 4) ** 2 - self.slope
        fast = y1 - jnp.where(x1 < 0, x1 * x1 - 3 * x1, above) * x1 - z + self.first_input + self.fast_coupling * c1
        held = jnp.where(z < 0, z, 0.0)
        slow = self.slow_rate * (4 * (x1 - self.epileptogenicity) - z - 0.1 * held**7 - self.slow_coupling * c1)
        spikes = -y2 + x2 - x2**3 + self.second_input + 2 * g - 0.3 * (z - 3.5) + self.spike_coupling * c2
        recovery = (-y2 + jnp.where(x2 < -0.25, 0.0, 6 * (x2 + 0.25))) / self.second_time
        return jnp.stack([fast, 1 - 5 * x1 * x1 - y1, slow, spikes, recovery, -0.01 * (g - 0.1 * x1)]) * self.speed


class EpileptorPlane(NeuralMass):
    r"""$x$ and $z$ of the Epileptor when $y_1$ follows at once and spikes are left out:

    $$\dot x = 1 - x^3 - 2x^2 - z + I,\qquad \dot z = \tfrac{1}{\tau_0}\left(4(x - x_0) - z - c\right)$$

    with $c$ the differences of $x$ to other regions, times the coupling. Folds of $z(x) = 1 + I - x^3 - 2x^2$ at $x=-4/3$ and $0$:
    seizures begin by
    themselves for $x_0 > -4/3 - z(-4/3)/4$, which is $-2.06204$, when $\tau_0$ is large; for smaller $\tau_0$ where
    $-3x^2-4x=1/\tau_0$ (Hopf).
    Good values: :data:`EPILEPTOR_PLANE_2014`. Source: Proix et al. 2014, equations 5.
    """

    epileptogenicity: PerRegion
    slow_time: PerRegion
    input: PerRegion

    @classmethod
    def published(cls) -> "EpileptorPlane":
        """With the values of the papers."""
        return cls(**arrays_of(EPILEPTOR_PLANE_2014))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("fast_potential", "permittivity")

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("1", "1")

    @property
    def coupled(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("fast_potential",)

    def initial_state(self) -> Float[Array, " variables"]:
        """Between seizures."""
        return jnp.asarray([-1.8, 3.4], self.input.dtype)

    def rates(self, state: Variables, coupling: Coupled) -> Variables:
        """See :class:`physics.NeuralMass`."""
        x, z = state
        return jnp.stack([1 - x * x * (x + 2) - z + self.input, (4 * (x - self.epileptogenicity) - z - coupling[0]) / self.slow_time])
