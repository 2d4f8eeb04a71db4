"""The whole glioma model against SciPy's integrators, event by event, on the same cells."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tests.problems import GliomaProblem, matrix, number, quick_jit, reference_parameters

PROBLEM = GliomaProblem(
    shape=(6, 5, 5),
    fraction_days=(2.37, 3.37, 4.37, 7.9),
    fraction_doses=(2.0, 2.0, 3.0, 2.0),
    drug_days=(1.15, 2.15, 3.37, 7.9),
    drug_doses=(150.0, 200.0, 150.0, 150.0),
    save=(3.37, 10.0),
    stages=3,
)
PARAMETERS = reference_parameters() | {"elimination": number(3.0), "drug_sensitivity": number(0.01), "proliferation": number(0.1)}


def integrated(method: str) -> list[np.ndarray]:
    """Piecewise between all marks, with SciPy; returns the states at the save times, before an event at that very time."""
    p = {name: float(value) for name, value in PARAMETERS.items() if value.ndim == 0}
    equation = PROBLEM.equation(PARAMETERS)
    diffusion = matrix(equation.diffusion, PROBLEM.grid.size)
    dose_map = np.asarray(equation.radiotherapy.dose_map)
    state = np.asarray(PROBLEM.seed(PARAMETERS))
    marks = sorted({0.0, *PROBLEM.fraction_days, *PROBLEM.drug_days, *PROBLEM.save})
    states = []
    for start, stop in pairwise(marks):
        given = [(day, dose) for day, dose in zip(PROBLEM.drug_days, PROBLEM.drug_doses) if day <= start]

        def rate(time, u, given=given):
            concentration = sum(dose * np.exp(-p["elimination"] * (time - day)) for day, dose in given)
            return diffusion @ u + p["proliferation"] * u * (1 - u) - p["drug_sensitivity"] * concentration * u

        def slopes(time, u, given=given):
            concentration = sum(dose * np.exp(-p["elimination"] * (time - day)) for day, dose in given)
            return diffusion + np.diag(p["proliferation"] * (1 - 2 * u) - p["drug_sensitivity"] * concentration)

        implicit = {"jac": slopes} if method == "Radau" else {}
        state = solve_ivp(rate, (start, stop), state, method=method, rtol=1e-9, atol=1e-13, **implicit).y[:, -1]
        if stop in PROBLEM.save:
            states.append(state)
        for day, dose in zip(PROBLEM.fraction_days, PROBLEM.fraction_doses):
            if day == stop:
                local = dose * dose_map
                state = state * np.exp(-p["radiosensitivity"] * local - p["radiosensitivity"] / p["alpha_beta_ratio"] * local**2)
    return states


@pytest.mark.parametrize("method", ["RK45", pytest.param("Radau", marks=pytest.mark.slow)])
def test_treated_glioma(method):
    solution = quick_jit(PROBLEM.solve)(PARAMETERS, PROBLEM.mesh(1 / 128))
    solution.raise_for_status()
    for found, expected in zip(solution.states, integrated(method), strict=True):
        assert np.abs(expected).max() > 0.02
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
