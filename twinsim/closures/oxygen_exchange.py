"""What capillaries of any arrangement deliver to a voxel of tissue: a mass transfer and a half pressure, from a small network."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from physics import CapillaryExchange, ExchangeSolution, Variable
from solvers import VoxelGrid
from twinsim.closures.perceptron import PerceptronClosure
from twinsim.closures.vessel_spacing import SPACING, check_columns, spacing_features
from twinsim.errors import InputError

INPUTS = (
    *SPACING,
    Variable("logarithm_of_blood_pressure", "1"),
    Variable("variation_of_blood_pressure", "1"),
    Variable("logarithm_of_demand", "1"),
)
OUTPUTS = tuple(Variable(name, "1") for name in ("transfer", "half_pressure", "enhancement", "hypoxia"))
NONE = 1e-9  # capillaries per mm² that deliver nothing, without a division by zero


class Voxels(NamedTuple):
    """What is known of voxels of tissue, one number each.

    Attributes:
        density: Capillaries per area of a section, 1/mm².
        mean_distance: From a place in the tissue to the next capillary, mean, mm.
        square_distance: The same, root mean square, mm.
        blood_pressure: Oxygen in the capillaries, mean, mmHg.
        variation: Standard deviation of that over its mean.
        demand: $M_0$ of tissue, 1/s.
    """

    density: Float[Array, " voxels"]
    mean_distance: Float[Array, " voxels"]
    square_distance: Float[Array, " voxels"]
    blood_pressure: Float[Array, " voxels"]
    variation: Float[Array, " voxels"]
    demand: Float[Array, " voxels"]

    def features(self) -> Float[Array, "inputs voxels"]:
        """What the network sees."""
        check_voxels(self)
        return jnp.stack(
            [
                *spacing_features(self.density, self.mean_distance, self.square_distance),
                jnp.log(self.blood_pressure),
                self.variation,
                jnp.log(self.demand),
            ]
        )


class Tissue(NamedTuple):
    """One kind of tissue: capillary radius (mm), resistance (mmHg s/mm²), half pressure (mmHg), and of the enhancement ratio $m$, $K$."""

    radius: float
    resistance: float
    half_pressure: float
    greatest: float
    effect_pressure: float


class Oxygenation(NamedTuple):
    """Of each voxel: share of the demand consumed, mean pressure (mmHg), mean enhancement ratio, fraction below 10 mmHg."""

    share: Float[Array, " voxels"]
    pressure: Float[Array, " voxels"]
    enhancement: Float[Array, " voxels"]
    hypoxia: Float[Array, " voxels"]


class OxygenLaw(eqx.Module):
    r"""A voxel of any arrangement of capillaries acts as one well mixed tissue with another transfer and another half pressure:

    $$n\kappa\,(P_c-\bar P) = M_0\tau\,\frac{\bar P}{\bar P+p},\qquad \overline{\mathrm{OER}}=\frac{m\bar P+k}{\bar P+k},$$

    $\tau=1-n\pi a^2$ the tissue's share. $\kappa$, $p$, $k$ and the hypoxic fraction come from a perceptron. **By construction**
    $0<\kappa<1/K$ (no more than the capillaries' own resistance lets through), $p>P_{50}$ and $k>K_{\mathrm{OER}}$ (Jensen: consumption
    and radiosensitivity are concave), so consumption lies between 0 and demand, $0\le\bar P\le P_c$, what is delivered is consumed, and a
    fraction is one. At given outputs of the network, pressure rises with that in the blood; with the network's own dependence this is
    not guaranteed, and ``oncology/oxygen_exchange`` counts where it fails.

    Attributes:
        law: The perceptron; ``law.examine(voxels.features())`` says where it was not trained.
        tissue: What was the same in all samples.
    """

    law: PerceptronClosure
    tissue: Tissue = eqx.field(static=True)

    @classmethod
    def create(cls, seed: int, tissue: Tissue, voxels: Voxels, truth: Oxygenation, hidden: tuple[int, ...] = (24, 24)) -> "OxygenLaw":
        """An untrained one with the scales of samples.

        Raises:
            InputError: Voxels or a tissue that cannot be, or a truth that no law gives (nothing consumed, not finite).
        """
        for name, value, least in zip(Tissue._fields, tissue, (0, 0, 0, 1, 0), strict=True):
            if not least < value < np.inf:
                raise InputError(f"a tissue of {name} {value:g}", f"a finite number above {least}", "check its unit")
        check_voxels(voxels)
        targets = jnp.stack(cls._inverse(tissue, voxels, truth))
        if not isinstance(targets, Tracer) and not bool(jnp.isfinite(targets).all()):
            number = int(jnp.argmin(jnp.isfinite(targets).all(axis=0)))
            raise InputError(
                f"a truth of voxel {number} that no law gives",
                "finite numbers, 0 < share, 1 < enhancement, pressure below that in the blood",
                "leave out voxels without capillaries",
            )
        return cls(
            PerceptronClosure.create(seed, INPUTS, OUTPUTS, samples=(voxels.features(), targets), hidden=hidden, activation="silu"), tissue
        )

    def coefficients(self, voxels: Voxels) -> tuple[Array, Array, Array, Array]:
        r"""$\kappa$ (mm²/s/mmHg), $p$, $k$ (mmHg), and the hypoxic fraction."""
        transfer, half, effect, hypoxia = self.law(voxels.features())
        of = self.tissue
        return (
            jax.nn.sigmoid(transfer) / of.resistance,
            of.half_pressure * (1 + jnp.exp(jnp.clip(half, -12, 12))),
            of.effect_pressure * (1 + jnp.exp(jnp.clip(effect, -12, 12))),
            jax.nn.sigmoid(hypoxia),
        )

    def __call__(self, voxels: Voxels) -> Oxygenation:
        """Voxels on their own; without capillaries they are hypoxic.

        Raises:
            InputError: From :func:`check_voxels`.
        """
        transfer, half, effect, hypoxia = self.coefficients(voxels)
        return self._oxygenation(mixed_pressure(transfer, half, voxels, self.tissue), half, effect, hypoxia, voxels)

    def solve(self, grid: VoxelGrid, diffusivity: float, voxels: Voxels) -> tuple[Oxygenation, ExchangeSolution]:
        """Voxels that exchange with their neighbours: :class:`physics.CapillaryExchange` with the law's numbers."""
        transfer, half, effect, hypoxia = self.coefficients(voxels)
        exchange = voxels.density * transfer
        problem = CapillaryExchange(
            grid,
            jnp.asarray(diffusivity, exchange.dtype),
            exchange,
            exchange * voxels.blood_pressure,
            voxels.demand * tissue_share(voxels, self.tissue),
            half,
            jnp.zeros_like(exchange),
            (False, False, False),
        )
        solution = problem.solve()
        return self._oxygenation(solution.field, half, effect, hypoxia, voxels), solution

    def _oxygenation(self, pressure: Array, half: Array, effect: Array, hypoxia: Array, voxels: Voxels) -> Oxygenation:
        enhancement = enhancement_ratio(pressure, self.tissue.greatest, effect)
        return Oxygenation(pressure / (pressure + half), pressure, enhancement, jnp.where(voxels.density > 0, hypoxia, 1.0))

    @staticmethod
    def _inverse(tissue: Tissue, voxels: Voxels, truth: Oxygenation) -> tuple[Array, Array, Array, Array]:
        """What the network would have to say."""
        least = 1e-4
        consumed = voxels.demand * tissue_share(voxels, tissue) * truth.share
        through = tissue.resistance * consumed / (voxels.density * (voxels.blood_pressure - truth.pressure))
        half = truth.pressure * (1 - truth.share) / truth.share / tissue.half_pressure - 1
        effect = truth.pressure * (tissue.greatest - truth.enhancement) / (truth.enhancement - 1) / tissue.effect_pressure - 1
        through, hypoxia = (jnp.clip(part, 1e-3, 1 - 1e-3) for part in (through, truth.hypoxia))
        half, effect = (jnp.log(jnp.maximum(part, least)) for part in (half, effect))
        return jnp.log(through / (1 - through)), half, effect, jnp.log(hypoxia / (1 - hypoxia))


def check_voxels(voxels: Voxels) -> None:
    """Refuses what would be a silent NaN: :func:`twinsim.closures.vessel_spacing.check_columns`."""
    check_columns(voxels, ("density", "variation"))


def enhancement_ratio(pressure: Any, greatest: float, effect_pressure: Any) -> Any:
    r"""The oxygen enhancement ratio $(mP+K)/(P+K)$ of radiation, of NumPy's or JAX's arrays (Alper and Howard-Flanders 1956)."""
    return (greatest * pressure + effect_pressure) / (pressure + effect_pressure)


def tissue_share(voxels: Voxels, tissue: Tissue) -> Array:
    r"""$\tau=1-n\pi a^2$."""
    return jnp.maximum(1 - jnp.pi * tissue.radius**2 * voxels.density, 0)


def mixed_pressure(transfer: Array, half: Array, voxels: Voxels, tissue: Tissue) -> Array:
    r"""The root of $n\kappa(P_c-P)(P+p)=M_0\tau P$ between 0 and $P_c$."""
    blood = voxels.blood_pressure
    b = voxels.demand * tissue_share(voxels, tissue) / (jnp.maximum(voxels.density, NONE) * transfer) + half - blood
    root = jnp.sqrt(b**2 + 4 * blood * half)
    return jnp.where(b > 0, 2 * blood * half / (jnp.abs(b) + root), (root - b) / 2)
