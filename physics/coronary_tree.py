r"""Coronary arteries as a tree of segments: their losses, and the beds at their ends."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.parameters import Parameter, ParameterSet

MMHG = 133.322368  # Pa
STENOSIS_TURBULENT = 1.52
"""$K_t$ of Young and Tsai (1973), J. Biomech. 6, 395."""
STENOSIS_INERTIAL = 1.2
"""$K_u$, the same."""
PROXIMAL, DISTAL, NARROWEST = 0, 1, 2

CORONARY_HYPERAEMIA = ParameterSet(
    "CoronaryHyperaemia",
    resistance_ratio=Parameter(
        0.24, "1", (0.1, 1.0), "Wilson et al. (1990), Circulation 82, 1595: total coronary resistance under 140 ug/kg/min of adenosine "
        "over that at rest; used so by Taylor, Fonte and Min (2013), J. Am. Coll. Cardiol. 61, 2233"
    ),
    rest_perfusion=Parameter(
        0.98, "mL/min/g", (0.4, 2.0), "Chareonthaitawee et al. (2001), Cardiovasc. Res. 50, 151: 0.98 +- 0.23 at rest in healthy adults"
    ),
    murray_exponent=Parameter(3.0, "1", (2.0, 3.0), "Murray (1926), Proc. Natl. Acad. Sci. 12, 207: flow by the cube of the diameter"),
    huo_kassab_exponent=Parameter(
        7 / 3, "1", (2.0, 3.0), "Huo and Kassab (2009), Biophys. J. 96, 347: flow by the power 7/3 of the stem's diameter; in patients "
        "Taylor et al. (2022), Front. Physiol. 13, 871912, found 2.15 (by flow) and 2.38 (by resistance)"
    ),
)  # fmt: skip
"""Of the beds. Values that scale with a patient are ends of bounds, not truths."""


class CoronaryTree(eqx.Module):
    r"""Segments between branchings, each a truncated cone with at most one stenosis. mm, mmHg, mL, s; blood in kg/m^3 and Pa s.

    Attributes:
        length: mm, of each segment, the stenosis included.
        diameters: mm, rows ``PROXIMAL``, ``DISTAL``, ``NARROWEST``; the last counts in stenosed segments only.
        stenosis_length: mm; 0 where there is none.
        density: kg/m^3.
        viscosity: Pa s.
        names: Of the segments.
        parents: Place of the segment upstream; -1 where that is the aorta. A parent comes before its children.
    """

    length: Float[Array, " segments"]
    diameters: Float[Array, "3 segments"]
    stenosis_length: Float[Array, " segments"]
    density: Float[Array, ""]
    viscosity: Float[Array, ""]
    names: tuple[str, ...] = eqx.field(static=True)
    parents: tuple[int, ...] = eqx.field(static=True)
    stenosed: tuple[bool, ...] = eqx.field(static=True)

    @property
    def outlets(self) -> tuple[int, ...]:
        """Segments that end in a bed."""
        return tuple(i for i in range(len(self.names)) if i not in self.parents)

    def passed(self) -> np.ndarray:
        """``(segments, segments)``: 1 where the blood at the end of the second has passed the first, the segment itself included."""
        table = np.zeros((len(self.names), len(self.names)))
        for end in range(len(self.names)):
            i = end
            while i >= 0:
                table[i, end] = 1.0
                i = self.parents[i]
        return table

    def losses(self) -> tuple[Float[Array, " segments"], Float[Array, " segments"]]:
        r"""$R$ (mmHg s/mL) and $S$ (mmHg s^2/mL^2) of $\Delta P = RQ + S|Q|Q$ in every segment.

        Poiseuille in a cone, $R = \frac{128\mu}{\pi}\ell\,\frac{D_1^2+D_1D_2+D_2^2}{3D_1^3D_2^3}$, over the length that is not stenosed; in
        the stenosis Young and Tsai (1973), with the constants as in Liang et al. (2009), Med. Biol. Eng. Comput. 47, 743:

        $$R_s = \frac{K_v\mu}{A_0D_0},\quad K_v = 32\,\frac{0.83\,\ell_s+1.64\,D_s}{D_0}\Bigl(\frac{A_0}{A_s}\Bigr)^2,\qquad
        S = \frac{K_t\rho}{2A_0^2}\Bigl(\frac{A_0}{A_s}-1\Bigr)^2.$$

        $D_0$ is the mean of the segment's two diameters. Steady flow in straight pipes, Reynolds numbers of 100 to
        1000; no loss at branchings.
        """
        first, last, narrow = self.diameters
        cone = (first**2 + first * last + last**2) / (3 * first**3 * last**3)
        poiseuille = 128 * self.viscosity / jnp.pi * (self.length - self.stenosis_length) * cone * (1e3 / MMHG)
        whole = 0.5 * (first + last)
        ratio = (whole / narrow) ** 2
        area = jnp.pi / 4 * whole**2
        viscous = 32 * (0.83 * self.stenosis_length + 1.64 * narrow) / whole * ratio**2
        inside = viscous * self.viscosity / (area * whole) * (1e3 / MMHG)
        jet = STENOSIS_TURBULENT * self.density / (2 * area**2) * (ratio - 1) ** 2 / MMHG
        has = jnp.asarray(self.stenosed)
        return poiseuille + jnp.where(has, inside, 0.0), jnp.where(has, jet, 0.0)

    def inertance(self) -> Float[Array, " segments"]:
        r"""mmHg s^2/mL: $\rho\ell/A$ of the mean diameter, $K_u\rho\ell_s/A_0$ in a stenosis."""
        area = jnp.pi / 4 * (0.5 * (self.diameters[PROXIMAL] + self.diameters[DISTAL])) ** 2
        effective = self.length + (STENOSIS_INERTIAL - 1) * self.stenosis_length
        return self.density * effective / area * (1e-3 / MMHG)

    def shares(self, exponent: ArrayLike) -> Float[Array, " outlets"]:
        r"""Parts of the flow by $D_i^n/\sum_j D_j^n$ of the diameters at the ends."""
        power = self.diameters[DISTAL, jnp.asarray(self.outlets)] ** jnp.asarray(exponent)
        return power / power.sum()


def bed_resistances(shares: Float[Array, " outlets"], flow: ArrayLike, drop: ArrayLike, ratio: ArrayLike) -> Float[Array, " outlets"]:
    r"""mmHg s/mL: $R_i = r\,(P_a-P_v)/(s_iQ)$, what lets the shares of the resting flow $Q$ (mL/s) pass, lowered to $r$ by hyperaemia.

    The arteries' own resistance at rest is left out, which a healthy tree's few per cent allow.
    """
    return jnp.asarray(ratio) * jnp.asarray(drop) / (shares * jnp.asarray(flow))


def coronary_tree(
    names: Sequence[str],
    parents: Sequence[str | None],
    length: Sequence[float],
    proximal: Sequence[float],
    distal: Sequence[float],
    stenosis_diameter: Sequence[float | None],
    stenosis_length: Sequence[float | None],
    density: float = 1060.0,
    viscosity: float = 0.004,
) -> CoronaryTree:
    """A tree from lists of one entry per segment, in any order.

    Args:
        names: Unique.
        parents: Name of the segment upstream; None for what leaves the aorta.
        length: mm.
        proximal: mm, diameter at its start.
        distal: mm, at its end.
        stenosis_diameter: mm, the narrowest; None where there is none.
        stenosis_length: mm, part of the length; None where there is none.
        density: kg/m^3.
        viscosity: Pa s.

    Raises:
        ValueError: A name twice, a parent that is no segment, a loop, no segment at the aorta, a length or diameter that is not above 0, a
            stenosis that is longer than its segment or not narrower.
    """
    where = {name: i for i, name in enumerate(names)}
    if len(where) != len(names) or not names:
        twice = next((name for i, name in enumerate(names) if where[name] != i), None)
        raise ValueError(f"got {'no segments' if twice is None else f'two segments {twice!r}'}; expected names once each; do: rename one")
    for name, parent in zip(names, parents, strict=True):
        if parent is not None and parent not in where:
            raise ValueError(
                f"got parent {parent!r} of {name!r}; expected a segment or nothing; do: use one of {', '.join(list(where)[:12])}"
            )
    order: list[int] = []
    waiting = list(range(len(names)))
    while waiting:
        ready = [i for i in waiting if parents[i] is None or where[str(parents[i])] in order]
        if not ready:
            raise ValueError(f"got {names[waiting[0]]!r} in a loop of parents; expected a way to the aorta; do: correct its parent")
        order += ready
        waiting = [i for i in waiting if i not in ready]
    narrow, along = [], []
    for i in order:
        numbers = {"length": length[i], "proximal diameter": proximal[i], "distal diameter": distal[i]}
        stenosis = (stenosis_diameter[i], stenosis_length[i])
        if (stenosis[0] is None) != (stenosis[1] is None):
            raise ValueError(f"got half a stenosis of {names[i]!r}; expected its diameter and its length; do: give both or none")
        if stenosis[0] is not None and stenosis[1] is not None:
            numbers |= {"stenosis diameter": stenosis[0], "stenosis length": stenosis[1]}
        for what, value in numbers.items():
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"got {what} {value:g} mm of {names[i]!r}; expected above 0; do: correct it")
        whole = 0.5 * (proximal[i] + distal[i])
        if stenosis[0] is not None and stenosis[0] >= whole:
            raise ValueError(f"got a stenosis of {stenosis[0]:g} mm in {names[i]!r} of {whole:g} mm; expected less; do: leave it empty")
        if stenosis[1] is not None and stenosis[1] > length[i]:
            raise ValueError(
                f"got a stenosis of {stenosis[1]:g} mm length in {names[i]!r} of {length[i]:g} mm; expected less; do: shorten it"
            )
        narrow.append(whole if stenosis[0] is None else stenosis[0])
        along.append(0.0 if stenosis[1] is None else stenosis[1])

    def row(values: Sequence[float]) -> Array:
        return jnp.asarray([values[i] for i in order], float)

    place = {i: k for k, i in enumerate(order)}
    return CoronaryTree(
        row(length), jnp.stack([row(proximal), row(distal), jnp.asarray(narrow, float)]), jnp.asarray(along, float),
        jnp.asarray(density, float), jnp.asarray(viscosity, float), tuple(names[i] for i in order),
        tuple(-1 if parents[i] is None else place[where[str(parents[i])]] for i in order),
        tuple(stenosis_diameter[i] is not None for i in order),
    )  # fmt: skip
