"""Closures: what they compute, how they are trained, kept and refused."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import export
from jax.flatten_util import ravel_pytree

from physics import AnalyticClosure, Variable, check_closure
from solvers import Status
from twinsim.closures import (
    EnsembleClosure,
    PerceptronClosure,
    Standardisation,
    TrainingRange,
    load_closure,
    network_parameters,
    save_closure,
    train,
)
from twinsim.errors import InputError

INPUTS = (Variable("substrate", "mmol / L"), Variable("inhibitor", "umol / L"))
OUTPUTS = (Variable("rate", "mmol / L / s"),)


def law(parameters: tuple[float, float], values: jax.Array) -> jax.Array:
    """Competitive inhibition."""
    km, ki = parameters
    return (values[0] / (km * (1 + values[1] / ki) + values[0]))[None]


TRUTH = AnalyticClosure(law=law, parameters=(2.0, 5.0), inputs=INPUTS, outputs=OUTPUTS)


def samples(count: int, seed: int = 0) -> tuple[jax.Array, jax.Array]:
    given = jax.random.uniform(jax.random.key(seed), (2, count)) * jnp.array([[10.0], [20.0]])
    return given, TRUTH(given)


def squares(model: PerceptronClosure, data: tuple[jax.Array, jax.Array]) -> jax.Array:
    given, wanted = data
    return jnp.mean((model(given.T) - wanted.T) ** 2)


def trained(seed: int, steps: int = 400) -> PerceptronClosure:
    given, wanted = samples(256)
    closure = PerceptronClosure.create(seed, INPUTS, OUTPUTS, samples=(given, wanted), hidden=(8, 8), positive=(True,))
    return train(closure, squares, (given.T, wanted.T), steps=steps, learning_rate=2e-2, batch=64, seed=seed).model


@pytest.mark.slow
def test_a_perceptron_learns_a_law_of_enzymes_inside_its_range_and_says_where_it_ends() -> None:
    closure = trained(0, steps=1500)
    given, wanted = samples(200, seed=9)
    error = jnp.linalg.norm(closure(given) - wanted) / jnp.linalg.norm(wanted)
    assert error < 0.02
    assert (closure(jnp.array([[100.0, -50.0], [0.0, 90.0]])) > 0).all()
    assert (closure.examine(given) == Status.SUCCESS).all()
    outside = jnp.array([[30.0, 5.0, jnp.nan], [5.0, 60.0, 5.0]])
    np.testing.assert_array_equal(closure.examine(outside), [Status.EXTRAPOLATED] * 3)


@pytest.mark.slow
def test_places_may_have_any_axes_and_do_not_see_each_other() -> None:
    closure = trained(1, steps=3)
    given, _ = samples(24)
    np.testing.assert_allclose(closure(given.reshape(2, 2, 3, 4)), closure(given).reshape(1, 2, 3, 4), rtol=1e-13)
    np.testing.assert_allclose(jax.vmap(closure, in_axes=1, out_axes=1)(given), closure(given), rtol=1e-12)


def test_the_range_follows_correlations_that_its_box_does_not_see() -> None:
    first = jnp.linspace(0, 1, 50)
    seen = TrainingRange.of(jnp.stack([first, first + 0.01 * jnp.sin(40 * first)]))
    np.testing.assert_array_equal(seen.examine(jnp.array([[0.5, 0.9], [0.5, 0.1]])), [Status.SUCCESS, Status.EXTRAPOLATED])
    assert seen.distance(jnp.stack([first, first + 0.01 * jnp.sin(40 * first)])).max() == pytest.approx(1.0)


def test_a_component_that_never_changed_may_not_change() -> None:
    seen = TrainingRange.of(jnp.stack([jnp.linspace(0, 1, 20), jnp.full(20, 37.0)]))
    np.testing.assert_array_equal(seen.examine(jnp.array([[0.5, 0.5], [37.0, 38.0]])), [Status.SUCCESS, Status.EXTRAPOLATED])


def test_scales_are_undone() -> None:
    given, _ = samples(40)
    scale = Standardisation.of(given)
    np.testing.assert_allclose(scale.undo(scale.apply(given)), given, rtol=1e-12)
    np.testing.assert_allclose(jnp.std(scale.apply(given), axis=1), 1, rtol=1e-12)


@pytest.mark.slow
def test_gradients_of_weights_are_those_of_central_differences() -> None:
    closure = trained(2, steps=3)
    given, wanted = samples(16)
    weights, rest = eqx.partition(closure, network_parameters(closure))
    flat, unravel = ravel_pytree(weights)

    def loss(flat: jax.Array) -> jax.Array:
        return squares(eqx.combine(unravel(flat), rest), (given.T, wanted.T))

    direction = jax.random.normal(jax.random.key(3), flat.shape)
    step = 1e-5
    difference = (loss(flat + step * direction) - loss(flat - step * direction)) / (2 * step)
    assert jax.grad(loss)(flat) @ direction == pytest.approx(float(difference), rel=1e-6)


def test_only_the_network_is_trained() -> None:
    closure = trained(3, steps=1)
    marked = network_parameters(closure)
    assert sum(jax.tree.leaves(marked)) == 6  # three layers of weights and biases
    before = PerceptronClosure.create(3, INPUTS, OUTPUTS, samples=samples(256), hidden=(8, 8), positive=(True,))
    np.testing.assert_array_equal(closure.input_scale.mean, before.input_scale.mean)
    assert not np.array_equal(closure.network.weights[0][...], before.network.weights[0][...])


def test_training_is_the_same_twice() -> None:
    first, second = trained(4, steps=20), trained(4, steps=20)
    assert eqx.tree_equal(first, second)


def test_the_last_good_model_is_kept_where_the_loss_is_no_number() -> None:
    given, wanted = samples(8)
    closure = PerceptronClosure.create(0, INPUTS, OUTPUTS, samples=(given, wanted), hidden=(4,))

    def breaks(model: PerceptronClosure, data: tuple[jax.Array, jax.Array]) -> jax.Array:
        value = squares(model, data)
        return jnp.where(value < 0.02, jnp.nan, value)

    result = train(closure, breaks, (given.T, wanted.T), steps=500, chunk=7, optimiser=optax.sgd(0.1))
    assert result.status is Status.NOT_FINITE
    assert len(result.losses) == result.steps < 500
    assert np.isfinite(result.losses).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(eqx.filter(result.model, eqx.is_array)))
    assert f"at step {result.steps}" in result.message


def test_the_best_model_by_validation_is_returned() -> None:
    given, wanted = samples(8)
    closure = PerceptronClosure.create(0, INPUTS, OUTPUTS, samples=(given, wanted), hidden=(4,))
    result = train(
        closure,
        lambda model, data: -squares(model, data),  # gets worse with every step
        (given.T, wanted.T),
        steps=30,
        chunk=10,
        validate=lambda model: squares(model, (given.T, wanted.T)),
    )
    assert squares(result.model, (given.T, wanted.T)) == pytest.approx(float(result.validation.min()))
    assert result.validation.argmin() == 0


@pytest.mark.slow
def test_a_closure_comes_back_from_disk(tmp_path: Path) -> None:
    closure = trained(5, steps=10)
    folder = save_closure(tmp_path / "rate", closure, {"command": "pytest", "seed": 5})
    save_closure(folder, closure, {"command": "pytest", "seed": 5})  # replaces it
    again = load_closure(folder)
    assert isinstance(again, PerceptronClosure)
    given, _ = samples(10)
    np.testing.assert_array_equal(again(given), closure(given))
    np.testing.assert_array_equal(again.examine(given * 3), closure.examine(given * 3))
    assert (again.inputs, again.outputs) == (INPUTS, OUTPUTS)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 100_000
    assert not [path for path in files if str(tmp_path).encode() in path.read_bytes()]  # it may be shipped


def test_checkpoints_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = save_closure(tmp_path / "rate", trained(6, steps=1), {})
    about = folder / "about" / "metadata"
    written = json.loads(about.read_text())
    with pytest.raises(InputError, match="holds no closure"):
        load_closure(tmp_path)
    for change, words in (({"format": 99}, "format 99"), ({"kind": "perceptorn"}, "did you mean 'perceptron'")):
        about.write_text(json.dumps(written | change))
        with pytest.raises(InputError, match=words):
            load_closure(folder)
    about.write_text(json.dumps(written | {"architecture": written["architecture"] | {"hidden": [7]}}))
    with pytest.raises(InputError, match="cannot be read"):
        load_closure(folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        save_closure(tmp_path / "other", trained(6, steps=1), {})
    bad = eqx.tree_at(lambda c: c.output_scale.mean, trained(6, steps=1), jnp.array([jnp.nan]))
    with pytest.raises(InputError, match="not finite"):
        save_closure(tmp_path / "bad", bad, {})


@pytest.mark.slow
def test_an_ensemble_disagrees_more_outside_of_what_it_saw() -> None:
    members = [trained(seed) for seed in range(3)]
    ensemble = EnsembleClosure.of(members)
    given, _ = samples(50)
    np.testing.assert_allclose(ensemble(given), jnp.mean(jnp.stack([member(given) for member in members]), axis=0), rtol=1e-12)
    assert ensemble.spread(given * 4).mean() > 3 * ensemble.spread(given).mean()
    with pytest.raises(InputError, match="one architecture"):
        EnsembleClosure.of(members[:1])


def test_a_closure_of_another_signature_or_unit_is_refused() -> None:
    check_closure(TRUTH, INPUTS, OUTPUTS)
    with pytest.raises(ValueError, match=r"got a closure that takes substrate \[mmol / L\], inhibitor"):
        check_closure(TRUTH, INPUTS[::-1], OUTPUTS)
    with pytest.raises(ValueError, match=r"expected one that gives rate \[umol / L / s\]"):
        check_closure(TRUTH, INPUTS, (Variable("rate", "umol / L / s"),))
    with pytest.raises(ValueError, match="without a training range"):
        PerceptronClosure.create(0, INPUTS, OUTPUTS).examine(jnp.ones((2, 1)))


@pytest.mark.parametrize(
    ("change", "words"),
    [({"activation": "tahn"}, "did you mean 'tanh'"), ({"positive": (True, True)}, "2 signs"), ({"inputs": ()}, "0 inputs")],
)
def test_bad_architectures_are_refused(change: dict[str, object], words: str) -> None:
    arguments = {"inputs": INPUTS, "outputs": OUTPUTS} | change
    with pytest.raises(InputError, match=words):
        PerceptronClosure.create(0, **arguments)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "0 steps"),
        ({"batch": 999}, "batches of 999"),
        ({"trainable": lambda m: jax.tree.map(lambda _: False, m)}, "trainable"),
    ],
)
def test_bad_training_is_refused(change: dict[str, object], words: str) -> None:
    given, wanted = samples(8)
    closure = PerceptronClosure.create(0, INPUTS, OUTPUTS, hidden=(4,))
    with pytest.raises(InputError, match=words):
        train(closure, squares, (given.T, wanted.T), **({"steps": 3} | change))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_a_trained_closure_lowers_everywhere(platform: str) -> None:
    arrays, static = eqx.partition(PerceptronClosure.create(0, INPUTS, OUTPUTS, samples=samples(8), dtype="float32"), eqx.is_array)

    def gradient(arrays: object, given: jax.Array) -> object:
        return jax.grad(lambda a: jnp.sum(eqx.combine(a, static)(given)))(arrays)

    lowered = export.export(jax.jit(gradient), platforms=[platform])(arrays, jnp.ones((2, 8), "float32"))
    assert lowered.platforms == (platform,)
