"""The scaling benchmark at toy size: several devices give what one gives, and every number is there. No time is judged."""

import math

import pytest

from benchmarks import scaling
from twinsim.errors import InputError


@pytest.mark.slow
@pytest.mark.parametrize("stencil", ["7-point", "19-point"])
def test_devices_give_what_one_gives(stencil):
    config = scaling.Config(devices=(1, 2), edge_voxels=24, stencil=stencil, precision="float64", steps=4, depth=2, repeats=1)
    numbers = scaling.run(config)
    assert all(math.isfinite(value) for value in numbers.values() if isinstance(value, int | float))
    assert numbers["strong_devices_2"] == 2 and numbers["weak_planes_2"] == 2 * numbers["weak_planes_1"]
    for name in ("strong", "weak"):
        assert numbers[f"{name}_against_one_device_relative_2"] < 1e-12
        assert numbers[f"{name}_speed_up_2"] > 0
    assert numbers["unpinned_devices_1"] == 1


@pytest.mark.parametrize("change", [{"devices": ()}, {"devices": (0,)}, {"steps": 0}, {"edge_voxels": 2}])
def test_bad_options_are_refused(change):
    with pytest.raises(InputError):
        scaling.run(scaling.Config(**change))
