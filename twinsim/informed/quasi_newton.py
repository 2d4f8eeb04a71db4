"""Self-scaled quasi-Newton methods with a dense inverse curvature, with the whole loop in one program."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from twinsim.informed.levenberg_marquardt import Descent
from twinsim.informed.rows import Parameters

Update = Literal["bfgs", "broyden"]
TRIALS = 20  # of a line search


def quasi_newton(
    value: Callable[[Parameters], Float[Array, ""]],
    start: Parameters,
    iterations: int,
    inverse: Float[Array, "parameters parameters"] | None = None,
    update: Update = "broyden",
) -> Descent:
    r"""Minimise a smooth function by $p=-Hg$, a step of strong Wolfe conditions, and a self-scaled update of $H$.

    With $s=\theta^+-\theta$, $y=g^+-g$, $b=s^TH^{-1}s/y^Ts$, $h=y^THy/y^Ts$, $a=hb-1$ and
    $v=\sqrt{y^THy}\,(s/y^Ts-Hy/y^THy)$ the new matrix is

    $$H^+=\tfrac1\tau\left(H-\frac{Hyy^TH}{y^THy}+\varphi\,vv^T\right)+\frac{ss^T}{y^Ts}.$$

    ``bfgs`` has $\varphi=1$, $\tau=\min(1,1/b)$. ``broyden`` has $\varrho=\min(1,h(1-\sqrt{a/(1+a)}))$,
    $\vartheta^-=(\varrho-1)/a$, $\vartheta^+=1/\varrho$, $\vartheta=\max(\vartheta^-,\min(\vartheta^+,(1-b)/b))$, $\sigma=1+a\vartheta$,
    then $\varphi=(1-\vartheta)/\sigma$ and $\tau=\min(1,1/b)\,\min(\sigma^{-1/(n-1)},1/\vartheta)$ for $\vartheta>0$, else
    $\tau=\min(\min(1,1/b)\,\sigma^{-1/(n-1)},\sigma)$.

    Args:
        value: The function.
        start: First parameters.
        iterations: How many, of one line search each.
        inverse: $H$ to go on with (``Descent.memory``); None begins with the identity over the norm of the gradient.
        update: Which.

    A step whose end is not finite or not lower is not taken, and $H$ begins anew. Memory: some $p^2$ numbers, time $O(p^2)$ beside
    the evaluations. Fails: more than some thousand parameters; noisy functions. Sources: Al-Baali (1998), Comput. Optim. Appl. 9:191;
    Al-Baali and Khalfan (2005), Optimization 54:511; for informed networks Urbán, Stefanou and Pons (2025), J. Comput. Phys. 523:113656.
    The line search is Optax's (Nocedal and Wright 2006, algorithms 3.5 and 3.6).
    """
    search = optax.scale_by_zoom_linesearch(TRIALS, initial_guess_strategy="one")
    slope = jax.value_and_grad(value)

    def fresh(gradient: Array) -> Array:
        return jnp.eye(start.size, dtype=start.dtype) / jnp.maximum(jnp.linalg.norm(gradient), 1e-30)

    def iterate(carry: tuple[Array, ...], _: None) -> tuple[tuple[Array, ...], Array]:
        theta, now, gradient, matrix, accepted = carry
        direction = -matrix @ gradient
        direction = jnp.where(direction @ gradient < 0, direction, -gradient)
        step, after = search.update(direction, search.init(theta), theta, value=now, grad=gradient, value_fn=value)
        new = (theta + step, *slope(theta + step))
        better = jnp.isfinite(new[1]) & jnp.isfinite(new[2]).all() & (new[1] < now)
        change, turn = step, new[2] - gradient
        matrix = jnp.where(better, _updated(matrix, change, turn, after.learning_rate * gradient, update), fresh(gradient))
        theta, now, gradient = (jnp.where(better, a, b) for a, b in zip(new, (theta, now, gradient), strict=True))
        return (theta, now, gradient, matrix, accepted + better), now

    first = slope(start)
    matrix = fresh(first[1]) if inverse is None else inverse
    (theta, now, _, matrix, accepted), values = jax.lax.scan(iterate, (start, *first, matrix, jnp.asarray(0)), None, iterations)
    return Descent(theta, now, values, matrix, accepted, jnp.isfinite(first[0]) & jnp.isfinite(first[1]).all())


def _updated(matrix: Array, s: Array, y: Array, minus_curved: Array, update: Update) -> Array:
    """The new inverse curvature; ``minus_curved`` is $-H^{-1}s$, which a step along $-Hg$ gives for nothing."""
    tiny = jnp.finfo(s.dtype).tiny
    along = s @ y
    hy = matrix @ y
    yhy = y @ hy
    b, h = -(s @ minus_curved) / along, yhy / along
    a = jnp.maximum(h * b - 1, 1e-12)
    v = jnp.sqrt(jnp.maximum(yhy, 0.0)) * (s / along - hy / jnp.maximum(yhy, tiny))
    tau = jnp.minimum(1.0, 1 / b)
    phi = jnp.ones_like(tau)
    if update == "broyden":
        rho = jnp.minimum(1.0, h * (1 - jnp.sqrt(a / (1 + a))))
        theta = jnp.maximum((rho - 1) / a, jnp.minimum(1 / rho, (1 - b) / b))
        sigma = 1 + a * theta
        root = sigma ** (-1 / max(s.size - 1, 1))
        positive = jnp.where(theta > 0, theta, 1.0)
        tau = jnp.where(theta > 0, tau * jnp.minimum(root, 1 / positive), jnp.minimum(tau * root, sigma))
        phi = (1 - theta) / sigma
    new = (matrix - jnp.outer(hy / yhy, hy) + phi * jnp.outer(v, v)) / tau + jnp.outer(s / along, s)
    good = (along > 0) & (yhy > 0) & jnp.isfinite(new).all()
    return jnp.where(good, 0.5 * (new + new.T), matrix)
