"""Acceleration of a fixed-point iteration that converges slowly."""

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " coordinates"]
LONGEST = 1.0  # of what is added to a plain step, per coordinate
ALIKE = 1e-8  # steps that differ by less, relatively, count as the same


class Anderson:
    r"""Anderson's mixing of the last steps of $x \leftarrow g(x)$.

    With $f_k = g(x_k)-x_k$ and the differences $\Delta F, \Delta X$ of the last `memory` steps, $\gamma = \arg\min|f_k-\Delta F\gamma|$ and
    $x_{k+1} = g(x_k) - (\Delta X+\Delta F)\gamma$: the secant method of several dimensions, which for a linear map is GMRES. Where $g$
    forgets an error by one per cent per step (expectation-maximisation with much missing information), tens of steps do for thousands.

    It is not monotone: whoever calls it compares the objective, takes the plain step where it fell, and calls :meth:`restart`.
    Source: Walker and Ni (2011), *SIAM J Numer Anal* 49, 1715; for expectation-maximisation Henderson and Varadhan (2019), *J Comput
    Graph Stat* 28, 834.

    Args:
        memory: Differences kept; five or so, fewer than the dimensions that are slow do little.
    """

    def __init__(self, memory: int = 6) -> None:
        self.memory = memory
        self.restart()

    def restart(self) -> None:
        """Forgets the past."""
        self._points: list[Vector] = []
        self._steps: list[Vector] = []

    def propose(self, point: Vector, image: Vector) -> Vector:
        """The next point, from a point and what the iteration makes of it."""
        self._points = [*self._points[-self.memory :], point]
        self._steps = [*self._steps[-self.memory :], image - point]
        if len(self._points) < 2:
            return image
        moved, changed = np.diff(self._points, axis=0).T, np.diff(self._steps, axis=0).T
        mixed = -(moved + changed) @ np.linalg.lstsq(changed, self._steps[-1], rcond=ALIKE)[0]
        return image + mixed * min(1.0, LONGEST / max(float(np.abs(mixed).max()), 1e-300))
