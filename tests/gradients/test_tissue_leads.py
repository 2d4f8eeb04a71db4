"""Gradients of twelve leads of tissue, summed while it is simulated, with respect to conductivity voxel by voxel and to channels."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import (
    CELL_MODELS,
    NIEDERER_2011,
    Monodomain,
    TissueStimulus,
    box_fraction,
    fibre_tensor,
    front_fit,
    lead_fields,
    niederer_diffusivities,
    point_sources,
    twelve_leads,
)
from solvers import Diffusion, LatticeDiffusion, TensorDiffusion, VoxelGrid, checkpoint_plan, simulate
from tests.problems import quick_jit

SHEET = VoxelGrid(np.ones((10, 6, 1), bool), (0.25, 0.25, 1.0))
SLAB = VoxelGrid(np.ones((6, 5, 4), bool), 0.25)
IN_PLANE, OBLIQUE = (np.cos(0.4), np.sin(0.4), 0.0), (0.8, 0.48, 0.36)
CHANNELS = {
    "mitchell_schaeffer": ("inward_constant", "outward_constant"),
    "ten_tusscher_2006_epi": ("sodium_conductance", "calcium_permeability"),
}
# Round a slab at the origin, in mm: limbs far off, the chest in front.
ELECTRODES = np.array([[-30, 20, 5], [30, 20, 5], [5, -40, 5], [-4, 3, 6], [-1, 2, 7], [2, 1, 7], [4, 0, 6], [6, -1, 4], [8, -2, 1]], float)
ALONG, ACROSS = niederer_diffusivities()
INSIDE = tuple(NIEDERER_2011[f"intracellular_{name}"].value for name in ("along", "across"))


def leads_of(name, grid, fibres, until=4.0):
    """From a factor per voxel and two of channels to the leads ``(steps, 12)``; conductivity changes both spread and lead fields."""
    cell = CELL_MODELS[name]()
    pulse = TissueStimulus(grid, box_fraction(grid, (0, 0, 0), (0.6, 0.6, 9)), 80.0, 1.0)
    uniform = LatticeDiffusion(grid, fibre_tensor(grid, ALONG, ACROSS, fibres))
    whole = Monodomain(cell, uniform, (pulse,))
    mesh, stages = whole.for_step(0.05).mesh([until], 0.05), whole.for_step(0.08).stages
    sources = point_sources(grid, np.zeros(3), ELECTRODES)

    def leads(voxels, factors):
        changed = cell
        for channel, factor in zip(CHANNELS[name], factors, strict=True):
            changed = eqx.tree_at(lambda c, channel=channel: getattr(c, channel), changed, getattr(changed, channel) * factor)
        tensor = fibre_tensor(grid, ALONG * voxels, ACROSS * voxels, fibres)
        inside = TensorDiffusion(grid, fibre_tensor(grid, INSIDE[0] * voxels, INSIDE[1] * voxels, fibres), closure="no flux")
        fields = lead_fields(inside, sources, grid.voxel_volume)
        equation = Monodomain(changed, LatticeDiffusion(grid, tensor, front_fit(cell), directions=uniform.directions), (pulse,), stages)

        def seen(_, state):
            return twelve_leads(fields @ cell.millivolts(state))

        return simulate(equation.stepper(), equation.initial_state(grid), mesh, observe=seen).observations

    return leads, mesh


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize(
    ("grid", "fibres"), [(SHEET, IN_PLANE), pytest.param(SLAB, OBLIQUE, marks=pytest.mark.slow)], ids=["sheet", "slab"]
)
def test_twelve_leads_against_central_differences(name, grid, fibres):
    leads, mesh = leads_of(name, grid, fibres)
    random = np.random.default_rng(0)
    weight = jnp.asarray(random.normal(size=(len(mesh.observed), 12)))
    voxels, direction = jnp.asarray(random.uniform(0.8, 1.2, grid.shape)), jnp.asarray(random.normal(size=grid.shape))

    def seen(voxels, factors):
        return jnp.vdot(weight, leads(voxels, factors)) / jnp.sqrt(weight.size)

    both = quick_jit(jax.value_and_grad(seen, argnums=(0, 1)))
    of_voxels, of_channels = both(voxels, jnp.ones(2))[1]
    step = 1e-6  # so short that no cell passes a voltage where a rate jumps (-40 mV, or the gate's) in another time step
    ahead, behind = (float(both(voxels + sign * step * direction, jnp.ones(2))[0]) for sign in (1, -1))
    found = [(float(jnp.vdot(of_voxels, direction)), (ahead - behind) / (2 * step))]
    for i in range(2):
        ahead, behind = (float(both(voxels, jnp.ones(2).at[i].add(sign * step))[0]) for sign in (1, -1))
        found.append((float(of_channels[i]), (ahead - behind) / (2 * step)))
    for exact, difference in found:
        assert exact == pytest.approx(difference, rel=1e-6)


@pytest.mark.slow
def test_the_gradient_keeps_to_its_memory():
    """Checkpoints for less memory give the same numbers; what the compiled program needs falls, and stays near what was planned."""
    cell, shape = CELL_MODELS["mitchell_schaeffer"](), (12, 8, 8)
    grid = VoxelGrid(np.ones(shape, bool), 0.25)
    pulse = TissueStimulus(grid, box_fraction(grid, (0, 0, 0), (0.6, 0.6, 9)), 80.0, 1.0)
    sources = point_sources(grid, np.zeros(3), ELECTRODES)
    equation = Monodomain(cell, Diffusion(grid, jnp.full(shape, ALONG)), (pulse,)).for_step(0.05)
    mesh = equation.mesh([20.0], 0.05)
    fields = lead_fields(Diffusion(grid, jnp.full(shape, INSIDE[0])), sources, grid.voxel_volume)
    needed, found = [], []
    for memory_mib in (8.0, 1.0):

        def seen(voxels, memory_mib=memory_mib):
            run = replace(equation, diffusion=Diffusion(grid, ALONG * voxels))
            start = equation.initial_state(grid)
            seen = simulate(run.stepper(), start, mesh, observe=lambda _, state: twelve_leads(fields @ state[0]), memory_mib=memory_mib)
            return jnp.sum(seen.observations**2)

        plan = checkpoint_plan(equation.initial_state(grid), mesh, memory_mib, equation.stepper())
        compiled = jax.jit(jax.grad(seen)).lower(jnp.ones(shape)).compile()
        needed.append(compiled.memory_analysis().temp_size_in_bytes / 2**20)
        assert plan.fits and needed[-1] < 2 * plan.bytes / 2**20 + 1  # what the compiler puts on top is a few fields
        found.append(np.asarray(compiled(jnp.ones(shape))))
    assert needed[1] < needed[0] / 2
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-12 * np.abs(found[0]).max())
