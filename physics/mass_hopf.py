"""Oscillators near a bifurcation: the normal form of Hopf, and phases alone (Kuramoto 1975)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.neural_mass import Coupled, NeuralMass, PerRegion, Variables
from physics.parameters import Parameter, ParameterSet, arrays_of

HOPF_2017 = ParameterSet(
    "Hopf2017",
    bifurcation=Parameter(-0.02, "1/ms", (-10.0, 10.0), "Deco, Kringelbach, Jirsa and Ritter 2017, Sci Rep 7, 3095, a"),
    angular_frequency=Parameter(0.0628, "rad/ms", (0.0, 10.0), "10 Hz, an alpha rhythm; of each region in the paper from its own data"),
)
KURAMOTO_1975 = ParameterSet(
    "Kuramoto1975",
    angular_frequency=Parameter(0.0628, "rad/ms", (-10.0, 10.0), "10 Hz, an alpha rhythm"),
)


class Hopf(NeuralMass):
    r"""$\dot z = z\,(a + i\omega - |z|^2) + c$ for $z = x + iy$: noise round a focus below $a=0$, a circle of radius $\sqrt a$ above.

    $c$: effects on $x$ and on $y$. Good values: :data:`HOPF_2017`. Source: Deco et al. 2017, equations 2 and 3.
    """

    bifurcation: PerRegion
    angular_frequency: PerRegion

    @classmethod
    def published(cls) -> "Hopf":
        """With :data:`HOPF_2017`."""
        return cls(**arrays_of(HOPF_2017))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("x", "y")

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("1", "1")

    @property
    def coupled(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("x", "y")

    def initial_state(self) -> Float[Array, " variables"]:
        """Off the focus."""
        return jnp.asarray([0.1, 0.0], self.bifurcation.dtype)

    def rates(self, state: Variables, coupling: Coupled) -> Variables:
        """See :class:`physics.NeuralMass`."""
        x, y = state
        growth = self.bifurcation - x * x - y * y
        return jnp.stack([growth * x - self.angular_frequency * y, growth * y + self.angular_frequency * x]) + coupling


class Kuramoto(NeuralMass):
    r"""$\dot\theta = \omega + c$, with $c = \frac{K}{N}\sum_j w_{ij}\sin(\theta_j - \theta_i)$ by :class:`physics.PhaseCoupling`.

    Of all-to-all oscillators with Lorentzian frequencies of width $\gamma$ the order parameter obeys
    $\dot r = -\gamma r + \tfrac K2 r(1-r^2)$: order appears at $K = 2\gamma$ (Ott and Antonsen 2008, Chaos 18, 037113). Good values:
    :data:`KURAMOTO_1975`. Phases grow without bound; take them modulo $2\pi$ for display.
    """

    angular_frequency: PerRegion

    @classmethod
    def published(cls) -> "Kuramoto":
        """With :data:`KURAMOTO_1975`."""
        return cls(**arrays_of(KURAMOTO_1975))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("phase",)

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("rad",)

    @property
    def coupled(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("phase",)

    def initial_state(self) -> Float[Array, " variables"]:
        """Zero."""
        return jnp.zeros(1, self.angular_frequency.dtype)

    def rates(self, state: Variables, coupling: Coupled) -> Variables:
        """See :class:`physics.NeuralMass`."""
        return (self.angular_frequency + coupling[0])[None]
