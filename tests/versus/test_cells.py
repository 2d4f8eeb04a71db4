"""Rates of cells against an independent program at random states (stored numbers), and against transcriptions in NumPy."""

import json
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from physics import CELL_MODELS, AlievPanfilov, HergBinding, MitchellSchaeffer, OHaraRudyCipa2017, TenTusscher2006
from tests.problems import number, quick_jit

HERE = Path(__file__).parent
LAYERS = ("epi", "mid", "endo")


def with_dofetilide():
    drug = HergBinding(*(number(value) for value in (35.1, 1.816e-5, 1.08, 216.6, -1.0, 3.5e-5, 6.0)))
    return replace(OHaraRudyCipa2017.published("endo"), drug=drug)


# Stored file, layer, and how the cell is made.
STORED = [
    *[("ten_tusscher_2006", layer, CELL_MODELS[f"ten_tusscher_2006_{layer}"]) for layer in LAYERS],
    *[("bueno_orovio_2008", layer, CELL_MODELS[f"bueno_orovio_2008_{layer}"]) for layer in LAYERS],
    *[("ohara_rudy_2011", layer, CELL_MODELS[f"ohara_rudy_2011_{layer}"]) for layer in LAYERS],
    *[("ohara_rudy_cipa_2017", layer, CELL_MODELS[f"ohara_rudy_cipa_2017_{layer}"]) for layer in LAYERS],
    ("ohara_rudy_cipa_2017", "endo_dofetilide", with_dofetilide),
    *[("tor_ord_2019", layer, CELL_MODELS[f"tor_ord_2019_{layer}"]) for layer in LAYERS],
    ("courtemanche_1998", "", CELL_MODELS["courtemanche_1998"]),
]


FIRST = {family: layer for family, layer, _ in reversed(STORED)}  # of each model one layer runs always
ROWS = [
    pytest.param(*row, id=f"{row[0]} {row[1]}", marks=[] if row[1] in (FIRST[row[0]], "endo_dofetilide") else [pytest.mark.slow])
    for row in STORED
]


@pytest.mark.parametrize(("family", "layer", "make"), ROWS)
def test_every_rate_is_that_of_myokit(family, layer, make):
    cell, stored = make(), json.loads((HERE / f"{family}.json").read_text())
    states, expected = np.array(stored["states"]).T, np.array(stored["rates"][layer]).T
    assert states.shape == expected.shape == (len(cell.names), 40)
    found = quick_jit(lambda *arguments: cell.rate(*arguments))(jnp.asarray(states), number(0.0), number(0.0))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_stimulus_enters_voltage_and_potassium():
    cell = TenTusscher2006.published()
    state = cell.initial_state()
    change = cell.rate(state, number(0.0), number(10.0)) - cell.rate(state, number(0.0), number(0.0))
    expected = np.zeros(19)
    expected[0], expected[5] = 10.0, 10.0 * 185.0 / (16404.0 * 96.485)
    np.testing.assert_allclose(change, expected, rtol=1e-9, atol=1e-12)


def test_mitchell_schaeffer_against_a_transcription():
    rng = np.random.default_rng(0)
    v, h, current = rng.uniform(-0.1, 1.1, 50), rng.uniform(0, 1, 50), rng.uniform(0, 60, 50)
    expected = [h * v * v * (1 - v) / 0.3 - v / 6 + current / 100, np.where(v < 0.13, (1 - h) / 120, -h / 150)]
    found = MitchellSchaeffer.published().rate(jnp.stack([v, h]), number(0.0), jnp.asarray(current))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_aliev_panfilov_against_a_transcription():
    rng = np.random.default_rng(0)
    u, w, current = rng.uniform(-0.1, 1.1, 50), rng.uniform(0, 2.5, 50), rng.uniform(0, 60, 50)
    first = (-8 * u * (u - 0.15) * (u - 1) - u * w) / 12.9 + current / 100
    second = (0.002 + 0.2 * w / (u + 0.3)) * (-w - 8 * u * (u - 0.15 - 1)) / 12.9
    found = AlievPanfilov.published().rate(jnp.stack([u, w]), number(0.0), jnp.asarray(current))
    np.testing.assert_allclose(found, [first, second], rtol=1e-10, atol=1e-14)
