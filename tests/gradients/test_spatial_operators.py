"""Reverse mode against central differences for everything that the spatial operators are built from."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers.grid import VoxelGrid
from solvers.space.advection import Advection
from solvers.space.compact import CompactGrid, CompactOperator
from solvers.space.differences import diffusive_flux, flux_through_plane
from solvers.space.diffusion import Diffusion
from solvers.space.mass import BlendedDiffusion, BlendedMass
from solvers.space.monotone_diffusion import MonotoneDiffusion
from solvers.space.sources import point_source
from solvers.space.tensor_diffusion import TensorDiffusion
from solvers.space.transfer import Transfer, coarsened
from solvers.space.walls import Dirichlet, Neumann, Periodic, Robin, Walls
from tests.problems import noise, number, quick_jit, random_tensor, slitted_mask

GRID = VoxelGrid(slitted_mask((5, 4, 4)), (1.0, 1.3, 0.8))
FIELD = GRID.cells(noise(GRID.shape, 1))
OUTSIDE = ~np.asarray(GRID.mask)
TENSOR = jnp.asarray(np.asarray(random_tensor(GRID.shape, 3)) + 0.5 * np.eye(3))


@functools.cache
def directions():
    with jax.ensure_compile_time_eval():  # asked for while a program is traced
        return MonotoneDiffusion(GRID, TENSOR).directions


@functools.cache
def transfer():
    with jax.ensure_compile_time_eval():
        return Transfer(GRID, coarsened(GRID, (1.7, 2.0, 1.5)))


SLOW = ("monotone", "walls, tensor")  # minutes of compilation


def energy(operator):
    change = operator.apply(FIELD)
    return jnp.sum((change if operator.source is None else change + operator.source) ** 2)


def walls(p):
    return Walls(
        GRID,
        {"x-": Dirichlet(p["value"]), "x+": Neumann(p["flux"]), "y": Periodic()},
        [(OUTSIDE, Robin(p["exchange"], p["exterior"]))],
    )


def advected(p):
    velocity = tuple(p[name] for name in ("vx", "vy", "vz"))
    return jnp.sum(Advection(GRID, velocity, "van Leer", {"x-": 1.3}).evaluate(p["field"], number(0.0)) ** 2)


WALL = {"value": number(1.4), "flux": number(0.3), "exchange": number(0.7), "exterior": number(-0.5), "scale": number(0.6)}
PROGRAMS = {
    "walls": (lambda p: energy(Diffusion(GRID, p["d"], p["scale"], walls=walls(p))), WALL | {"d": noise(GRID.shape, 2, 0.3, 1.0)}),
    "walls, order 4": (
        lambda p: energy(Diffusion(GRID, p["d"], p["scale"], 4, walls=walls(p))),
        WALL | {"d": noise(GRID.shape, 2, 0.3, 1.0)},
    ),
    "walls per face": (
        lambda p: energy(Diffusion(GRID, 0.8, walls=Walls(GRID, {"z-": Dirichlet(p["values"])}))),
        {"values": noise(GRID.shape, 5)},
    ),
    "walls, tensor": (
        lambda p: energy(TensorDiffusion(GRID, (p["t"] + jnp.swapaxes(p["t"], -1, -2)) / 2, p["scale"], walls=walls(p), closure="no flux")),
        WALL | {"t": TENSOR},
    ),
    "loss": (lambda p: jnp.sum(Diffusion(GRID, 0.8, loss=p["loss"]).apply(FIELD) ** 2), {"loss": noise((GRID.size,), 2)}),
    "monotone": (
        lambda p: jnp.sum(
            MonotoneDiffusion(GRID, (p["t"] + jnp.swapaxes(p["t"], -1, -2)) / 2, 0.7, directions=directions()).apply(FIELD) ** 2
        ),
        {"t": TENSOR},
    ),
    "compact": (
        lambda p: jnp.sum(
            CompactOperator(CompactGrid(GRID), Diffusion(GRID, p["d"], 0.7, 4)).apply(CompactGrid(GRID).pack(p["field"])) ** 2
        ),
        {"d": noise(GRID.shape, 2, 0.3, 1.0), "field": FIELD},
    ),
    "blended": (
        lambda p: jnp.sum(BlendedMass(GRID, 0.5).solve(BlendedDiffusion(GRID, p["d"]).apply(p["field"])) ** 2),
        {"d": noise(GRID.shape, 2, 0.3, 1.0), "field": FIELD},
    ),
    "advection": (
        advected,
        {"field": FIELD}
        | {
            name: noise(tuple(n + (a == axis) for a, n in enumerate(GRID.shape)), axis, -1.0, 1.0)
            for axis, name in enumerate(("vx", "vy", "vz"))
        },
    ),
    "point source": (
        lambda p: jnp.vdot(point_source(GRID, p["at"], p["rate"]), FIELD),
        {"at": jnp.array([2.3, 1.9, 1.1]), "rate": number(2.0)},
    ),
    "flux through a plane": (
        lambda p: flux_through_plane(GRID, diffusive_flux(GRID, Diffusion(GRID, p["d"]), FIELD), 0, 1),
        {"d": noise(GRID.shape, 2, 0.3, 1.0)},
    ),
    "transfer": (lambda p: jnp.sum(transfer().prolong(transfer().restrict(p["field"]), "linear") ** 3), {"field": FIELD}),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in PROGRAMS])
@pytest.mark.quick(1)
def test_reverse_mode_against_central_differences(name):
    program, parameters = PROGRAMS[name]
    value_and_grad = quick_jit(jax.value_and_grad(program))
    value = quick_jit(program)
    _, slopes = value_and_grad(parameters)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(slopes))
    random = np.random.default_rng(4)
    for key, leaf in parameters.items():
        direction = jnp.asarray(random.normal(size=leaf.shape))
        size = 1e-6
        ends = [float(value(parameters | {key: leaf + sign * size * direction})) for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * size)
        found = float(jnp.vdot(slopes[key], direction))
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-8 * abs(float(value(parameters)))), key


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in PROGRAMS])
@pytest.mark.quick(1)
def test_forward_mode_agrees_with_reverse_mode(name):
    program, parameters = PROGRAMS[name]
    direction = jax.tree.map(lambda leaf: jnp.asarray(np.random.default_rng(5).normal(size=leaf.shape)), parameters)
    _, along = quick_jit(lambda p, d: jax.jvp(program, (p,), (d,)))(parameters, direction)
    slopes = quick_jit(jax.grad(program))(parameters)
    expected = sum(float(jnp.vdot(slopes[key], direction[key])) for key in parameters)
    assert float(along) == pytest.approx(expected, rel=1e-10)
