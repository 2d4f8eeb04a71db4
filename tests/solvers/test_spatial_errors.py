"""Every refusal of the spatial operators: one line that says what was got, what was expected and what to do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers.grid import VoxelGrid
from solvers.space.advection import Advection
from solvers.space.compact import CompactGrid, CompactOperator, representation_for
from solvers.space.differences import diffusive_flux, flux_between, flux_through_plane
from solvers.space.diffusion import Diffusion
from solvers.space.mass import BlendedDiffusion, BlendedMass
from solvers.space.monotone_diffusion import MonotoneDiffusion
from solvers.space.sources import point_source, surface_source, volume_source
from solvers.space.tensor_diffusion import TensorDiffusion
from solvers.space.transfer import Transfer, coarsened
from solvers.space.walls import Dirichlet, Neumann, Periodic, Robin, Walls

MASK = np.ones((3, 4, 2), bool)
GRID = VoxelGrid(MASK, 1.0)
HOLED = VoxelGrid(np.arange(3)[:, None, None] + 0 * MASK > 0, 1.0)  # the first layer is inactive
HOLE = ~np.asarray(HOLED.mask)
EYE = np.broadcast_to(np.eye(3), (3, 4, 2, 3, 3))
STILL = (jnp.zeros((4, 4, 2)), jnp.zeros((3, 5, 2)), jnp.zeros((3, 4, 3)))
NAN = float("nan")


def fluxes(*args, **options):
    return diffusive_flux(GRID, Diffusion(GRID, 1.0, *args, **options), jnp.ones(24))


def traced_mask(function):
    def call(mask):
        grid = jax.tree.map(lambda _: mask, GRID)
        return function(grid)

    return jax.eval_shape(call, GRID.mask)


REFUSED = {
    "loss of another shape": (lambda: Diffusion(GRID, 1.0, loss=np.ones(23)), r"got a loss of shape \(23,\)"),
    "negative loss": (lambda: Diffusion(GRID, 1.0, loss=-np.ones(24)), "got a loss between -1 and -1"),
    "loss NaN": (lambda: TensorDiffusion(GRID, EYE, loss=np.full(24, NAN)), "got a loss between nan"),
    "unknown closure": (lambda: TensorDiffusion(GRID, EYE, closure="open"), "got closure 'open'"),
    "Dirichlet NaN": (lambda: Dirichlet(NAN), "a Dirichlet value that is not finite"),
    "Neumann infinite": (lambda: Neumann(np.inf), "a Neumann flux that is not finite"),
    "negative Robin exchange": (lambda: Robin(-0.5), "got a Robin exchange coefficient of -0.5"),
    "Robin exterior NaN": (lambda: Robin(1.0, NAN), "a Robin exterior value that is not finite"),
    "unknown side": (lambda: Walls(GRID, {"left": Dirichlet(1.0)}), "got a wall for 'left'"),
    "an axis as a side": (lambda: Walls(GRID, {"x": Dirichlet(1.0)}), "got a wall for 'x'"),
    "periodic side": (lambda: Walls(GRID, {"x-": Periodic()}), "got Periodic for 'x-'"),
    "wall at a periodic axis": (lambda: Walls(GRID, {"x": Periodic(), "x+": Dirichlet(1.0)}), "got a wall at x\\+ and a periodic axis"),
    "periodic axis whose ends do not face": (lambda: Walls(HOLED, {"x": Periodic()}), "no active voxel of the first layer faces"),
    "region of another shape": (lambda: Walls(HOLED, surfaces=[(HOLE[:2], Dirichlet(1.0))]), "got a wall's region of shape"),
    "region without a face": (lambda: Walls(GRID, surfaces=[(MASK, Dirichlet(1.0))]), "touches no active voxel"),
    "overlapping regions": (
        lambda: Walls(HOLED, surfaces=[(HOLE, Dirichlet(1.0)), (HOLE, Neumann(1.0))]),
        "two walls whose regions overlap",
    ),
    "monotone: no definite tensor": (lambda: MonotoneDiffusion(GRID, EYE * np.array([1.0, 1.0, 0.0])), "eigenvalues from 0 to 1"),
    "monotone: indefinite": (lambda: MonotoneDiffusion(GRID, EYE * np.array([1.0, 1.0, -1.0])), "eigenvalue of -1"),
    "monotone: asymmetric": (lambda: MonotoneDiffusion(GRID, EYE + 0.1 * np.eye(3, k=1)), "not symmetric"),
    "monotone: shape": (lambda: MonotoneDiffusion(GRID, np.eye(3)), "got a tensor of shape"),
    "monotone: NaN": (lambda: MonotoneDiffusion(GRID, EYE * NAN), "not finite"),
    "monotone: traced": (
        lambda: jax.eval_shape(lambda t: MonotoneDiffusion(GRID, t).apply(jnp.ones(24)), jnp.asarray(EYE)),
        "a traced tensor",
    ),
    "monotone: too elongated": (
        lambda: MonotoneDiffusion(GRID, EYE * 1e-5 + np.outer([1, 0.61803, 0.41421], [1, 0.61803, 0.41421])),
        "got tensors of anisotropy up to",
    ),
    "velocity of cells": (lambda: Advection(GRID, (jnp.zeros((3, 4, 2)), *STILL[1:])), r"shape \(3, 4, 2\); expected \(4, 4, 2\)"),
    "velocity NaN": (lambda: Advection(GRID, (STILL[0] * NAN, *STILL[1:])), "along x that is not finite"),
    "unknown limiter": (lambda: Advection(GRID, STILL, "weno"), "got limiter 'weno'"),
    "inflow at no side": (lambda: Advection(GRID, STILL, inflow={"w-": 1.0}), "got an inflow at 'w-'"),
    "inflow at a periodic axis": (lambda: Advection(GRID, STILL, inflow={"x-": 1.0}, periodic=(True, False, False)), "not periodic"),
    "ends of a periodic axis": (
        lambda: Advection(GRID, (STILL[0].at[0].set(1.0), *STILL[1:]), periodic=(True, False, False)),
        "first and last faces differ",
    ),
    "flux of order 4": (lambda: fluxes(1.0, 4), "a diffusion with order 4"),
    "flux of a periodic box": (lambda: fluxes(walls=Walls(GRID, {"x": Periodic()})), "a diffusion with periodic axes"),
    "flux between shapes": (lambda: flux_between(GRID, jnp.zeros((3, 24)), MASK[:2], MASK), "got a region of shape"),
    "flux between overlapping": (lambda: flux_between(GRID, jnp.zeros((3, 24)), MASK, MASK), "two regions that overlap"),
    "no such plane": (lambda: flux_through_plane(GRID, jnp.zeros((3, 24)), 0, 2), "got plane 2 of axis 0; expected 0 to 1"),
    "two coordinates": (lambda: point_source(GRID, np.array([1.0, 2.0])), "expected three finite numbers"),
    "position NaN": (lambda: point_source(GRID, np.array([1.0, NAN, 0.0])), "expected three finite numbers"),
    "weights of another shape": (lambda: volume_source(GRID, jnp.ones((3, 4, 3))), "got weights of shape"),
    "weights all zero": (lambda: volume_source(GRID, jnp.zeros(MASK.shape)), "got weights between 0 and 0"),
    "surface of nothing": (lambda: surface_source(GRID, MASK), "touches no active voxel"),
    "surface of another shape": (lambda: surface_source(GRID, MASK[:2]), "got a region of shape"),
    "boxes apart": (lambda: Transfer(GRID, GRID, (100.0, 0.0, 0.0)), "don't overlap"),
    "masks apart": (lambda: Transfer(HOLED, VoxelGrid(HOLE, 1.0)), "no active voxels overlap"),
    "unknown order": (lambda: Transfer(GRID, GRID).prolong(jnp.ones(24), "cubic"), "got order 'cubic'"),
    "fraction above one": (lambda: coarsened(GRID, 2.0, 1.5), "got fraction 1.5"),
    "coarsening a traced mask": (lambda: traced_mask(lambda grid: coarsened(grid, 2.0)), "a traced mask"),
    "compact of a traced mask": (lambda: traced_mask(lambda grid: CompactGrid(grid).indices), "a mask that is traced"),
    "choice for a traced mask": (lambda: traced_mask(representation_for), "a mask that is traced"),
    "compact tensor": (lambda: CompactOperator(CompactGrid(GRID), TensorDiffusion(GRID, EYE)), "got TensorDiffusion"),
    "compact of another grid": (
        lambda: CompactOperator(CompactGrid(GRID), Diffusion(VoxelGrid(MASK[:2], 1.0), 1.0)),
        "got an operator on 16 cells; expected 24",
    ),
    "theta above one": (lambda: BlendedMass(GRID, 1.5), "got theta 1.5"),
    "theta below zero": (lambda: BlendedDiffusion(GRID, 1.0, theta=-0.1), "got theta -0.1"),
    "blended coefficient": (lambda: BlendedDiffusion(GRID, -1.0), "got a coefficient between -1"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.quick(28)
def test_one_line_with_what_was_got_expected_and_to_do(name):
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as caught:
        call()
    message = str(caught.value).split("\n-----")[0]  # below such a line JAX adds a note of its own while it traces
    assert "\n" not in message
    assert message.startswith("got ") and "; expected " in message and "; do: " in message


def test_an_operator_without_a_diagonal_says_so():
    from solvers.operator import Operator

    class Nothing(Operator):
        def apply(self, field):
            return field

        def spectral_bound(self):
            return jnp.ones(())

    with pytest.raises(NotImplementedError, match="got Nothing; expected an operator with diagonal"):
        Nothing().diagonal()
