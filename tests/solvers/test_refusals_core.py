"""Concrete values and kinds of objects that gave wrong numbers, or ended deep inside; and traced ones that are a status."""

import jax.numpy as jnp
import numpy as np
import pytest

from solvers import (
    Advection,
    BlockedDiffusion,
    ButcherTable,
    CompactGrid,
    CompactOperator,
    Diffusion,
    Dirichlet,
    ExplicitRungeKutta,
    LatticeDiffusion,
    Lie,
    PerComponent,
    RungeKuttaChebyshev2,
    Status,
    Sum,
    VoxelGrid,
    Walls,
    boundary_faces,
    diffuse,
    divergence,
    simulate,
    stability_limit,
    time_mesh,
)
from solvers.steppers.markov_chain import MarkovChain
from tests.problems import quick_jit

SHAPE = (6, 5, 4)
GRID = VoxelGrid(np.ones(SHAPE, bool), 1.0)
HOLED = VoxelGrid(np.arange(6)[:, None, None] * np.ones(SHAPE) > 2, 1.0)
PLAIN = Diffusion(GRID, 1.0)
FIELD = jnp.ones(GRID.size)
STILL = tuple(np.zeros([n + (a == axis) for a, n in enumerate(SHAPE)]) for axis in range(3))
TENSOR = np.broadcast_to(np.eye(3), (*SHAPE, 3, 3))

REFUSED = {
    "a volume of swapped axes": lambda: GRID.cells(jnp.ones((5, 6, 4))),
    "a row as a volume": lambda: GRID.cells(jnp.ones(4)),
    "a batch of volumes": lambda: GRID.cells(jnp.ones((2, *SHAPE))),
    "cells of another grid": lambda: GRID.volume(FIELD[:9]),
    "a negative factor": lambda: PerComponent(PLAIN, jnp.array([1.0, -1.0])),
    "a negative fit": lambda: LatticeDiffusion(GRID, TENSOR, lambda s, p: (-s, p)),
    "an inflow of NaN": lambda: Advection(GRID, STILL, inflow={"x-": np.nan}),
    "too few steps": lambda: diffuse(PLAIN, FIELD, 10.0, 3),
    "backwards": lambda: diffuse(PLAIN, FIELD, -0.1, 3),
    "a negative rate": lambda: MarkovChain(jnp.array([-1.0]), ((0, 1),)),
    "a state with itself": lambda: MarkovChain(jnp.array([1.0]), ((1, 1),)),
    "accuracy of a chain": lambda: MarkovChain(jnp.array([1.0]), ((0, 1),)).advance(jnp.ones(2), jnp.asarray(1.0), 3),
    "weights that sum to 2": lambda: ButcherTable(((), (1.0,)), (1.0, 1.0), 1),
    "an order that is not": lambda: ButcherTable(((), (1.0,)), (0.5, 0.5), 3),
    "no part": lambda: Lie(()),
    "no rate": lambda: Sum(()),
    "no stage": lambda: stability_limit(0),
    "a complex coefficient": lambda: Diffusion(GRID, 1.0 + 1j),
    "two fluxes": lambda: divergence(GRID, jnp.ones((2, GRID.size))),
    "a sign of 5": lambda: boundary_faces(GRID, 0, 5, np.zeros(SHAPE, bool)),
    "walls of another spacing": lambda: Diffusion(GRID, 1.0, walls=Walls(VoxelGrid(np.ones(SHAPE, bool), 2.0), {"x-": Dirichlet(1.0)})),
    "walls of another mask": lambda: Diffusion(HOLED, 1.0, walls=Walls(GRID, {"x-": Dirichlet(1.0)})),
    "an operator of another mask": lambda: CompactOperator(CompactGrid(HOLED), PLAIN),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name):
    with pytest.raises(ValueError, match=r"^got .*; expected .*; do: ") as caught:
        REFUSED[name]()
    assert "\n" not in str(caught.value)


STEPPERS = {
    "explicit": lambda d: ExplicitRungeKutta(Diffusion(GRID, d)),
    "chebyshev": lambda d: RungeKuttaChebyshev2(Diffusion(GRID, d), 3),
    "blocked": lambda d: BlockedDiffusion(Diffusion(GRID, d), 3),
}


@pytest.mark.parametrize("name", STEPPERS)
@pytest.mark.parametrize(("value", "status"), [(1.0, Status.SUCCESS), (-1.0, Status.UNSTABLE_STEP)])
def test_a_traced_coefficient_below_zero_is_a_status(name, value, status):
    run = quick_jit(lambda d: simulate(STEPPERS[name](d), FIELD, time_mesh(0.0, [0.1], 0.1)).status)
    assert int(run(jnp.asarray(value))) == status


def test_kinds_of_objects_are_refused_where_the_shape_checker_is_off():
    import subprocess
    import sys

    code = """
from solvers import *
import jax.numpy as jnp, numpy as np
g = VoxelGrid(np.ones((3, 3, 3), bool), 1.0); d = Diffusion(g, 1.0); t = TensorDiffusion(g, np.broadcast_to(np.eye(3), (3, 3, 3, 3, 3)))
calls = [lambda: ExplicitRungeKutta(lambda u, t: u), lambda: ImplicitExplicit(d, d), lambda: Strang(d, d), lambda: Lie((d,)),
    lambda: ExponentialRungeKutta(d, d), lambda: LocallyOneDimensional(t), lambda: CrankNicolson(d, source=jnp.ones(27)),
    lambda: RungeKuttaChebyshev2(d, 2.5)]
for call in calls:
    try:
        call()
    except ValueError as error:
        assert str(error).startswith("got ") and "; do: " in str(error)
    else:
        raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
