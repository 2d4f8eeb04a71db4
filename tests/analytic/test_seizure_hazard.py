"""The hazard of a noisy fold against Airy functions, limits, the Epileptor without approximation, and random paths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import airy, airye

from physics import EPILEPTOR_FOLD, EPILEPTOR_OFFSET, NoisyFold, epileptor_escape_rate, epileptor_rest
from physics.seizure_hazard import log_airy_modulus

FOLD = NoisyFold(jnp.asarray(0.0015), jnp.asarray(2.0), jnp.asarray(1.0))


def test_the_modulus_is_that_of_airy_functions_at_all_arguments():
    y = np.linspace(-40, 100, 9001)
    ai, _, bi, _ = airy(np.minimum(y, 0))
    scaled_ai, _, scaled_bi, _ = airye(np.maximum(y, 0))
    twice = 4 / 3 * np.maximum(y, 0) ** 1.5
    exact = np.where(y < 0, np.log(ai**2 + bi**2), np.log((scaled_ai * np.exp(-twice)) ** 2 + scaled_bi**2) + twice)
    assert np.abs(np.asarray(log_airy_modulus(jnp.asarray(y))) - exact).max() < 1e-7


def test_the_rate_has_the_slope_that_it_has():
    distance = jnp.asarray([-0.5, -0.02, 0.0, 0.033, 0.3, 2.0])
    rate = jax.jit(lambda given: FOLD.log_rate(given))
    slope = jax.jit(jax.vmap(jax.grad(FOLD.log_rate)))(distance)
    central = (rate(distance + 1e-6) - rate(distance - 1e-6)) / 2e-6
    assert (np.abs(slope - central) < 1e-6 * np.abs(slope)).all()


def test_far_from_the_fold_are_kramers_and_the_passage_without_noise():
    far = 0.3
    kramers = np.log(np.sqrt(2 * far) / np.pi) - 4 / 3 * np.sqrt(2) * far**1.5 / (2 * 0.0015)
    assert abs(FOLD.log_rate(jnp.asarray(far)) - kramers) < 0.005
    assert FOLD.rate(jnp.asarray(-1.0)) == pytest.approx(np.sqrt(2.0) / np.pi, rel=1e-3)


def test_near_the_fold_it_is_the_epileptor_and_its_error_grows_with_the_distance():
    errors = []
    for distance in (0.03, 0.06, 0.09):
        exact = epileptor_escape_rate(EPILEPTOR_FOLD + distance, 0.0015, 16001)
        errors.append(float(FOLD.rate(jnp.asarray(distance))) / exact - 1)
    assert abs(errors[0]) < 0.02 and abs(errors[1]) < 0.05 and 0.05 < errors[2] < 0.15


def test_random_paths_of_the_epileptor_leave_as_often():
    noise, z, step, paths = 0.003, EPILEPTOR_FOLD + 0.02, 0.02, 2000
    rest = float(epileptor_rest(jnp.asarray(z)))

    def move(carry, key):
        x, left, alive = carry
        drift = 4.1 - z - x * x * (x + 2)
        guess = x + step * drift + np.sqrt(2 * noise * step) * jax.random.normal(key, (paths,))
        alive = alive & (guess < 0.5)
        return (jnp.where(alive, guess, 0.5), left + alive * step, alive), None

    start = (jnp.full(paths, rest), jnp.zeros(paths), jnp.ones(paths, bool))
    keys = jax.random.split(jax.random.key(0), 12_000)
    (_, time, alive), _ = jax.jit(lambda: jax.lax.scan(move, start, keys))()
    found = float((~alive).sum() / time.sum())  # the maximum-likelihood rate with censored paths
    exact = epileptor_escape_rate(z, noise, 16001)
    assert (~alive).mean() > 0.9 and found == pytest.approx(exact, rel=0.07)  # 3 standard errors of 1900 times


def test_the_rest_is_the_lowest_root():
    for z in (EPILEPTOR_FOLD + 1e-4, 3.2, 3.9, EPILEPTOR_OFFSET):
        lowest = np.roots([1.0, 2.0, 0.0, z - 4.1]).real.min()
        assert float(epileptor_rest(jnp.asarray(z))) == pytest.approx(lowest, abs=2e-6)
    assert float(epileptor_rest(jnp.asarray(2.5))) == pytest.approx(-4 / 3, abs=1e-5)
    assert np.isfinite(jax.grad(epileptor_rest)(jnp.asarray(2.5)))
