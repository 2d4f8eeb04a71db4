"""Tensors of patterns by a network: bounds, symmetry, turns and mirrors, derivatives; the patterns themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import Microstructure
from solvers import homogenise
from tests.problems import quick_jit
from twinsim.closures import PatternConductivity, pattern_conductivity, save_pattern_conductivity, train
from twinsim.closures.pattern_conductivity import Truncated, image, truncated, turned_back
from twinsim.errors import InputError

RNG = np.random.default_rng(7)
CELLS = jnp.asarray(RNG.uniform(0.05, 1, (6, 2, 8, 8)) * (RNG.uniform(size=(6, 2, 8, 8)) > 0.2))
MODEL = PatternConductivity.create(0, 2, (8,))
TENSOR = quick_jit(lambda cell: homogenise(cell).tensor)
SAYS = quick_jit(lambda model, cell: model(cell))
LOOK = quick_jit(lambda cell: truncated(cell, 2))


def structure(**changes):
    values = {
        "fibrosis": 0.2,
        "patch_long": 2.0,
        "patch_wide": 0.5,
        "patch_angle": 0.4,
        "septa": 0.3,
        "septum_length": 2.0,
        "cell_length": 4.0,
    }
    values |= {"end_junctions": 0.4, "side_junctions": 0.2} | changes
    return Microstructure(**{name: jnp.asarray(value) for name, value in values.items()})


@pytest.mark.parametrize("number", range(8))
def test_images_turn_the_tensor_of_the_cell_problems(number):
    turned = TENSOR(image(CELLS[0], number))
    np.testing.assert_allclose(turned_back(turned, number), TENSOR(CELLS[0]), atol=1e-8)


@pytest.mark.parametrize("number", range(8))
def test_the_network_turns_with_the_pattern_to_round_off(number):
    np.testing.assert_allclose(turned_back(SAYS(MODEL, image(CELLS[1], number)), number), SAYS(MODEL, CELLS[1]), atol=1e-14)


@pytest.mark.slow
def test_what_the_network_says_is_symmetric_and_between_the_bounds_and_has_their_unit():
    for cell in CELLS:
        tensor = np.asarray(SAYS(MODEL, cell))
        bounds = LOOK(cell)
        np.testing.assert_allclose(tensor, tensor.T, atol=1e-15)
        assert np.linalg.eigvalsh(tensor - np.diag(bounds.lows)).min() > -1e-12
        assert np.linalg.eigvalsh(np.asarray(bounds.uppers)[-1] - tensor).min() > -1e-12
        np.testing.assert_allclose(SAYS(MODEL, 40 * cell), 40 * tensor, rtol=1e-9)


@pytest.mark.slow
def test_what_has_converged_is_exact_untrained_and_nothing_conducts_nothing():
    values = jnp.asarray(RNG.uniform(0.1, 1, 8))
    cell = jnp.stack([jnp.broadcast_to(values[:, None], (8, 8)), jnp.broadcast_to(values[:, None], (8, 8))])
    model = PatternConductivity.create(0, 6, (8,))
    np.testing.assert_allclose(SAYS(model, cell), jnp.diag(jnp.stack([1 / jnp.mean(1 / values), jnp.mean(values)])), rtol=1e-9, atol=1e-12)
    assert not np.asarray(SAYS(MODEL, jnp.zeros((2, 8, 8)))).any()


@pytest.mark.slow
def test_more_iterations_leave_less_to_the_network():
    errors = []
    for iterations in (1, 3, 6):
        model = PatternConductivity.create(1, iterations, (8,))
        said = quick_jit(jax.vmap(model))(CELLS)
        errors.append(np.linalg.norm(said - jax.vmap(TENSOR)(CELLS), axis=(1, 2)).max())
    assert errors[2] < 0.02 * errors[1] < 0.01 * errors[0]


@pytest.mark.slow
def test_derivatives_with_respect_to_the_pattern():
    cell, ahead = jnp.asarray(RNG.uniform(0.2, 1, (2, 4, 4))), jnp.asarray(RNG.normal(size=(2, 4, 4)))
    model, weights = PatternConductivity.create(0, 3, (8,)), jnp.asarray([[1.0, 0.3], [0.3, -0.4]])
    program = quick_jit(jax.value_and_grad(lambda part: jnp.sum(weights * model(part))))
    slope = float(jnp.sum(program(cell)[1] * ahead))
    h = 1e-4
    near, far = (float(program(cell + n * h * ahead)[0] - program(cell - n * h * ahead)[0]) / (2 * n * h) for n in (1, 2))
    assert slope == pytest.approx((4 * near - far) / 3, rel=1e-6)


@pytest.mark.slow
def test_training_learns_what_is_left_of_a_few_patterns():
    tensors, seen = jax.vmap(TENSOR)(CELLS), jax.vmap(LOOK)(CELLS)
    model = PatternConductivity.create(0, 2, (16,), seen)

    def loss(model, data):
        patterns, wanted = data
        return jnp.mean((jax.vmap(model.of)(patterns) - wanted) ** 2)

    data = jax.tree.map(lambda part: part.astype(jnp.float32), (seen, tensors))
    run = train(model, loss, data, steps=240, learning_rate=1e-2, chunk=240)
    assert run.losses[-1] < 0.05 * run.losses[0]


@pytest.mark.slow
def test_a_closure_is_read_as_it_was_written(tmp_path):
    seen = jax.vmap(LOOK)(CELLS)
    model = PatternConductivity.create(3, 2, (8,), seen)
    again = pattern_conductivity(save_pattern_conductivity(tmp_path / "one", model, {"command": "none"}))
    np.testing.assert_array_equal(again(CELLS[0]), model(CELLS[0]))
    assert again.law.trained_on is not None and isinstance(seen, Truncated)
    with pytest.raises(InputError, match="no closure"):
        pattern_conductivity(tmp_path / "two")


def test_patterns_have_their_fractions_close_around_and_are_nested():
    drawn = quick_jit(lambda one: one.drawn((32, 32), jax.random.key(1)))
    faces, muscle = (np.asarray(part) for part in drawn(structure()))
    assert muscle.mean() == pytest.approx(0.8, abs=1 / 1024)
    assert set(np.unique(faces[0].round(12))) == {0.0, 0.4, 1.0} and set(np.unique(faces[1].round(12))) == {0.0, 0.2}
    more = np.asarray(drawn(structure(fibrosis=0.4))[1])
    assert not (more & ~muscle).any()
    clear = np.asarray(drawn(structure(fibrosis=0.0, septa=0.0))[0])
    assert ((clear[0] == 0.4).sum(axis=0) == 8).all()  # cells of four voxels in each row, around the ends too
    septa = np.asarray(drawn(structure(fibrosis=0.0))[0])[1] == 0
    assert septa.mean() == pytest.approx(0.3, abs=1 / 1024)
    assert (septa & np.roll(septa, 1, 0)).mean() > 0.2 > (septa & np.roll(septa, 1, 1)).mean()


@pytest.mark.slow
def test_healthy_tissue_conducts_along_as_junctions_in_series_where_sides_are_closed():
    one = structure(fibrosis=0.0, septa=0.0, side_junctions=1e-6, cell_length=4.0)
    faces, _ = one.drawn((8, 8), jax.random.key(0))
    np.testing.assert_allclose(np.diag(TENSOR(faces)), np.diag(one.healthy()), rtol=1e-4)


@pytest.mark.slow
def test_the_shipped_network_is_closer_than_its_iterations_on_windows_it_never_saw():
    closure = pattern_conductivity()
    keys = jax.random.split(jax.random.key(99), 12)
    cells = jnp.stack([structure(fibrosis=0.3).drawn((32, 32), key)[0] for key in keys])
    exact = np.asarray(jax.jit(jax.vmap(lambda cell: homogenise(cell, tolerance=1e-7).tensor))(cells))
    uppers = np.asarray(jax.jit(jax.vmap(lambda cell: truncated(cell, 4).uppers))(cells))
    said = np.asarray(jax.jit(jax.vmap(closure))(cells))
    network, three = (np.linalg.norm(found - exact, axis=(1, 2)).mean() for found in (said, uppers[:, 3]))
    assert network < 0.7 * three
