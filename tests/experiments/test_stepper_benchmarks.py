"""The benchmarks of the steppers at a toy size: errors are those of the methods, numbers are finite. No time is judged."""

import math

import pytest

from benchmarks import gray_scott, substrate_transport
from twinsim.errors import InputError

PLANE = gray_scott.Config(
    precision="float64", edge_voxels=32, duration=8.0, periodic_steps=8, voxel_steps=8, reference_steps=32, peer_steps=8, repeats=1
)
CUBE = substrate_transport.Config(edge_voxels=12, spacing_um=166.0, substrates=(1, 2), mask_reference_steps=16, repeats=1)


def finite(numbers: dict) -> bool:
    return all(math.isfinite(value) for value in numbers.values() if isinstance(value, int | float))


@pytest.mark.slow
def test_gray_scott_in_three_regions():
    numbers = gray_scott.measure(PLANE)
    assert finite(numbers)
    assert numbers["periodic_error_relative"] < 2e-4 and numbers["walls_error_relative"] < 2e-3 and numbers["mask_error_relative"] < 5e-3
    assert numbers["mask_active_voxels"] < numbers["walls_active_voxels"] == 32**2


def test_the_reference_for_the_peer_is_the_same_solution():
    """NumPy's integrating factor against JAX's exponential Runge-Kutta: two programs, two methods."""
    import jax.numpy as jnp
    import numpy as np

    from solvers import simulate, time_mesh
    from solvers.linear.spectral_diffusion import SpectralDiffusion
    from solvers.steppers.exponential import ExponentialRungeKutta

    grid = gray_scott._grid(32, False)
    operator = SpectralDiffusion(grid, jnp.array(gray_scott.DIFFUSIVITIES), 0.0, True, "exact")
    stepper = ExponentialRungeKutta(operator, gray_scott._reaction(float), 4)
    start = jnp.asarray(gray_scott._start(32, True)).reshape(2, -1)
    found = simulate(stepper, start, time_mesh(0.0, [8.0], 0.25)).final
    np.testing.assert_allclose(found, gray_scott._reference(PLANE), atol=1e-9)


def test_substrate_transport_meets_the_exact_solution():
    numbers = substrate_transport.measure(CUBE)
    assert finite(numbers)
    for count in (1, 2):
        for kind in ("lines", "transform"):
            assert numbers[f"{kind}_{count}_substrates_error_relative"] < 1e-3  # of twelve voxels per half wave
    assert numbers["mask_active_voxels"] == round(0.6 * 12**3)
    assert numbers["mask_1_substrates_time_error_relative"] < 0.01


@pytest.mark.parametrize(("module", "config"), [(gray_scott, PLANE), (substrate_transport, CUBE)])
def test_bad_options_are_refused(module, config):
    from dataclasses import replace

    with pytest.raises(InputError):
        module.run(replace(config, repeats=0))
