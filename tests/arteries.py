"""Small networks of arteries that several proofs share."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from physics import ArteryNetwork

PERIOD = 0.2
DENSITY, VISCOSITY = 1060.0, 4e-3
MATCHED_END = {"outlet": "reflection", "reflection": 0.0}


def artery(
    vessels: Sequence[dict],
    flow=lambda time: 1e-9 * np.exp(-(((time - 0.02) / 0.005) ** 2)),
    viscosity: float = 0.0,
    period: float = PERIOD,
    **options,
) -> ArteryNetwork:
    """Vessels as dictionaries with ends, ``cells``, and what differs from a common carotid artery; inviscid unless asked."""
    common = {
        "length": 0.5, "youngs_modulus": 7e5, "radius_start": 3e-3, "thickness": 3e-4, "external_pressure": 0.0, "profile": 2.0,
        "proximal": 0.0, "distal": 0.0, "compliance": 0.0, "downstream": 0.0, "reflection": 0.0,
        "initial_velocity": 0.0, "initial_pressure": 0.0,
    }  # fmt: skip
    rows = [{**common, **vessel} for vessel in vessels]
    for row in rows:
        row.setdefault("radius_end", row["radius_start"])
    times = np.linspace(0.0, period, 801)
    columns = {name: jnp.array([row[name] for row in rows]) for name in (*common, "radius_end")}
    return ArteryNetwork(
        labels=tuple(f"v{place}" for place in range(len(rows))),
        cells=tuple(row["cells"] for row in rows),
        source=tuple(row["ends"][0] for row in rows),
        target=tuple(row["ends"][1] for row in rows),
        outlet=tuple(row.get("outlet", "") for row in rows),
        inlet_times=jnp.asarray(times),
        inlet_flow=jnp.asarray(np.asarray(flow(times))[None]),
        inlet_nodes=(1,),
        density=jnp.asarray(DENSITY),
        viscosity=jnp.asarray(viscosity),
        thickness_given=(True,) * len(rows),
        correction=jnp.array([row["correction"] for row in rows]) if "correction" in rows[0] else None,
        **columns,
        **options,
    )


def bifurcation(cells: int = 40, daughter_radius: float = 2e-3, **options) -> ArteryNetwork:
    """A parent and two daughters that absorb what arrives at their ends."""
    daughter = {"radius_start": daughter_radius, "thickness": 2.5e-4, "cells": cells, **MATCHED_END}
    return artery([{"ends": (1, 2), "cells": cells}, {"ends": (2, 3), **daughter}, {"ends": (2, 4), **daughter}], **options)


def tree(cells: int = 10, viscosity: float = VISCOSITY, **options) -> ArteryNetwork:
    """A tapered parent and two different daughters with windkessels, under physiological flow."""
    windkessel = {"outlet": "windkessel", "proximal": 2.5e8, "distal": 1.9e9, "compliance": 1.8e-10, "cells": cells, "length": 0.1}
    return artery(
        [
            {"ends": (1, 2), "cells": cells, "length": 0.1, "radius_end": 2.6e-3},
            {"ends": (2, 3), "radius_start": 2.2e-3, **windkessel},
            {"ends": (2, 4), "radius_start": 1.8e-3, **windkessel},
        ],
        flow=lambda time: 6e-6 * np.exp(-(((time - 0.1) / 0.03) ** 2)),
        viscosity=viscosity,
        **options,
    )
