"""The public programs lower for cpu, cuda and tpu in float32, no accelerator needed."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

from tests.problems import GliomaProblem, as_type, make_operator, noise, reference_parameters

PROBLEM = GliomaProblem(
    shape=(6, 5, 5), fraction_days=(1.3, 2.3), fraction_doses=(2.0, 2.0), drug_days=(0.7,), drug_doses=(150.0,), save=(4.0,)
)
PLATFORMS = ("cpu", "cuda", "tpu")


def final(parameters):
    return PROBLEM.solve(parameters).final


def burden(parameters):
    return PROBLEM.final_burden(parameters)


def jacobian(parameters, directions):
    return jax.vmap(lambda direction: jax.jvp(final, (parameters,), (direction,))[1])(directions)


def stacked(parameters):
    return jax.tree.map(lambda value: jnp.stack([value] * 3), parameters)


PROGRAMS = {
    "forward": (final, lambda p: (p,)),
    "value_and_grad": (jax.value_and_grad(burden), lambda p: (p,)),
    "batch": (jax.vmap(final), lambda p: (stacked(p),)),
    "batch of gradients": (jax.vmap(jax.grad(burden)), lambda p: (stacked(p),)),
    "jacobian by batched jvp": (jacobian, lambda p: (p, stacked(p))),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_float32_programs_lower_for_every_platform(name):
    program, arguments = PROGRAMS[name]
    with jax.enable_x64(False):
        exported = export.export(jax.jit(program), platforms=PLATFORMS)(*arguments(reference_parameters()))
        assert exported.platforms == PLATFORMS
        text = exported.mlir_module()
    assert "f32" in text
    assert "f64" not in text
    assert "custom_call" not in text.replace("@Sharding", "")


def test_a_tensor_operator_lowers_in_both_precisions():
    for dtype in (jnp.float32, jnp.float64):
        operator, field = as_type((make_operator("tensor", PROBLEM.grid), noise((PROBLEM.grid.size,))), dtype)
        exported = export.export(jax.jit(lambda operator, field: operator.apply(field)), platforms=PLATFORMS)
        text = exported(operator, field).mlir_module()
        assert ("f64" in text) == (dtype == jnp.float64)
