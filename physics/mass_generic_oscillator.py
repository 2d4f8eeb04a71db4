"""The generic planar oscillator of whole-brain models, of FitzHugh's and Nagumo's kind."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.neural_mass import Coupled, NeuralMass, PerRegion, Variables
from physics.parameters import Parameter, ParameterSet, arrays_of

_SOURCE = "Sanz-Leon et al. 2015, NeuroImage 111, 385, equations of the generic 2-D oscillator; default values in common use"


def _one(value: float, unit: str = "1") -> Parameter:
    return Parameter(value, unit, (-1e3, 1e3), _SOURCE)


GENERIC_OSCILLATOR = ParameterSet(
    "GenericOscillator",
    time_scale=Parameter(1.0, "1", (1e-3, 1e3), f"{_SOURCE}, tau"),
    input=_one(0.0),
    linear_offset=_one(-2.0),
    linear=_one(-10.0),
    quadratic=_one(0.0),
    speed=Parameter(0.02, "1/ms", (1e-6, 10.0), f"{_SOURCE}, d"),
    potential_quadratic=_one(3.0),
    potential_cubic=_one(1.0),
    potential_linear=_one(0.0),
    recovery_effect=_one(1.0),
    recovery_decay=_one(1.0),
    input_effect=_one(1.0),
)

_FHN = "FitzHugh 1961, Biophys J 1, 445, equations 1 and 2 with the recovery's sign turned and time in his units"
FITZHUGH_NAGUMO_1961 = ParameterSet(
    "FitzHughNagumo1961",
    time_scale=Parameter(1.0, "1", (1e-3, 1e3), _FHN),
    input=Parameter(0.0, "1", (-1e3, 1e3), f"{_FHN}, z"),
    linear_offset=Parameter(0.08 * 0.7, "1", (-1e3, 1e3), f"{_FHN}, eps a with a = 0.7"),
    linear=Parameter(0.08, "1", (-1e3, 1e3), f"{_FHN}, eps = 1/c^2, 0.08 as is usual"),
    quadratic=Parameter(0.0, "1", (-1e3, 1e3), _FHN),
    speed=Parameter(1.0, "1/ms", (1e-6, 10.0), _FHN),
    potential_quadratic=Parameter(0.0, "1", (-1e3, 1e3), _FHN),
    potential_cubic=Parameter(1 / 3, "1", (-1e3, 1e3), _FHN),
    potential_linear=Parameter(1.0, "1", (-1e3, 1e3), _FHN),
    recovery_effect=Parameter(-1.0, "1", (-1e3, 1e3), _FHN),
    recovery_decay=Parameter(0.08 * 0.8, "1", (-1e3, 1e3), f"{_FHN}, eps b with b = 0.8"),
    input_effect=Parameter(1.0, "1", (-1e3, 1e3), _FHN),
)
r"""$\dot v = v - v^3/3 - w + I$, $\dot w = \varepsilon\,(v + a - bw)$: rests turn into oscillations at $v = \mp\sqrt{1 - b\varepsilon}$."""


class GenericOscillator(NeuralMass):
    r"""$$\dot V = d\tau\left(-fV^3 + eV^2 + gV + \alpha W + \gamma(I + c)\right),\qquad
    \dot W = \tfrac{d}{\tau}\left(\mathsf cV^2 + bV - \beta W + a\right)$$

    with $a$ ``linear_offset``, $b$ ``linear``, $\mathsf c$ ``quadratic``, $d$ ``speed`` (1/ms), $e, f, g$ the polynomial of the
    potential, $\alpha$
    ``recovery_effect``, $\beta$ ``recovery_decay``, $\gamma$ ``input_effect``, and $c$ what others do. Without units. Good values:
    :data:`GENERIC_OSCILLATOR` (excitable), and $a=0.5$ near a saddle-node. A phenomenon, not a mechanism: no variable is measured.
    """

    time_scale: PerRegion
    input: PerRegion
    linear_offset: PerRegion
    linear: PerRegion
    quadratic: PerRegion
    speed: PerRegion
    potential_quadratic: PerRegion
    potential_cubic: PerRegion
    potential_linear: PerRegion
    recovery_effect: PerRegion
    recovery_decay: PerRegion
    input_effect: PerRegion

    @classmethod
    def published(cls) -> "GenericOscillator":
        """With :data:`GENERIC_OSCILLATOR`."""
        return cls(**arrays_of(GENERIC_OSCILLATOR))

    @classmethod
    def fitzhugh_nagumo(cls) -> "GenericOscillator":
        """With :data:`FITZHUGH_NAGUMO_1961`."""
        return cls(**arrays_of(FITZHUGH_NAGUMO_1961))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("potential", "recovery")

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("1", "1")

    @property
    def coupled(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("potential",)

    def initial_state(self) -> Float[Array, " variables"]:
        """Near rest."""
        return jnp.asarray([0.0, -2.0], self.speed.dtype)

    def rates(self, state: Variables, coupling: Coupled) -> Variables:
        """See :class:`physics.NeuralMass`."""
        v, w = state
        polynomial = v * (self.potential_linear + v * (self.potential_quadratic - self.potential_cubic * v))
        driven = polynomial + self.recovery_effect * w + self.input_effect * (self.input + coupling[0])
        recovering = v * (self.linear + self.quadratic * v) - self.recovery_decay * w + self.linear_offset
        return jnp.stack([self.speed * self.time_scale * driven, self.speed / self.time_scale * recovering])
