"""Populations of cells, their fits and laws that are looked for lower for every backend in float32."""

import jax
import jax.numpy as jnp
import pytest

from physics import CellPopulations, Variable
from solvers import simulate, time_mesh
from twinsim.closures.courses import rollout as law_rollout
from twinsim.discovery import SparseRegression, TermLibrary
from twinsim.populations.trajectory_fit import FreePopulations, Samples, misfit, rollout

PLATFORMS = ("cpu", "cuda", "tpu")


def simulated(rows):
    mesh = time_mesh(0.0, [1.0], 0.25)
    ones = jnp.ones(5)
    equation = CellPopulations(ones, ones, jnp.full((5, 5), 0.1), jnp.ones((rows, 5)), 0.1 * ones)
    return lambda equation, state: simulate(equation.stepper(), state, mesh).final.sum(), (equation, jnp.zeros((5, 3)))


def trained():
    ones = jnp.ones(5)
    model = FreePopulations(ones, 0 * ones, jnp.full((5, 5), 0.1), 0 * ones, ones)
    samples = Samples(jnp.ones((4, 3)), jnp.ones((5, 5, 3)), jnp.zeros((5, 3)), jnp.asarray(0.1))

    def loss(model, start):
        return misfit(rollout(model.populations(), start, samples.spans), model.reference, samples)

    return loss, (model, jnp.zeros((5, 3)))


def law():
    states, rates = (Variable("a", "1"), Variable("b", "1")), (Variable("da", "1"), Variable("db", "1"))
    library = TermLibrary.polynomial(("a", "b"), 2, pairs=((0, 1),))
    closure = SparseRegression(jnp.ones((2, 7)), jax.tree.map(jnp.float32, library), states, rates, ((True,) * 7,) * 2)
    return (
        lambda coefficients, start: law_rollout(
            SparseRegression(coefficients, closure.library, states, rates, closure.active), start, jnp.ones((4, 3)), jnp.ones(2)
        ).sum(),
        (closure.coefficients, jnp.zeros((2, 3))),
    )


PROGRAMS = {"simulated": lambda: simulated(1), "simulated, every pair": lambda: simulated(5), "trained": trained, "law": law}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients_lower(name):
    with jax.enable_x64(False):
        program, arguments = PROGRAMS[name]()
        exported = jax.export.export(jax.jit(jax.value_and_grad(program)), platforms=PLATFORMS)(*arguments)
    assert exported.platforms == PLATFORMS and "f64" not in exported.mlir_module()
