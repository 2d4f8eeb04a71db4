"""Synthetic people of neuro/cognitive_decline, and what is hidden of them."""

from dataclasses import dataclass

import numpy as np

from physics import Connectome, NetworkSpreading
from twinsim.errors import refused
from twinsim.inference.problem import Predict
from twinsim.spreading_forecast import predicted_readings
from twinsim.spreading_model import MOVING, PRIORS
from twinsim.visit_table import PersonVisits

LEAST_READING = 1e-3  # SUVR; noise makes none below


@dataclass(frozen=True)
class Truth:
    """What was hidden: seeds, coordinates in the priors, and the last visit without noise ``(people, regions)``."""

    seeds: np.ndarray
    z: np.ndarray
    last: np.ndarray


def synthetic_people(
    connectome: Connectome,
    predict: Predict,
    people: int,
    visits_each: tuple[int, ...],
    gap_years: float,
    medians: tuple[float, float, float, float],
    between: float,
    missing: float,
    seed: int,
) -> tuple[list[PersonVisits], Truth]:
    """People drawn from a population, their readings, and what is hidden of them.

    Args:
        connectome: Seeds are drawn among its regions with a tract.
        predict: The model that makes them.
        people: How many.
        visits_each: How many visits they have, in turn.
        gap_years: From visit to visit, each up to a quarter more or less.
        medians: Of spread, growth (1/year) and amplitude, and the scatter of all (SUVR).
        between: Standard deviation among people of the first three where their priors are normal.
        missing: Part of the readings that is not there.
        seed: Of everything random.
    """
    random = np.random.default_rng([seed, 7])
    wired = np.flatnonzero([name not in connectome.isolated for name in connectome.names])
    seeds = random.choice(wired, people)
    centre = np.array([prior.coordinate(value) for prior, value in zip(PRIORS, medians, strict=True)])
    spreads = np.array([between / prior.spread for prior in PRIORS]) * (np.arange(len(PRIORS)) < MOVING)
    z = centre + spreads * random.standard_normal((people, len(PRIORS)))
    counts = np.array([visits_each[k % len(visits_each)] for k in range(people)])
    gaps = gap_years * random.uniform(0.75, 1.25, (people, counts.max()))
    years = np.cumsum(gaps, axis=1) - gaps[:, :1]
    clean = predicted_readings(predict, years, seeds[:, None], z[:, None], connectome.regions)[:, 0]
    readings = clean + medians[-1] * random.standard_normal(clean.shape)
    gone = random.uniform(size=clean.shape) < missing
    gone &= ~gone.all(axis=2, keepdims=True)
    readings = np.where(gone, np.nan, np.maximum(readings, LEAST_READING))
    found = [PersonVisits(f"P{k:02d}", years[k, :n], readings[k, :n]) for k, n in enumerate(counts)]
    return found, Truth(seeds, z, clean[np.arange(people), counts - 1])


def spreading_over(connectome: Connectome, normalisation: str) -> NetworkSpreading:
    """The model over a connectome.

    Raises:
        InputError: A connectome without a tract.
    """
    try:
        return NetworkSpreading.of(connectome, normalisation)  # type: ignore[arg-type]
    except ValueError as error:
        raise refused(error, "connectome") from None
