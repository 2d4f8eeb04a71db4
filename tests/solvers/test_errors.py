"""Every refusal of solvers and physics: one line that says what was got, what was expected and what to do."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from physics import SWANSON_2000, Parameter, ParameterSet
from solvers import (
    RK4,
    Diffusion,
    ExplicitRungeKutta,
    Jump,
    RungeKuttaChebyshev2,
    SimulationError,
    Status,
    TensorDiffusion,
    VoxelGrid,
    simulate,
    simulate_in_chunks,
    stability_limit,
    stages_for,
    time_mesh,
)
from solvers.status import raise_for_status
from solvers.steppers.step_limit import check_step

MASK = np.ones((3, 4, 2), bool)
GRID = VoxelGrid(MASK, 1.0)
EYE = np.broadcast_to(np.eye(3), (3, 4, 2, 3, 3))


def with_entry(values, index, entry):
    values = np.array(values, dtype=float)
    values[index] = entry
    return jnp.asarray(values)


REFUSED = {
    "flat mask": (lambda: VoxelGrid(np.ones((3, 4), bool), 1.0), "got a mask with 2 axes"),
    "mask of four axes": (lambda: VoxelGrid(np.ones((1, 3, 4, 2), bool), 1.0), "got a mask with 4 axes"),
    "empty mask": (lambda: VoxelGrid(np.zeros((3, 4, 2), bool), 1.0), "without an active voxel"),
    "no voxel at all": (lambda: VoxelGrid(np.ones((0, 4, 2), bool), 1.0), "without an active voxel"),
    "zero spacing": (lambda: VoxelGrid(MASK, 0.0), "got spacing 0.0"),
    "integer zero spacing": (lambda: VoxelGrid(MASK, 0), "got spacing 0"),
    "negative spacing": (lambda: VoxelGrid(MASK, (1.0, -1.0, 1.0)), "three positive lengths"),
    "spacing that is NaN": (lambda: VoxelGrid(MASK, (1.0, 1.0, float("nan"))), "three positive lengths"),
    "infinite spacing": (lambda: VoxelGrid(MASK, float("inf")), "got spacing inf"),
    "negative coefficient": (lambda: Diffusion(GRID, with_entry(np.ones(MASK.shape), (1, 1, 1), -1e-9)), "got a coefficient between"),
    "coefficient NaN": (lambda: Diffusion(GRID, with_entry(np.ones(MASK.shape), (1, 1, 1), np.nan)), "got a coefficient between"),
    "infinite coefficient": (lambda: Diffusion(GRID, np.inf), "got a coefficient between"),
    "coefficient of another shape": (lambda: Diffusion(GRID, jnp.ones((3, 4, 3))), r"shape \(3, 4, 3\); expected \(3, 4, 2\)"),
    "flat coefficient": (lambda: Diffusion(GRID, jnp.ones(24)), r"shape \(24,\)"),
    "one bad axis of three": (lambda: Diffusion(GRID, (1.0, -2.0, 1.0)), "got a coefficient between -2"),
    "third order": (lambda: Diffusion(GRID, 1.0, interior_order=3), "got interior_order 3; expected 2 or 4"),
    "tensor of another shape": (lambda: TensorDiffusion(GRID, np.eye(3)), r"got a tensor of shape \(3, 3\)"),
    "tensor NaN": (lambda: TensorDiffusion(GRID, with_entry(EYE, (0, 0, 0, 1, 1), np.nan)), "not finite"),
    "asymmetric tensor": (lambda: TensorDiffusion(GRID, with_entry(EYE, (0, 0, 0, 0, 1), 0.1)), "not symmetric"),
    "indefinite tensor": (lambda: TensorDiffusion(GRID, with_entry(EYE, (2, 3, 1, 2, 2), -0.01)), "eigenvalue of -0.01"),
    "one stage": (lambda: RungeKuttaChebyshev2(Diffusion(GRID, 1.0), 1), "got 1 stages; expected at least 2"),
    "stages for NaN": (lambda: stages_for(float("nan")), "got step times spectral bound nan"),
    "stages for infinity": (lambda: stages_for(float("inf")), "got step times spectral bound inf"),
    "stages for less than zero": (lambda: stages_for(-1.0), "got step times spectral bound -1.0"),
    "nothing to save": (lambda: time_mesh(0.0, [], 1.0), r"got save times \[\]"),
    "save times that fall": (lambda: time_mesh(0.0, [2.0, 1.0], 1.0), "expected increasing times"),
    "save times that repeat": (lambda: time_mesh(0.0, [1.0, 1.0], 1.0), "expected increasing times"),
    "save before the start": (lambda: time_mesh(3.0, [2.0, 4.0], 1.0), "expected increasing times"),
    "step of zero": (lambda: time_mesh(0.0, [1.0], 0.0), "got max_step 0.0"),
    "negative step": (lambda: time_mesh(0.0, [1.0], -0.5), "got max_step -0.5"),
    "start NaN": (lambda: time_mesh(float("nan"), [1.0], 1.0), "not finite"),
    "infinite save": (lambda: time_mesh(0.0, [float("inf")], 1.0), "not finite"),
    "event NaN": (lambda: time_mesh(0.0, [1.0], 1.0, [float("nan")]), "not finite"),
    "infinite breakpoint": (lambda: time_mesh(0.0, [1.0], 1.0, [], [float("inf")]), "not finite"),
    "value out of bounds": (lambda: Parameter(12.0, "mm^2/day", (0.0, 10.0), "x"), r"got 12.0 mm\^2/day; expected 0.0 to 10.0"),
    "value NaN": (lambda: Parameter(float("nan"), "1/day", (0.0, 1.0), "x"), "got nan 1/day"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_line_with_what_was_got_expected_and_to_do(name):
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("got ") and "; expected " in message and "; do: " in message


ACCEPTED = {
    "thin mask": lambda: VoxelGrid(np.ones((1, 1, 1), bool), 1),
    "three NumPy spacings": lambda: VoxelGrid(MASK, tuple(np.float64([1, 2, 3]))),
    "one NumPy spacing": lambda: VoxelGrid(MASK, np.float64(2.0)),
    "zero coefficient": lambda: Diffusion(GRID, 0.0),
    "NaN where nothing is active": lambda: Diffusion(
        VoxelGrid(MASK & (np.arange(3) > 0)[:, None, None], 1.0), with_entry(np.ones(MASK.shape), 0, np.nan)
    ),
    "semidefinite tensor": lambda: TensorDiffusion(GRID, np.broadcast_to(np.diag([1.0, 0.0, 0.0]), EYE.shape)),
    "save at the start": lambda: time_mesh(0.0, [0.0], 1.0),
    "event outside of the span": lambda: time_mesh(0.0, [1.0], 1.0, [-3.0, 7.0]),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_just_inside_is_taken(name):
    ACCEPTED[name]()


def test_stages_for_gives_the_fewest():
    for bound in (0.0, 1.0, 5.0, 40.0, 300.0):
        stages = stages_for(bound)
        assert stability_limit(stages) >= bound
        assert stages == 2 or stability_limit(stages - 1) < bound


def test_a_wrong_parameter_name_gets_the_near_misses():
    assert SWANSON_2000["diffusivity_white"].value == 0.65
    with pytest.raises(KeyError, match=r"expected a parameter of Swanson2000; do: use one of diffusivity_white, diffusivity_grey"):
        SWANSON_2000["difusivity_whit"]
    with pytest.raises(KeyError, match="proliferation"):
        SWANSON_2000["zzz"]
    assert set(SWANSON_2000) == {"diffusivity_grey", "diffusivity_white", "proliferation"} and len(SWANSON_2000) == 3
    assert repr(ParameterSet("Nobody1900")) == "ParameterSet(Nobody1900: )"


def test_a_status_is_raised_with_cause_and_remedy():
    raise_for_status(jnp.zeros((2, 3), int))
    for status in (Status.UNSTABLE_STEP, Status.NOT_FINITE):
        with pytest.raises(SimulationError, match=r"^2 of 4 members failed, the first is 1: .*; do: ") as caught:
            raise_for_status(jnp.array([0, int(status), 0, int(status)]))
        assert str(caught.value).endswith(status.message)


EXPLICIT = ExplicitRungeKutta(Diffusion(GRID, 1.0), RK4)
FIELD = jnp.arange(24.0)
COARSE = time_mesh(0.0, [6.0], 1.0)


class Halve(Jump):
    def apply(self, state, event):
        return state[:12]


@pytest.fixture
def unchecked():
    """As users run it: without the shape checker, which would be first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


OTHER_KIND = {
    "swapped": (lambda: simulate(FIELD, EXPLICIT, COARSE), "as stepper"),
    "mesh of another kind": (lambda: simulate(EXPLICIT, FIELD, jnp.ones(3)), "as mesh"),
    "state None": (lambda: simulate(EXPLICIT, None, COARSE), "got a NoneType as state"),
    "state a list": (lambda: simulate(EXPLICIT, [1.0, 2.0], COARSE), "got a list of plain numbers as state"),
    "state of words": (lambda: simulate(EXPLICIT, {"a": "b"}, COARSE), "got a str as state"),
    "one save time": (lambda: time_mesh(0.0, 1.0, 0.1), r"got save 1.0; expected a list"),
    "observer of words": (lambda: simulate(EXPLICIT, FIELD, COARSE, observe=lambda t, u: "high"), "observer that gives a str"),
    "jump of another shape": (
        lambda: simulate(EXPLICIT, FIELD, time_mesh(0.0, [1.0], 0.1, events=[0.5]), Halve()),
        r"jump that gives an array float64\[12\]",
    ),
    "chunks in jit": (lambda: jax.jit(lambda u: simulate_in_chunks(EXPLICIT, u, COARSE).final)(FIELD), "simulate_in_chunks"),
    "raise in jit": (lambda: jax.jit(lambda u: simulate(EXPLICIT, u, COARSE).raise_for_status())(FIELD), "raise_for_status"),
    "raise in vmap": (lambda: jax.vmap(lambda u: simulate(EXPLICIT, u, COARSE).raise_for_status())(FIELD[None]), "raise_for_status"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", OTHER_KIND)
def test_what_is_of_another_kind_is_refused_in_one_line(name):
    call, words = OTHER_KIND[name]
    with pytest.raises(ValueError, match=words) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("got ") and "; expected " in message and "; do: " in message


@pytest.mark.parametrize(("save", "status"), [(2.0, Status.UNSTABLE_STEP), (400.0, Status.NOT_FINITE)])
def test_a_step_above_the_explicit_limit_is_named_with_the_limit_finite_or_not(save, status):
    solution = jax.jit(lambda field: simulate(EXPLICIT, field, time_mesh(0.0, [save], 1.0)))(FIELD)
    limit = RK4.stability_limit / float(EXPLICIT.rate.spectral_bound())
    assert int(solution.status) == status
    assert 0.98 * limit < float(solution.stable_step) <= limit * 1.001
    with pytest.raises(SimulationError, match=rf"a step is longer than {float(solution.stable_step):.3g}, the explicit limit"):
        solution.raise_for_status()
    mesh = time_mesh(0.0, [1.0], 0.98 * limit)
    simulate(EXPLICIT, FIELD, mesh).raise_for_status()
    batch = jax.vmap(lambda size: simulate(ExplicitRungeKutta(Diffusion(GRID, size), RK4), FIELD, mesh))(jnp.array([1.0, 1.5]))
    with pytest.raises(SimulationError, match=r"^1 of 2 members failed, the first is 1: a step is longer"):
        batch.raise_for_status()


def test_check_step_in_a_compiled_function_is_refused_in_one_line():
    @jax.jit
    def inside(coefficient):
        check_step(ExplicitRungeKutta(Diffusion(GRID, coefficient)), 0.1)
        return coefficient

    with pytest.raises(ValueError, match="check_step") as caught:
        inside(jnp.ones(GRID.shape))
    assert "\n" not in str(caught.value)
