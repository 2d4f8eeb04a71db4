"""NUTS against the reference draws of posteriordb for its two posteriors of differential equations."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinsim.inference import Draws, LogNormal, Problem, nuts_posterior, series
from twinsim.prior import Prior

STORED = json.loads((Path(__file__).parent / "posteriordb.json").read_text())
LYNX_HARE, ONE_COMPARTMENT = "hudson_lynx_hare-lotka_volterra", "one_comp_mm_elim_abs"


def runge_kutta(rate, state, times, step):
    """Classical Runge-Kutta states at whole multiples of the step."""

    def advance(carry, t):
        a = rate(t, carry)
        b = rate(t + step / 2, carry + step / 2 * a)
        c = rate(t + step / 2, carry + step / 2 * b)
        d = rate(t + step, carry + step * c)
        carry = carry + step / 6 * (a + 2 * b + 2 * c + d)
        return carry, carry

    index = np.round(np.asarray(times) / step).astype(int)
    assert np.allclose(index * step, times)
    _, states = jax.lax.scan(advance, state, jnp.arange(index.max()) * step)
    return jnp.concatenate([state[None], states])[index]


def with_densities(priors, densities):
    """Log density of other priors less that of the coordinates': what turns the one into the other."""

    def extra(values, record):
        total = 0.0
        for prior in priors:
            value = values[prior.name]
            if prior.name in densities:
                z = jnp.log(value / prior.median) / prior.spread
                total = total + densities[prior.name](value) - prior.log_density(z)
        return total

    return extra


def lynx_and_hare() -> Problem:
    """Lotka-Volterra with log-normal errors, as in the Stan case study (Carpenter 2018)."""
    data = STORED[LYNX_HARE]["data"]
    priors = (
        Prior("theta[1]", "1/year", 0.55, 0.3, "log", "replaced below"),
        Prior("theta[2]", "1/year", 0.028, 0.4, "log", "replaced below"),
        Prior("theta[3]", "1/year", 0.8, 0.3, "log", "replaced below"),
        Prior("theta[4]", "1/year", 0.024, 0.4, "log", "replaced below"),
        Prior("z_init[1]", "thousand", 10.0, 1.0, "log", "case study"),
        Prior("z_init[2]", "thousand", 10.0, 1.0, "log", "case study"),
        Prior("sigma[1]", "1", np.exp(-1), 1.0, "log", "case study"),
        Prior("sigma[2]", "1", np.exp(-1), 1.0, "log", "case study"),
    )

    def normal(mean, deviation):
        return lambda value: -0.5 * ((value - mean) / deviation) ** 2

    wide, narrow = normal(1.0, 0.5), normal(0.05, 0.05)
    densities = {"theta[1]": wide, "theta[2]": narrow, "theta[3]": wide, "theta[4]": narrow}
    times = np.arange(21.0)

    def predict(values, times_, record):
        alpha, beta, gamma, delta = (values[f"theta[{i}]"] for i in range(1, 5))

        def rate(t, logs):
            prey, predators = jnp.exp(logs[0]), jnp.exp(logs[1])
            return jnp.stack([alpha - beta * predators, delta * prey - gamma])

        start = jnp.log(jnp.stack([values["z_init[1]"], values["z_init[2]"]]))
        found = jnp.exp(runge_kutta(rate, start, times, 0.125))
        return found[:, 0], found[:, 1]

    counts = np.vstack([data["y_init"], data["y"]])
    kinds = tuple(series(times, counts[:, k], LogNormal(f"sigma[{k + 1}]"), name, "thousand") for k, name in enumerate(("hares", "lynxes")))
    return Problem(priors, predict, kinds, extra=with_densities(priors, densities))


def one_compartment() -> Problem:
    """First-order absorption and Michaelis-Menten elimination, half-Cauchy priors: K_m is heavy-tailed."""
    data = STORED[ONE_COMPARTMENT]["data"]
    spreads = {"k_a": 0.5, "K_m": 1.5, "V_m": 0.7, "sigma": 0.7}
    medians = {"k_a": 0.8, "K_m": 1.0, "V_m": 0.9, "sigma": 0.13}
    priors = tuple(Prior(name, "1", medians[name], spread, "log", "replaced below") for name, spread in spreads.items())

    def half_cauchy(value):
        return -jnp.log1p(value**2)

    def predict(values, times_, record):
        k_a, volume = values["k_a"], data["V"]

        def rate(t, c):
            return k_a * data["D"] / volume * jnp.exp(-k_a * t) - values["V_m"] / volume * c / (values["K_m"] + c)

        return (runge_kutta(rate, jnp.zeros(1), data["times"], 0.0625)[:, 0],)

    kind = series(data["times"], data["C_hat"], LogNormal("sigma"), "concentration", "mg/L")
    return Problem(priors, predict, (kind,), extra=with_densities(priors, dict.fromkeys(spreads, half_cauchy)))


def check_moments(draws: Draws, reference: dict, name: str) -> None:
    """Mean within 0.1 standard deviation and standard deviation within a tenth."""
    found, stored = draws.draws(name), reference[name]
    assert abs(found.mean() - stored["mean"]) < 0.1 * stored["sd"], name
    assert 0.9 < found.std() / stored["sd"] < 1.1, name


def check_tail(draws: Draws, reference: dict, name: str) -> None:
    """For a tail without useful moments: moments of the logarithm, and quantiles within 0.1 of its standard deviation."""
    logs, stored = np.log(draws.draws(name)), reference[name]
    assert abs(logs.mean() - stored["log_mean"]) < 0.1 * stored["log_sd"], name
    assert 0.9 < logs.std() / stored["log_sd"] < 1.1, name
    for level, quantile in stored["quantiles"].items():
        assert abs(np.quantile(logs, float(level)) - np.log(quantile)) < 0.1 * stored["log_sd"], (name, level)


@pytest.mark.slow
def test_lotka_volterra_of_lynx_and_hare():
    draws = nuts_posterior(lynx_and_hare(), seed=1, chains=8, warmup=500, count=1000)
    assert draws.diagnostics.outcome == 0, draws.diagnostics.words
    for name in draws.names:
        check_moments(draws, STORED[LYNX_HARE]["reference"], name)


@pytest.mark.slow
def test_one_compartment_with_a_heavy_tail():
    """Many draws: the spread of log V_m hangs on its tail and differs by a tenth (one sd) between chains of 6000 draws."""
    draws = nuts_posterior(one_compartment(), seed=1, chains=16, warmup=1000, count=6000, target_acceptance=0.95)
    assert np.nanmax(draws.diagnostics.r_hat) < 1.01, draws.diagnostics.words
    for name in ("k_a", "sigma"):
        check_moments(draws, STORED[ONE_COMPARTMENT]["reference"], name)
    for name in ("K_m", "V_m"):
        check_tail(draws, STORED[ONE_COMPARTMENT]["reference"], name)


@pytest.mark.slow
def test_lotka_volterra_with_fewer_draws():
    """The reduced version: starts beside the first year's counts, so that little warm-up is needed."""
    of = lynx_and_hare()
    near = {"z_init[1]": 30.0, "z_init[2]": 4.0, "sigma[1]": 0.25, "sigma[2]": 0.25}
    centre = jnp.array([prior.coordinate(near.get(prior.name, prior.median)) for prior in of.priors])
    start = centre[None] + 0.1 * jax.random.normal(jax.random.key(0), (8, of.size))
    draws = nuts_posterior(of, seed=2, chains=8, warmup=120, count=250, start=start)
    for name in draws.names:
        check_moments(draws, STORED[LYNX_HARE]["reference"], name)
