"""Exact gradients of the final burden through 30 fractions and 25 doses in 5 cycles, for every parameter."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import simulate
from tests.problems import GliomaProblem, noise, number, quick_jit, reference_parameters

PROBLEM = GliomaProblem()
PARAMETERS = reference_parameters()
MESH = PROBLEM.mesh()


@pytest.fixture(scope="module")
def burden():
    return quick_jit(lambda parameters: PROBLEM.final_burden(parameters, MESH))


@pytest.fixture(scope="module")
def gradient():
    return quick_jit(jax.grad(lambda parameters: PROBLEM.final_burden(parameters, MESH)))(PARAMETERS)


def entries():
    """Every scalar parameter, the seed's coordinates one by one."""
    return [(name, index) for name, value in PARAMETERS.items() for index in np.ndindex(value.shape)]


def shifted(name, index, relative):
    value = PARAMETERS[name]
    return PARAMETERS | {name: value.at[index].multiply(1 + relative)}


def test_the_problem_is_the_one_of_the_issue():
    assert len(PROBLEM.fraction_days) == 30
    assert len(PROBLEM.drug_days) == 25
    assert all(day % PROBLEM.max_step > 0.1 for day in (*PROBLEM.fraction_days, *PROBLEM.drug_days))
    assert int((MESH.event >= 0).sum()) == 30
    assert len(entries()) == 10


@pytest.mark.parametrize(("name", "index"), entries())
def test_reverse_mode_against_central_differences(burden, gradient, name, index):
    """Fourth-order central differences, whose own error is some 1e-9 here; the issue allows 1e-5."""
    step = 1e-3
    ahead, behind, far_ahead, far_behind = (burden(shifted(name, index, factor * step)) for factor in (1, -1, 2, -2))
    difference = (8 * (ahead - behind) - (far_ahead - far_behind)) / (12 * step * PARAMETERS[name][index])
    assert abs(difference) > 1e-6 * burden(PARAMETERS) / abs(PARAMETERS[name][index])
    assert float(gradient[name][index]) == pytest.approx(float(difference), rel=1e-6)
    plain = (ahead - behind) / (2 * step * PARAMETERS[name][index])
    assert float(gradient[name][index]) == pytest.approx(float(plain), rel=1e-3)


def test_the_burden_itself_is_what_treatment_leaves(burden):
    solution = quick_jit(lambda parameters: PROBLEM.solve(parameters, MESH))(PARAMETERS)
    solution.raise_for_status()
    volume = PROBLEM.grid.voxel_volume
    np.testing.assert_allclose(burden(PARAMETERS), solution.final.sum() * volume, rtol=1e-13)
    untreated = PARAMETERS | {"radiosensitivity": number(0.0), "drug_sensitivity": number(0.0)}
    assert 1.0 < burden(PARAMETERS) < 0.9 * burden(untreated)


def test_forward_mode_gives_the_same_derivative(gradient):
    rng = np.random.default_rng(0)
    direction = {name: jnp.asarray(rng.normal(size=value.shape)) * value for name, value in PARAMETERS.items()}
    _, along = quick_jit(lambda p, d: jax.jvp(lambda q: PROBLEM.final_burden(q, MESH), (p,), (d,)))(PARAMETERS, direction)
    expected = sum(jnp.vdot(gradient[name], direction[name]) for name in PARAMETERS)
    assert float(along) == pytest.approx(float(expected), rel=1e-11)


@pytest.mark.slow
def test_two_levels_of_checkpoints_give_the_same_gradient(gradient):
    """A small budget: groups are recomputed too, and nothing changes but memory (which tests/solvers/test_checkpoint_plan.py bounds)."""
    found = quick_jit(jax.grad(lambda p: PROBLEM.final_burden(p, MESH, memory_mib=0.2)))(PARAMETERS)
    for name, value in gradient.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12)


class TestFaces:
    """The gradient with respect to the coefficient field, where every face is a parameter of its own."""

    problem = GliomaProblem(
        shape=(6, 5, 5), fraction_days=(1.3, 2.3), fraction_doses=(2.0, 2.0), drug_days=(0.7,), drug_doses=(150.0,), save=(4.0,)
    )

    def weighted(self, faces):
        equation = eqx.tree_at(lambda e: e.diffusion.faces, self.problem.equation(PARAMETERS), faces)
        solution = simulate(equation.stepper(), self.problem.seed(PARAMETERS), self.problem.mesh(), equation.radiotherapy)
        return jnp.vdot(solution.final, noise((self.problem.grid.size,), 8))

    def test_against_central_differences_in_random_directions(self):
        faces = self.problem.equation(PARAMETERS).diffusion.faces
        value, gradient = quick_jit(self.weighted), quick_jit(jax.grad(self.weighted))(faces)
        for seed in range(3):
            direction = tuple(face * noise(face.shape, seed + axis, -1, 1) for axis, face in enumerate(faces))
            moved = [value(tuple(f + t * d for f, d in zip(faces, direction))) for t in (-2e-3, -1e-3, 1e-3, 2e-3)]
            difference = (8 * (moved[2] - moved[1]) - moved[3] + moved[0]) / 12e-3
            along = sum(jnp.vdot(g, d) for g, d in zip(gradient, direction))
            assert float(along) == pytest.approx(float(difference), rel=1e-8)


class TestHigherDerivatives:
    """Small, short, both treatments: Jacobians under vmap and Hessians."""

    problem = GliomaProblem(
        shape=(6, 5, 5),
        fraction_days=(1.3, 2.3),
        fraction_doses=(2.0, 2.0),
        drug_days=(0.7,),
        drug_doses=(150.0,),
        save=(4.0,),
        interior_order=2,
    )
    names = ("diffusivity", "proliferation", "radiosensitivity", "alpha_beta_ratio", "drug_sensitivity", "elimination", "burden")
    point = jnp.stack([PARAMETERS[name] for name in names])

    def parameters(self, relative):
        return PARAMETERS | {name: value * factor for name, value, factor in zip(self.names, self.point, relative)}

    def burden(self, relative):
        return self.problem.final_burden(self.parameters(relative), self.problem.mesh())

    @pytest.mark.slow
    def test_jacobian_under_vmap_equals_a_loop_of_gradients(self):
        members = noise((3, len(self.names)), 5, 0.8, 1.2)

        def state(relative):
            return self.problem.solve(self.parameters(relative), self.problem.mesh()).states[-1]

        jacobians = quick_jit(jax.vmap(jax.jacfwd(state)))(members)
        assert jacobians.shape == (3, self.problem.grid.size, len(self.names))
        gradient = quick_jit(jax.grad(lambda relative: state(relative).sum()))
        for jacobian, member in zip(jacobians, members):
            np.testing.assert_allclose(jacobian.sum(axis=0), gradient(member), rtol=1e-10)

    @pytest.mark.slow
    def test_hessian_against_differences_of_gradients(self):
        """Forward over reverse, one row at a time."""
        identity, step = jnp.eye(len(self.names)), 1e-3
        gradient_and_row = quick_jit(lambda point, direction: jax.jvp(jax.grad(self.burden), (point,), (direction,)))
        ones = identity.sum(axis=0)
        hessian = np.stack([gradient_and_row(ones, direction)[1] for direction in identity])
        scale = np.abs(hessian).max()
        for row, direction in zip(hessian, identity):
            near, far = (
                gradient_and_row(ones + k * step * direction, direction)[0] - gradient_and_row(ones - k * step * direction, direction)[0]
                for k in (1, 2)
            )
            np.testing.assert_allclose(row, (8 * near - far) / (12 * step), rtol=1e-6, atol=1e-8 * scale)
        np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9, atol=1e-12 * scale)
