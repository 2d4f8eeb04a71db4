"""The halo of a part divided over devices is derived from it, or the part is refused; never too narrow in silence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import (
    HEUN,
    BlendedDiffusion,
    BlendedMass,
    CrankNicolson,
    Diffusion,
    ExactDiffusion,
    ExplicitRungeKutta,
    LocallyOneDimensional,
    MassSolved,
    Periodic,
    Rate,
    RungeKuttaChebyshev2,
    SpectralDiffusion,
    Strang,
    Substeps,
    VoxelGrid,
    Walls,
    decomposed,
    device_mesh,
)

GRID = VoxelGrid(np.ones((40, 2, 2), bool), 1.0)
MESH = device_mesh(jax.devices()[:1])
PLAIN, FOURTH = Diffusion(GRID, 1.0), Diffusion(GRID, 1.0, interior_order=4)
RKC = RungeKuttaChebyshev2(PLAIN, 2)


class Neighbour(Rate):
    def evaluate(self, state, time):
        return jnp.roll(state, 4)


class Said(Neighbour):
    halo_reach = 1


@pytest.mark.parametrize(
    ("part", "planes"),
    [
        (PLAIN, 1),
        (FOURTH, 2),
        (ExplicitRungeKutta(PLAIN), 4),
        (ExplicitRungeKutta(FOURTH), 8),
        (Substeps(ExplicitRungeKutta(PLAIN, HEUN), 4), 8),
        (Strang(RKC, RKC), 6),
        (ExplicitRungeKutta(Said()), 4),
    ],
)
def test_the_halo_is_applications_times_reach(part, planes):
    assert decomposed(part, GRID, MESH).slabs.halo == planes
    with pytest.raises(ValueError, match=rf"got halo {planes - 1}.*expected at least {planes} planes.*; do: "):
        decomposed(part, GRID, MESH, planes - 1)


@pytest.mark.parametrize(
    "part",
    [
        Diffusion(GRID, 1.0, walls=Walls(GRID, {"x": Periodic()})),
        MassSolved(BlendedDiffusion(GRID, 1.0), BlendedMass(GRID)),
        ExactDiffusion(SpectralDiffusion(GRID, 1.0)),
        CrankNicolson(PLAIN),
        LocallyOneDimensional(PLAIN),
        ExplicitRungeKutta(Neighbour()),
    ],
)
@pytest.mark.parametrize("halo", [None, 30])
def test_a_reach_without_a_bound_is_refused(part, halo):
    with pytest.raises(ValueError, match=r"^got .*; expected stencils.*; do: divide its operator"):
        decomposed(part, GRID, MESH, halo)
