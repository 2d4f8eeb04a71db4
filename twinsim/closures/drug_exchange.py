"""What a drug does in a voxel with capillaries of any arrangement: a few zones whose sizes and exchange a small network says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics import Binding, TissueZones, Variable, krogh_rings
from solvers.shapes import Scalar
from twinsim.closures.checkpoint import load_closure, read_about, save_closure
from twinsim.closures.perceptron import PerceptronClosure
from twinsim.closures.vessel_spacing import FEWEST, SPACING, check_columns, spacing_features
from twinsim.errors import InputError

INPUTS = (
    *SPACING,
    Variable("logarithm_of_resistance_of_the_wall_times_diffusivity", "1"),
    Variable("logarithm_of_squared_thiele_modulus", "1"),
    Variable("logarithm_of_binding_ratio", "1"),
)
SHARES = (0.1, 0.3, 0.6)  # of tissue, from the capillary outward, before training
REACH = 4.0  # of what the network adds to logarithms, at most


class DrugVoxels(NamedTuple):
    r"""What is known of voxels of tissue and of the drug, one number each.

    Attributes:
        density: Capillaries per area of a section, 1/mm².
        mean_distance: From a place in the tissue to the next capillary, mean, mm.
        square_distance: The same, root mean square, mm.
        diffusivity: $\varepsilon D$, mm²/s.
        resistance: Of the wall, of a unit length of capillary, $1/(2\pi ap)$ of a permeability $p$, s/mm².
        space: $\varepsilon$.
        on: $k_{on}$, L/umol/s.
        off: $k_{off}$, 1/s.
        loss: $k_l$, 1/s.
        sites: $S$, umol/L.
    """

    density: Float[Array, " voxels"]
    mean_distance: Float[Array, " voxels"]
    square_distance: Float[Array, " voxels"]
    diffusivity: Float[Array, " voxels"]
    resistance: Float[Array, " voxels"]
    space: Float[Array, " voxels"]
    on: Float[Array, " voxels"]
    off: Float[Array, " voxels"]
    loss: Float[Array, " voxels"]
    sites: Float[Array, " voxels"]

    def binding(self) -> Binding:
        """What cells do."""
        return Binding(self.space, self.on, self.off, self.loss, self.sites)

    def features(self) -> Float[Array, "inputs voxels"]:
        r"""What the network sees: how capillaries lie, and the drug by its groups $K\varepsilon D$ (the inverse of a Biot number),
        $k_{on}S/(\pi n\,\varepsilon D)$ (Thiele's modulus squared) and $k_{on}S/\varepsilon(k_{off}+k_l)$. No concentration and no time."""
        check_columns(self, ("density", "loss"))
        uptake = self.on * self.sites
        n = jnp.maximum(self.density, FEWEST)
        return jnp.stack(
            [
                *spacing_features(self.density, self.mean_distance, self.square_distance),
                jnp.log(self.resistance * self.diffusivity),
                jnp.log(uptake / (jnp.pi * n * self.diffusivity)),
                jnp.log(uptake / (self.space * (self.off + self.loss))),
            ]
        )


class DrugLaw(eqx.Module):
    r"""A voxel as a few zones, :class:`physics.TissueZones`: mean concentrations, and how far they differ with distance to the blood.

    A perceptron says the zones' shares $v_i$, the exchange $w$ of the first with the blood, and that between zones $g_i$, as factors on
    those of rings of a Krogh cylinder; untrained it is that cylinder, of the voxel's mean spacing.

    **By construction**, whatever the network says: nothing is lost or made; exchange is $w(C_p-C_1)$, towards the lower concentration and
    zero where all are equal; $0<w<n/K$, the wall's own; $\sum v_i=1-n\pi a^2$; concentrations stay between zero and the plasma's largest,
    bound below the sites. All of this is nonlinear in concentration by the cells' own law, in each zone; since what the network says
    depends on vessels and drug only, not on concentration or time, **more in the plasma is nowhere less in tissue, at any time**, and a law
    from injections is one for infusions.

    Attributes:
        law: The perceptron; ``law.examine(voxels.features())`` says where it was not trained.
        capillary_mm: $a$.
        shares: Of rings before training; as many zones.
    """

    law: PerceptronClosure
    capillary_mm: float = eqx.field(static=True)
    shares: tuple[float, ...] = eqx.field(static=True)

    @classmethod
    def create(
        cls, seed: int, voxels: DrugVoxels, capillary_mm: float, shares: tuple[float, ...] = SHARES, hidden: tuple[int, ...] = (24, 24)
    ) -> "DrugLaw":
        """An untrained one with the scales of samples.

        Raises:
            InputError: Voxels that cannot be, shares that do not add up to one, or a capillary without radius.
        """
        if not (len(shares) >= 1 and min(shares) > 0 and abs(sum(shares) - 1) < 1e-6):
            raise InputError(f"shares {shares}", "numbers above 0 that add up to 1", "divide them by their sum")
        if not 0 < capillary_mm < 1:
            raise InputError(f"a capillary of {capillary_mm:g} mm", "a radius above 0 and below 1 mm", "give it in mm")
        features = voxels.features()
        unit = jnp.where(jnp.arange(features.shape[1]) % 2 == 0, 1.0, -1.0)
        outputs = tuple(Variable(f"{name}_{k}", "1") for name in ("share", "exchange") for k in range(len(shares)))
        samples = features, jnp.broadcast_to(unit, (len(outputs), features.shape[1]))
        return cls(
            PerceptronClosure.create(seed, INPUTS, outputs, samples=samples, hidden=hidden, activation="silu"), capillary_mm, tuple(shares)
        )

    def zones(self, voxels: DrugVoxels, plasma: Callable[[Scalar], Array]) -> TissueZones:
        """The stepper of voxels that do not exchange with each other; :func:`physics.lateral_diffusion` adds that.

        Raises:
            InputError: From :meth:`DrugVoxels.features`.
        """
        said = REACH * jnp.tanh(self.law(voxels.features()) / REACH)
        count = len(self.shares)
        rings = jnp.asarray(self.shares)[:, None]
        density = jnp.maximum(voxels.density, FEWEST)
        wall, between = krogh_rings(rings, density, self.capillary_mm, voxels.diffusivity, voxels.resistance)
        through = wall * voxels.resistance / density  # of what the wall alone lets through
        wall = voxels.density / voxels.resistance * jax.nn.sigmoid(jnp.log(through / (1 - through)) + said[count])
        tissue = jnp.maximum(1 - jnp.pi * self.capillary_mm**2 * voxels.density, 1e-3)
        volume = tissue[None] * jax.nn.softmax(jnp.log(rings) + said[:count], axis=0)
        return TissueZones(volume, wall, between * jnp.exp(said[count + 1 :]), voxels.binding(), plasma)


def krogh_zones(voxels: DrugVoxels, plasma: Callable[[Scalar], Array], capillary_mm: float, rings: int = 12) -> TissueZones:
    """The law that learns nothing: a Krogh cylinder of each voxel's mean spacing; one ring is well mixed tissue.

    Radii of the rings are a geometric series.

    With one ring the exchange is the wall's own, density over resistance: the two-compartment law that is in use.
    """
    tissue = jnp.maximum(1 - jnp.pi * capillary_mm**2 * voxels.density, 1e-3)
    density = jnp.maximum(voxels.density, FEWEST)
    span = jnp.maximum(1 / (jnp.pi * density * capillary_mm**2), 1.001)
    edges = span[None] ** (jnp.arange(rings + 1)[:, None] / rings)
    share = jnp.diff(edges, axis=0) / (span - 1)[None]
    wall, between = krogh_rings(share, density, capillary_mm, voxels.diffusivity, voxels.resistance)
    wall = jnp.where(voxels.density > 0, wall, 0.0) if rings > 1 else voxels.density / voxels.resistance
    return TissueZones(share * tissue[None], wall, between, voxels.binding(), plasma)


def save_drug_law(folder: str | Path, closure: DrugLaw, provenance: dict[str, Any]) -> Path:
    """Writes a law; errors of :func:`twinsim.closures.save_closure`."""
    return save_closure(folder, closure.law, {**provenance, "capillary_mm": closure.capillary_mm, "shares": list(closure.shares)})


def load_drug_law(folder: str | Path) -> DrugLaw:
    """What :func:`save_drug_law` wrote.

    Raises:
        InputError: From :func:`twinsim.closures.load_closure`, or a closure of something else.
    """
    about = read_about(folder)["provenance"]
    if "shares" not in about:
        raise InputError(f"{folder}, which is no law of a drug", "one of save_drug_law", "train one: oncology/drug_exchange --save-closure")
    return DrugLaw(load_closure(folder), about["capillary_mm"], tuple(about["shares"]))
