"""The tumour model of one patient: what all compiled programs of a glioma twin share."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from physics import BAKER_1999, Chemotherapy, LinearQuadratic, ProliferationInvasion, gaussian_seed
from solvers import Diffusion, TimeMesh, VoxelGrid, simulate
from solvers.shapes import Cells, Scalar
from twinsim.glioma_priors import TISSUE_PRIORS
from twinsim.observation import Observation
from twinsim.prior import Values, values_of

ALPHA_BETA_TUMOUR_GY = 10.0


class GliomaModel(eqx.Module):
    """Everything the compiled programs of one patient share; parameters come in as standard-normal coordinates.

    Attributes:
        grid: Voxels of the region simulated.
        diffusion: Tissue pattern with unit scale.
        centre: Where the seed's prior is centred, mm from the first voxel's centre.
        dose_map: Dose relative to the prescription, per cell or one.
        drug_times: Days of the drug doses.
        drug_doses: The doses, mg/m².
        observations: The measured voxels of all scans.
        unseen_until: Until this day the mesh runs on the tumour's own clock: from onset to it takes ``growth_time``.
        stages: Diffusion stages per step.
    """

    grid: VoxelGrid
    diffusion: Diffusion
    centre: Float[Array, " 3"]
    dose_map: Float[Array, " cells"] | Scalar
    drug_times: Float[Array, " doses"]
    drug_doses: Float[Array, " doses"]
    observations: tuple[Observation, ...]
    unseen_until: Scalar
    stages: int = eqx.field(static=True)

    def equation(self, values: Values, doses: Float[Array, " fractions"]) -> ProliferationInvasion:
        """The tumour model at these parameter values, with these fraction doses in Gy."""
        chemotherapy = None
        if self.drug_times.size:
            elimination = jnp.asarray(BAKER_1999["elimination"].value, self.centre.dtype)
            chemotherapy = Chemotherapy(self.drug_times, self.drug_doses, elimination, values["drug_sensitivity"])
        radiotherapy = LinearQuadratic(values["radiosensitivity"], jnp.asarray(ALPHA_BETA_TUMOUR_GY), doses, self.dose_map)
        diffusion = eqx.tree_at(lambda operator: operator.scale, self.diffusion, values["diffusivity_white"])
        return ProliferationInvasion(diffusion, values["proliferation"], chemotherapy, radiotherapy, self.stages)

    def seed(self, values: Values) -> Cells:
        """The tumour at onset."""
        offset = jnp.stack([values["seed_x"], values["seed_y"], values["seed_z"]])
        return gaussian_seed(self.grid, self.centre + offset, values["initial_burden"])

    def grow(self, z: Array, mesh: TimeMesh, doses: Float[Array, " fractions"]) -> tuple[Float[Array, "times cells"], Array]:
        """States at the mesh's save times from onset, and the status.

        How long the tumour grew unseen is a parameter: the steps before anything was seen or given are stretched to add up to it.
        """
        values = values_of(TISSUE_PRIORS, z)
        equation = self.equation(values, doses)
        unseen = mesh.start < self.unseen_until
        stretch = values["growth_time"] / jnp.sum(jnp.where(unseen, mesh.length, 0))
        mesh = eqx.tree_at(lambda m: m.length, mesh, jnp.where(unseen, mesh.length * stretch, mesh.length))
        solution = simulate(equation.stepper(), self.seed(values), mesh, equation.radiotherapy if doses.size else None)
        return solution.states, solution.status

    def go_on(
        self, z: Array, state: Cells, mesh: TimeMesh, doses: Float[Array, " fractions"], observe: Callable | None = None
    ) -> tuple[Float[Array, "times cells"], PyTree[Array], Array]:
        """States at the mesh's save times from a given state, what was observed on the way, and the status."""
        equation = self.equation(values_of(TISSUE_PRIORS, z), doses)
        solution = simulate(equation.stepper(), state, mesh, equation.radiotherapy if doses.size else None, observe)
        return solution.states, solution.observations, solution.status
