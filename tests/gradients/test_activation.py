"""Gradients of activation and repolarisation times with respect to conductivity, voxel by voxel too, and channels, through every step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import (
    CELL_MODELS,
    Monodomain,
    RecordActivation,
    TissueStimulus,
    box_fraction,
    fibre_tensor,
    front_fit,
    niederer_diffusivities,
)
from solvers import LatticeDiffusion, VoxelGrid, simulate
from tests.problems import quick_jit

ALONG, ACROSS = niederer_diffusivities()
SHEET = VoxelGrid(np.ones((10, 4, 1), bool), (0.2, 0.2, 1.0))
SLAB = VoxelGrid(np.ones((6, 4, 3), bool), 0.25)
IN_PLANE, OBLIQUE = (np.cos(0.4), np.sin(0.4), 0.0), (0.8, 0.48, 0.36)
CHANNEL = {"mitchell_schaeffer": "inward_constant", "ten_tusscher_2006_epi": "sodium_conductance"}


def times_of(name, grid, fibres, shorter=None, until=6.0, lower=-70.0):
    """From three factors (along, across, one channel) and a factor per voxel to the record; ``shorter`` changes cell constants."""
    cell = CELL_MODELS[name]()
    for constant, value in (shorter or {}).items():
        cell = eqx.tree_at(lambda c, constant=constant: getattr(c, constant), cell, jnp.asarray(value))
    field = CHANNEL[name]
    pulse = TissueStimulus(grid, box_fraction(grid, (0, 0, 0), (0.6, 9, 9)), 80.0, 1.0)
    uniform = LatticeDiffusion(grid, fibre_tensor(grid, ALONG, ACROSS, fibres))
    mesh = Monodomain(cell, uniform, (pulse,)).for_step(0.05).mesh([until], 0.05)
    stages = Monodomain(cell, uniform, (pulse,)).for_step(0.08).stages

    def record(factors, voxels):
        changed = eqx.tree_at(lambda c: getattr(c, field), cell, getattr(cell, field) * factors[2])
        tensor = fibre_tensor(grid, ALONG * factors[0] * voxels, ACROSS * factors[1] * voxels, fibres)
        equation = Monodomain(changed, LatticeDiffusion(grid, tensor, front_fit(cell), directions=uniform.directions), (pulse,), stages)
        recorder = RecordActivation(equation.stepper(), changed, lower=lower)
        return simulate(recorder, recorder.start(equation.initial_state(grid)), mesh).final.record

    return record


def check_voxels_and_factors(seen, shape, step=1e-6):
    """Reverse mode of a number seen, along a random direction of all voxels and for each factor, against central differences."""
    random = np.random.default_rng(0)
    voxels, direction = jnp.asarray(random.uniform(0.8, 1.2, shape)), jnp.asarray(random.normal(size=shape))
    both = quick_jit(jax.value_and_grad(seen, argnums=(0, 1)))
    of_factors, of_voxels = both(jnp.ones(3), voxels)[1]
    ahead, behind = (float(both(jnp.ones(3), voxels + sign * step * direction)[0]) for sign in (1, -1))
    found = [(float(jnp.vdot(of_voxels, direction)), (ahead - behind) / (2 * step))]
    for i in range(3):
        ahead, behind = (float(both(jnp.ones(3).at[i].add(sign * step), voxels)[0]) for sign in (1, -1))
        found.append((float(of_factors[i]), (ahead - behind) / (2 * step)))
    for exact, difference in found:
        assert 1e-3 < abs(difference) < 1e3  # neither insensitive nor a time that never came
        assert exact == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "mitchell_schaeffer")) for name in CHANNEL])
@pytest.mark.parametrize(("grid", "fibres"), [(SHEET, IN_PLANE), (SLAB, OBLIQUE)], ids=["sheet", "slab"])
@pytest.mark.quick(1)
def test_activation_times_against_central_differences(name, grid, fibres):
    record = times_of(name, grid, fibres)

    def seen(factors, voxels):
        activated = record(factors, voxels).activated
        return activated[-1] + 0.5 * activated[grid.size // 2]

    check_voxels_and_factors(seen, grid.shape)


@pytest.mark.slow
def test_repolarisation_times_at_two_levels():
    """Of cells that repolarise soon, by a large rapid potassium current.

    Not of Mitchell and Schaeffer's: whenever a cell passes their gate's voltage in another time step the result jumps, which no derivative
    sees (docs/theory/tissue_inverse.md).
    """
    record = times_of("ten_tusscher_2006_epi", SLAB, OBLIQUE, {"rapid_potassium_conductance": 8.0}, until=50.0, lower=(-30.0, -70.0))

    def seen(factors, voxels):
        found = record(factors, voxels).repolarised
        return found[1, -1] + 0.7 * found[0, SLAB.size // 2]

    check_voxels_and_factors(seen, SLAB.shape)


@pytest.mark.slow
def test_forward_and_reverse_mode_agree():
    record = times_of("mitchell_schaeffer", SHEET, IN_PLANE)

    def last(factors):
        return record(factors, jnp.ones(SHEET.shape)).activated[-1]

    along = quick_jit(lambda f, d: jax.jvp(last, (f,), (d,))[1])(jnp.ones(3), jnp.asarray([0.3, -0.7, 0.2]))
    gradient = quick_jit(jax.grad(last))(jnp.ones(3))
    assert float(along) == pytest.approx(float(gradient @ jnp.asarray([0.3, -0.7, 0.2])), rel=1e-9)
