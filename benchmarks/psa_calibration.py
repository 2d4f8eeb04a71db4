"""Calibrating 60 PSA patients as one batch, against a loop of SciPy's least squares over a NumPy model."""

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """The same model, priors, data and starting point for both."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float64"] = "float64"
    """SciPy computes in double precision."""

    iterations: int = 25
    """Of Levenberg-Marquardt per patient; always all of them."""

    patients: int = 60
    """The first so many of the data set."""

    host_devices: int = 2
    """Devices that the processor is divided into; the patients are divided over them. 0 leaves what the environment says."""

    repeats: int = 3
    """Timed runs of the batch, after one that does not count."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; measured in a fresh process."""
    if min(config.iterations, config.patients, config.repeats) < 1:
        raise InputError(
            got=f"iterations {config.iterations}, patients {config.patients}, repeats {config.repeats}",
            expected="at least 1 of each",
            do="raise them",
        )
    return measure_in_fresh_process("benchmarks.psa_calibration", config)


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process."""
    import time

    import numpy as np
    from scipy.optimize import least_squares as scipy_least_squares

    from twinsim.cohort import Noise
    from twinsim.psa_forecast import psa_cohort
    from twinsim.psa_models import HIRATA_WASHOUT
    from twinsim.psa_record import read_cohort

    records = read_cohort()[: config.patients]
    cohort = psa_cohort(records, HIRATA_WASHOUT)
    wide = cohort.wide(Noise(0.4, 0.0, 60.0))
    start = np.zeros((cohort.size, len(cohort.priors)))

    def batch() -> Any:
        found = cohort.fit([wide] * cohort.size, start, config.iterations)
        return found.z.block_until_ready(), np.asarray(found.value), np.asarray(found.finite)

    begun = time.perf_counter()
    points, values, finite = batch()
    seconds = [time.perf_counter() - begun]
    for _ in range(config.repeats):
        begun = time.perf_counter()
        batch()
        seconds.append(time.perf_counter() - begun)
    begun, costs, evaluations = time.perf_counter(), [], 0
    for record in records:
        found = scipy_least_squares(numpy_residuals, start[0], args=(numpy_record(record), wide.noise.scale), method="trf", x_scale=1.0)
        costs.append(found.cost)
        evaluations += found.nfev
    loop = time.perf_counter() - begun
    same = max(
        abs(0.5 * float(np.sum(numpy_residuals(np.asarray(points[p]), numpy_record(record), wide.noise.scale) ** 2)) / values[p] - 1)
        for p, record in enumerate(records)
    )
    return {
        "patients": cohort.size,
        "readings": int(np.isfinite(cohort.values).sum()),
        "parameters": len(cohort.priors),
        "batch_first_call_seconds": seconds[0],
        "batch_seconds": min(seconds[1:]),
        "scipy_loop_seconds": loop,
        "scipy_to_batch": loop / min(seconds[1:]),
        "scipy_evaluations_per_patient": evaluations / cohort.size,
        "patients_finite": int(finite.sum()),
        "objective_batch_mean": float(values.mean()),
        "objective_scipy_mean": float(np.mean(costs)),
        "patients_where_batch_is_at_most_scipy_plus_half": int(np.sum(values <= np.array(costs) + 0.5)),
        "model_error_relative": same,
    }


def numpy_record(record: Any) -> tuple[Any, ...]:
    """Days between visits, days since therapy stopped at their start, log PSA, which of it is there, the first PSA."""
    import numpy as np

    seen = np.isfinite(record.psa)
    return np.diff(record.days), record.since_stop[:-1], np.log(record.psa), seen, record.psa[seen][0]


def numpy_residuals(z: Any, record: tuple[Any, ...], scale: float) -> Any:
    """Whitened residuals of one patient: all matrices of all intervals at once, then one product per interval."""
    import numpy as np

    from twinsim.psa_models import HIRATA_WASHOUT

    days, stopped, logs, seen, first_psa = record
    v = {
        prior.name: prior.median * np.exp(prior.spread * x) if prior.transform == "log" else prior.median + prior.spread * x
        for prior, x in zip(HIRATA_WASHOUT.priors, z, strict=True)
    }
    on_days = np.where(stopped < 0, days, np.clip(v["washout"] - stopped, 0.0, days))
    off_days = days - on_days
    with np.errstate(all="ignore"):
        a, b, c = -v["decay_1_on"], -v["decay_2_on"], v["growth_3_on"]
        on, off = np.zeros((days.size, 3, 3)), np.zeros((days.size, 3, 3))
        on[:, 0, 0], on[:, 1, 1], on[:, 2, 2] = np.exp(a * on_days), np.exp(b * on_days), np.exp(c * on_days)
        on[:, 1, 0] = v["transfer_21_on"] * _divided(a, b, on_days)
        on[:, 2, 0] = v["transfer_31_on"] * _divided(a, c, on_days)
        g1, g2 = v["growth_1_off"], v["growth_2_off"]
        off[:, 0, 0], off[:, 1, 1] = np.exp(g1 * off_days), np.exp(g2 * off_days)
        off[:, 2, 2] = np.exp(v["growth_3_off"] * off_days)
        off[:, 0, 1] = v["transfer_12_off"] * _divided(g1, g2, off_days)
        matrices = off @ on
        state = first_psa * np.array([v["initial_1"], v["initial_2"], v["initial_3"]])
        states = np.empty((days.size + 1, 3))
        states[0] = state
        for k in range(days.size):
            state = matrices[k] @ state
            states[k + 1] = state
        difference = (logs[seen] - np.log(np.maximum(states.sum(1)[seen], 1e-12))) / scale
    return np.nan_to_num(np.concatenate([difference, z]), nan=1e6, posinf=1e6, neginf=-1e6)


def _divided(a: float, b: float, days: Any) -> Any:
    import numpy as np

    return days * np.exp(a * days) if abs(a - b) < 1e-9 else np.exp(b * days) * np.expm1((a - b) * days) / (a - b)
