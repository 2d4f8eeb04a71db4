"""The square duct: order two in the voxel at a constant lattice viscosity."""

import jax.numpy as jnp
import numpy as np
import pytest

from solvers.lattice_boltzmann import D3Q19, TRT, ConstantViscosity, LatticeBoltzmann, face_patches, lattice_domain
from tests.problems import number, quick_jit, slope


def duct(n, terms=60):
    """Velocity in a square duct of side one at a pressure gradient over viscosity of one, at n by n voxel centres."""
    y = (np.arange(n) + 0.5) / n
    odd = np.arange(1, 2 * terms, 2)[:, None, None]
    across, along = y[None, :, None], y[None, None, :] - 0.5
    # cosh ratio written with decaying exponentials, so that large terms do not overflow
    ratio = (np.exp(odd * np.pi * (along - 0.5)) + np.exp(-odd * np.pi * (along + 0.5))) / (1 + np.exp(-odd * np.pi))
    return (4 / np.pi**3 * np.sin(odd * np.pi * across) * (1 - ratio) / odd**3).sum(axis=0)


@pytest.mark.slow
def test_square_duct():
    """Half-way walls meet in corners; White 2006 (Viscous Fluid Flow), eq 3-48."""
    sides, errors, viscosity = (6, 8, 12, 16), [], 0.2
    for n in sides:
        domain = lattice_domain(D3Q19, face_patches(np.ones((n, n, 1), bool), {}), (False, False, True))
        force = 1e-4 / n**2
        exact = force / viscosity * n**2 * duct(n)
        start = jnp.asarray(np.pad(exact, 1)[..., None] * np.ones(3))[None] * jnp.array([0.0, 0.0, 1.0])[:, None, None, None]
        flow = LatticeBoltzmann(domain, TRT(ConstantViscosity(number(viscosity))), force=jnp.array([0.0, 0.0, force]), substeps=2 * n * n)
        state = flow.initial_state(velocity=start.reshape(3, -1))
        run = quick_jit(lambda flow, state: flow.moments(flow.advance(state, number(0), number(flow.substeps)), number(0)))
        found = np.asarray(domain.volume(run(flow, state).velocity))[2, :, :, 0]
        errors.append(np.abs(found - exact).max() / exact.max())
    assert slope([1 / n for n in sides], errors) == pytest.approx(2, abs=0.2), errors
    assert errors[-1] < 5e-3
