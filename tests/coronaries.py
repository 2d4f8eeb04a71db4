"""Coronary trees that several tests share."""

import jax.numpy as jnp

from physics.coronary_tree import coronary_tree
from twinsim.coronary_file import healthy_tree
from twinsim.coronary_reserve import HyperaemicBeds

AORTA, VEIN = 95.0, 6.0


def single(narrow=1.5):
    """One segment with a stenosis."""
    return coronary_tree(["artery"], [None], [40.0], [3.2], [2.8], [narrow], [10.0])


def diseased():
    return healthy_tree({"lad_proximal": (1.6, 12.0), "posterior_descending": (1.0, 8.0)})


def small():
    """Two ostia, one branching, one stenosis."""
    names, parents = ["left", "branch", "end", "right"], [None, "left", "left", None]
    narrow, along = [1.6, None, None, None], [12.0, None, None, None]
    return coronary_tree(names, parents, [30.0, 40.0, 60.0, 50.0], [3.9, 2.2, 3.0, 3.6], [3.5, 1.6, 2.1, 2.6], narrow, along)


def hyperaemia(flow=2.6, exponent=7 / 3):
    return HyperaemicBeds(*(jnp.asarray(part) for part in (flow, AORTA, VEIN, 0.24, exponent)))
