"""Gaussian processes: the closed-form posterior computed independently, gradients, hyperparameters, range, and files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

from physics import Variable
from solvers import Status
from twinsim.closures import GaussianProcessClosure, GraphFlow, Hyperparameters, load_closure, save_closure
from twinsim.closures.gaussian_process import KERNELS, covariance, log_marginal_likelihood
from twinsim.closures.gaussian_process_closure import most_likely
from twinsim.errors import InputError

INPUTS = (Variable("substrate", "mmol / L"), Variable("inhibitor", "umol / L"))
OUTPUTS = (Variable("rate", "mmol / L / s"), Variable("heat", "W"))
LENGTHS, AMPLITUDE, NOISE = np.array([0.7, 1.6]), 1.3, 0.2
HYPER = Hyperparameters(jnp.log(LENGTHS), jnp.log(AMPLITUDE), jnp.log(NOISE))


def kernel_by_scipy(kernel: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Written anew from the book's formulas."""
    r = cdist(a / LENGTHS, b / LENGTHS)
    shapes = {
        "squared_exponential": np.exp(-(r**2) / 2),
        "matern_5_2": (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r),
        "matern_3_2": (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r),
    }
    return AMPLITUDE**2 * shapes[kernel]


def data(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    given = random.uniform(0, 4, (2, count))
    return given, np.stack([np.sin(given[0]) + 0.5 * given[1], np.cos(given[1]) * given[0]])


def closure(count: int = 25, kernel: str = "squared_exponential", given: bool = True) -> GaussianProcessClosure:
    hyper = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), HYPER) if given else None
    return GaussianProcessClosure.of(INPUTS, OUTPUTS, tuple(map(jnp.asarray, data(count))), kernel=kernel, hyper=hyper)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.quick(1)
def test_mean_and_deviation_are_those_of_the_joint_normal_distribution(kernel: str) -> None:
    given, wanted = data(25)
    new = np.random.default_rng(1).uniform(-1, 5, (2, 7))
    centre, scale = given.mean(axis=1), given.std(axis=1)
    x, z = ((part - centre[:, None]) / scale[:, None] for part in (given, new))
    inner = kernel_by_scipy(kernel, x.T, x.T) + NOISE**2 * np.eye(25)
    cross = kernel_by_scipy(kernel, z.T, x.T)
    y = (wanted - wanted.mean(axis=1)[:, None]) / wanted.std(axis=1)[:, None]
    mean = y @ np.linalg.solve(inner, cross.T) * wanted.std(axis=1)[:, None] + wanted.mean(axis=1)[:, None]
    variance = np.diag(kernel_by_scipy(kernel, z.T, z.T) - cross @ np.linalg.solve(inner, cross.T))
    found = closure(kernel=kernel)
    np.testing.assert_allclose(found(jnp.asarray(new)), mean, rtol=1e-10)
    np.testing.assert_allclose(found.deviation(jnp.asarray(new)), np.sqrt(variance) * wanted.std(axis=1)[:, None], rtol=1e-8)
    expected = multivariate_normal(np.zeros(25), inner).logpdf(y[0])
    assert float(log_marginal_likelihood(kernel, HYPER, jnp.asarray(x.T), jnp.asarray(y[0]))) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.quick(1)
def test_the_slope_of_the_likelihood_and_of_the_mean_is_that_of_central_differences(kernel: str) -> None:
    given, wanted = data(15)
    x, y = jnp.asarray(given.T), jnp.asarray(wanted[0])
    at, restore = ravel_pytree(HYPER)
    made = closure(15, kernel)

    def said(v: jax.Array) -> jax.Array:
        return made(v[:, None]).sum() + made.deviation(v[:, None]).sum()

    for function, start in ((lambda v: log_marginal_likelihood(kernel, restore(v), x, y), at), (said, jnp.array([1.3, 2.2]))):
        direction, step, value = jax.random.normal(jax.random.key(2), start.shape), 1e-5, jax.jit(function)
        difference = (value(start + step * direction) - value(start - step * direction)) / (2 * step)
        assert float(jax.jit(jax.grad(function))(start) @ direction) == pytest.approx(float(difference), rel=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_has_slopes_where_places_coincide(kernel: str) -> None:
    slope = jax.jit(jax.grad(lambda p: covariance(kernel, HYPER, p[None], jnp.array([[1.0, 2.0]]))[0, 0]))(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(slope, 0.0, atol=1e-12)


@pytest.mark.slow
def test_the_likelihood_finds_the_noise_and_that_an_input_does_not_matter() -> None:
    random = np.random.default_rng(3)
    x = random.uniform(-1.7, 1.7, (120, 2))
    y = np.sin(2 * x[:, 0]) + 0.1 * random.normal(size=120)
    found = most_likely("squared_exponential", jnp.asarray(x), jnp.asarray(y / y.std()))
    assert abs(np.exp(found.hyper.noise) * y.std() / 0.1 - 1) < 0.2
    assert np.exp(found.hyper.lengths[1]) > 8 * np.exp(found.hyper.lengths[0])
    truth = Hyperparameters(jnp.log(jnp.array([0.5, 100.0])), jnp.zeros(()), jnp.log(0.1 / y.std()))
    assert found.log_likelihood >= float(log_marginal_likelihood("squared_exponential", truth, jnp.asarray(x), jnp.asarray(y / y.std())))


@pytest.mark.slow
def test_it_learns_a_law_covers_its_errors_and_says_where_samples_end() -> None:
    found = closure(60, given=False)
    given, wanted = data(200, seed=5)
    inner = (given > 0.3).all(axis=0) & (given < 3.7).all(axis=0)
    answer = np.asarray(found(jnp.asarray(given)))
    assert np.linalg.norm((answer - wanted)[:, inner]) / np.linalg.norm(wanted[:, inner]) < 0.01
    assert (np.asarray(found.examine(jnp.asarray(given[:, inner]))) == Status.SUCCESS).mean() > 0.95
    outside = jnp.array([[12.0, 2.0, jnp.nan], [2.0, -9.0, 2.0]])
    np.testing.assert_array_equal(found.examine(outside), [Status.EXTRAPOLATED] * 3)
    np.testing.assert_allclose(found(jnp.asarray(given).reshape(2, 10, 20)), answer.reshape(2, 10, 20), rtol=1e-12)


def test_deviations_are_those_of_functions_drawn_from_the_prior() -> None:
    random = np.random.default_rng(7)
    x = np.sort(random.uniform(-1.7, 1.7, (40, 1)), axis=0)
    hyper = Hyperparameters(jnp.log(jnp.array([[0.5]])), jnp.log(jnp.array([1.0])), jnp.log(jnp.array([0.1])))
    kernel = np.asarray(covariance("matern_5_2", jax.tree.map(lambda leaf: leaf[0], hyper), jnp.asarray(x), jnp.asarray(x)))
    root = np.linalg.cholesky(kernel + 1e-10 * np.eye(40))
    scores = []
    kept, inputs, outputs = np.arange(40) % 2 == 0, (Variable("x", "1"),), (Variable("y", "1"),)
    both = jax.jit(lambda made, new: (made(new), made.deviation(new)))
    for _ in range(30):
        values = root @ random.normal(size=40)
        noisy = values + 0.1 * random.normal(size=40)
        # In the units of the draws: scales are undone in the hyperparameters.
        sx, sy = x[kept].std(), noisy[kept].std()
        mine = Hyperparameters(hyper.lengths - np.log(sx), hyper.amplitude - np.log(sy), hyper.noise - np.log(sy))
        samples = jnp.asarray(x[kept].T), jnp.asarray(noisy[kept][None])
        made = GaussianProcessClosure.of(inputs, outputs, samples, kernel="matern_5_2", hyper=mine)
        mean, deviation = both(made, jnp.asarray(x[~kept].T))
        scores.append(np.asarray((mean - values[~kept][None]) / deviation))
    assert abs(np.mean(np.square(scores)) - 1) < 0.25


@pytest.mark.parametrize("model", ["gaussian_process", "graph_flow"])
@pytest.mark.quick(1)
def test_it_comes_back_from_a_file(model: str, tmp_path) -> None:
    made = {
        "gaussian_process": lambda: closure(12, "matern_3_2"),
        "graph_flow": lambda: GraphFlow.create(3, width=6, rounds=2, point_width=5, harmonics=4, times=10, power=1),
    }[model]()
    found = load_closure(save_closure(tmp_path / model, made, {"command": "test"}))
    assert type(found) is type(made) and found.architecture() == made.architecture()
    assert (found.inputs, found.outputs) == (made.inputs, made.outputs)
    for one, other in zip(jax.tree.leaves(made), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(one, other)
    if model == "gaussian_process":
        places = jnp.array([[1.0, 9.0], [2.0, 9.0]])
        np.testing.assert_array_equal(found(places), made(places))
        np.testing.assert_array_equal(found.examine(places), made.examine(places))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": "matern"}, "matern_"),
        ({"samples": (jnp.zeros((1, 5)), jnp.zeros((2, 5)))}, "a row per variable"),
        ({"samples": (jnp.full((2, 5), jnp.nan), jnp.zeros((2, 5)))}, "not finite"),
    ],
)
def test_bad_input_is_refused_in_one_line(change: dict, message: str) -> None:
    options = {"samples": tuple(map(jnp.asarray, data(5))), "kernel": "matern_5_2"} | change
    with pytest.raises(InputError, match=message) as caught:
        GaussianProcessClosure.of(INPUTS, OUTPUTS, options["samples"], kernel=options["kernel"])
    assert "\n" not in str(caught.value)
