"""The exchange between arteries and voxels is of order one in its step."""

import jax
import numpy as np
import pytest

from tests.problems import quick_jit
from tests.segments import segment


@quick_jit
def entering(model, steps):
    one, length = model.stepper(), model.step
    return jax.lax.fori_loop(0, steps, lambda n, state: one.advance(state, n * length, length), model.initial_state()).entering


@pytest.mark.slow
def test_order_one_in_the_exchange():
    # 1344 lattice steps in all, on one lattice and one network, exchanged every so many.
    found = {
        count: np.asarray(entering(segment(voxels=10, length=20, sound=12.0, cells=10, substeps=count), 1344 // count))
        for count in (8, 6, 4, 3, 1)
    }
    counts = [8, 6, 4, 3]
    errors = [np.abs(found[count] - found[1]).max() for count in counts]
    slope = np.polyfit(np.log(np.array(counts) - 1.0), np.log(errors), 1)[0]
    assert abs(slope - 1) < 0.2, (errors, slope)
