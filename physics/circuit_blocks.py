r"""Blocks of a circulation circuit: what each kind needs, stores, and which equations it adds.

Every terminal carries a pressure $P$ and a flow $Q$; flows enter a block at its inlets and leave it at its outlets. Equations are
elementwise, so that any number of blocks of a kind, and any batch, go through them at once. Any consistent units do: the parameter
sets of this package use mmHg, mL and s.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array

type Values = Sequence[Array]
type Equations = Callable[[Values, Values, Values, Values], list[Array]]
type Stored = Callable[[Values, Values], Array | float]


@dataclass(frozen=True)
class BlockKind:
    """One kind of block.

    Attributes:
        name: As written in a netlist.
        inlets: How many terminals flow enters by; 0 for a source.
        outlets: How many it leaves by; 0 for an end.
        parameters: Names; all must be 0 or above unless they are in ``signed``.
        equations: ``equations(parameters, unknowns, rates, inputs)``: as many residuals as terminals and internal unknowns. Unknowns are
            (pressure, flow) per terminal, inlets first, then the internal ones; inputs are values at the time.
        stored: ``stored(parameters, unknowns)``: the volume in the block, beyond what it holds without pressure.
        internal: Names of internal unknowns.
        inputs: Names of what is given over time.
        positive: Parameters that must be above 0.
        signed: Parameters of any sign.
        optional: Parameters that are 0 if not given.
    """

    name: str
    inlets: int
    outlets: int
    parameters: tuple[str, ...]
    equations: Equations
    stored: Stored = lambda p, u: 0.0
    internal: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def terminals(self) -> int:
        """How many terminals."""
        return self.inlets + self.outlets

    @property
    def unknowns(self) -> int:
        """Local unknowns: two per terminal and the internal ones."""
        return 2 * self.terminals + len(self.internal)


def _loss(resistance: Array, stenosis: Array, flow: Array) -> Array:
    """Poiseuille's loss and that of the jet behind a stenosis."""
    return (resistance + stenosis * jnp.abs(flow)) * flow


def _vessel(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    resistance, compliance, inertance, stenosis = p
    pressure, flow, after, out = u
    # The rate of the pressure at the compliance, behind the resistance.
    inner = r[0] - (resistance + 2 * stenosis * jnp.abs(flow)) * r[1]
    return [pressure - after - _loss(resistance, stenosis, flow) - inertance * r[3], flow - out - compliance * inner]


def _vessel_inlet_compliance(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    resistance, compliance, inertance, stenosis = p
    pressure, flow, after, out = u
    return [pressure - after - _loss(resistance, stenosis, out) - inertance * r[3], flow - out - compliance * r[0]]


def _chamber(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    passive, active, diastolic, systolic, inertance = p[:5]
    pressure, flow, after, out, volume = u
    (activation,) = s
    rest = systolic + (1 - activation) * (diastolic - systolic)
    return [
        pressure - (passive + active * activation) * (volume - rest),
        pressure - after - inertance * r[3],
        flow - out - r[4],
    ]


def _valve(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    opened, closed, steepness, inertance, kinetic = p
    pressure, flow, after, out = u
    shut = 0.5 * (1 + jnp.tanh(steepness * (after - pressure)))
    loss = (opened + (closed - opened) * shut + kinetic * jnp.abs(flow)) * flow
    return [pressure - after - loss - inertance * r[3], flow - out]


def _valve_switch(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    opened, closed = p
    pressure, flow, after, out = u
    return [pressure - after - jnp.where(pressure < after, closed, opened) * flow, flow - out]


def _valve_orifice(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    largest, least, density, length, opening, closing = p
    pressure, flow, after, out, state = u
    drop = pressure - after
    area = least + (largest - least) * jnp.clip(state, 0.0, 1.0)
    bernoulli = 0.5 * density / area**2 * jnp.abs(flow) * flow
    moving = opening * (1 - state) * jnp.maximum(drop, 0.0) + closing * state * jnp.minimum(drop, 0.0)
    return [drop - bernoulli - density * length / area * r[1], flow - out, r[4] - moving]


def _resistance(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    return [u[0] - s[0] - p[0] * u[1]]


def _windkessel(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    proximal, compliance, distal = p
    pressure, flow, inner = u
    return [distal * flow - inner + s[0] - distal * compliance * r[2], pressure - inner - proximal * flow]


def _coronary(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    arterial, micro, venous, compliance, inner_compliance = p
    pressure, flow, volume = u
    around, vein = s
    inner = around + volume / inner_compliance
    drained = (inner - vein) / venous
    return [
        flow - compliance * (r[0] - arterial * r[1]) - r[2] - drained,
        pressure - arterial * flow - inner - micro * (r[2] + drained),
    ]


def _coronary_bed(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    arterial, micro, venous, compliance, inner_compliance, share = p
    pressure, flow, squeezing, sensed, after, out, volume = u
    inner = share * squeezing + volume / inner_compliance
    return [
        flow - compliance * (r[0] - arterial * r[1]) - r[6] - out,
        pressure - arterial * flow - inner - micro * (r[6] + out),
        inner - after - venous * out,
        sensed,
    ]


def _pressure_source(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    return [u[0] - s[0]]


def _flow_source(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    return [u[1] - s[0]]


def _artery_end(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    area, stiffness, external, speed, density, dynamic = p
    pressure, flow, _, root = u
    towards = s[0] - 4 * speed * root  # velocity in the artery towards its end
    inside = external + stiffness * (root * root - 1) + 0.5 * dynamic * density * towards * towards
    return [pressure - inside, flow + area * root**4 * towards, flow - r[2]]


def _artery_start(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
    pressure, flow, crossed, root = u
    level, balance, _ = _artery_end(p, [pressure, -flow, crossed, root], r, s)
    return [level, balance, flow - r[2]]


def junction(inlets: int, outlets: int) -> BlockKind:
    """One pressure for all terminals, flows that add up to zero."""

    def equations(p: Values, u: Values, r: Values, s: Values) -> list[Array]:
        total = sum(u[2 * i + 1] for i in range(inlets)) - sum(u[2 * i + 1] for i in range(inlets, inlets + outlets))
        return [*(u[0] - u[2 * i] for i in range(1, inlets + outlets)), jnp.asarray(total)]

    return BlockKind(f"junction_{inlets}_{outlets}", inlets, outlets, (), equations)


VESSEL = ("resistance", "compliance", "inertance", "stenosis")
CORONARY = ("arterial_resistance", "micro_resistance", "venous_resistance", "arterial_compliance", "intramyocardial_compliance")
ARTERY_END = ("reference_area", "stiffness", "external_pressure", "wave_speed", "density", "dynamic")
ACTIVATION = ("contraction_start", "contraction_time", "relaxation_time")

KINDS: dict[str, BlockKind] = {
    kind.name: kind
    for kind in (
        BlockKind(
            "vessel", 1, 1, VESSEL, _vessel,
            stored=lambda p, u: p[1] * (u[0] - _loss(p[0], p[3], u[1])), optional=VESSEL,
        ),
        BlockKind(
            "vessel_inlet_compliance", 1, 1, VESSEL, _vessel_inlet_compliance,
            stored=lambda p, u: p[1] * u[0], optional=VESSEL,
        ),
        BlockKind(
            "chamber", 1, 1,
            ("passive_elastance", "active_elastance", "diastolic_rest_volume", "systolic_rest_volume", "inertance", *ACTIVATION),
            _chamber, stored=lambda p, u: u[4], internal=("volume",), inputs=("activation",), optional=("inertance",),
            signed=("diastolic_rest_volume", "systolic_rest_volume", "contraction_start"),
            positive=("contraction_time", "relaxation_time"),
        ),
        BlockKind(
            "valve", 1, 1, ("open_resistance", "closed_resistance", "steepness", "inertance", "kinetic_loss"), _valve,
            optional=("inertance", "kinetic_loss"), positive=("closed_resistance", "steepness"),
        ),
        BlockKind("valve_switch", 1, 1, ("open_resistance", "closed_resistance"), _valve_switch, positive=("closed_resistance",)),
        BlockKind(
            "valve_orifice", 1, 1, ("open_area", "closed_area", "density", "length", "opening_rate", "closing_rate"), _valve_orifice,
            internal=("opening",), positive=("open_area", "closed_area", "density", "length"),
        ),
        BlockKind("resistance", 1, 0, ("resistance",), _resistance, inputs=("distal_pressure",)),
        BlockKind(
            "windkessel", 1, 0, ("proximal_resistance", "compliance", "distal_resistance"), _windkessel,
            stored=lambda p, u: p[1] * u[2], internal=("inner_pressure",), inputs=("distal_pressure",), positive=("distal_resistance",),
        ),
        BlockKind(
            "coronary", 1, 0,
            CORONARY,
            _coronary, stored=lambda p, u: p[3] * (u[0] - p[0] * u[1]) + u[2], internal=("intramyocardial_volume",),
            inputs=("intramyocardial_pressure", "venous_pressure"), positive=("venous_resistance", "intramyocardial_compliance"),
        ),
        BlockKind(
            "coronary_bed", 2, 1, (*CORONARY, "muscle_share"),
            _coronary_bed, stored=lambda p, u: p[3] * (u[0] - p[0] * u[1]) + u[6], internal=("intramyocardial_volume",),
            positive=("intramyocardial_compliance",),
        ),
        BlockKind(
            "to_artery", 1, 0, ARTERY_END, _artery_end, internal=("crossed_volume", "root"), inputs=("outgoing",),
            positive=ARTERY_END[:2], signed=("external_pressure",), optional=("dynamic",),
        ),
        BlockKind(
            "from_artery", 0, 1, ARTERY_END, _artery_start, internal=("crossed_volume", "root"), inputs=("outgoing",),
            positive=ARTERY_END[:2], signed=("external_pressure",), optional=("dynamic",),
        ),
        BlockKind("pressure_source", 0, 1, (), _pressure_source, inputs=("pressure",)),
        BlockKind("flow_source", 0, 1, (), _flow_source, inputs=("flow",)),
    )
}  # fmt: skip
"""By name. The equations, one line each:

``vessel``
    $P - P' = (R + S|Q|)Q + L\\dot Q'$ and $Q - Q' = C\\,\\frac{d}{dt}[P - (R + S|Q|)Q]$: resistance, stenosis, compliance, inertance in
    this order. A resistor, an inertance or a compliance alone is a vessel with the others zero.
``vessel_inlet_compliance``
    The compliance first: $Q - Q' = C\\dot P$, $P - P' = (R + S|Q'|)Q' + L\\dot Q'$.
``chamber``
    $P = (E_p + E_a\\varphi(t))(V - V_0)$, $V_0 = V_s + (1-\\varphi)(V_d - V_s)$, $\\dot V = Q - Q'$, $P - P' = L\\dot Q'$; $\\varphi$ rises
    as half a cosine over the contraction time and falls as another over the relaxation time (:func:`cosine_activation`).
``valve``
    $P - P' = [R_o + (R_c - R_o)\\tfrac12(1+\\tanh k(P'-P)) + B|Q|]\\,Q + L\\dot Q$: a smooth diode, with inertia where $L > 0$.
``valve_switch``
    The same with a step in place of the tangent, massless: where its pressure difference changes sign it has no derivative.
``valve_orifice``
    A leaflet that takes time: $P - P' = \\tfrac{\\rho}{2A^2}|Q|Q + \\tfrac{\\rho\\ell}{A}\\dot Q$, $A = A_c + (A_o - A_c)\\zeta$,
    $\\dot\\zeta = k_o(1-\\zeta)\\Delta P$ for $\\Delta P > 0$, $k_c\\zeta\\,\\Delta P$ else.
``resistance``, ``windkessel``, ``coronary``
    Ends: $P - P_d = RQ$; proximal resistance, compliance, distal resistance; and the same twice, the second compliance standing on the
    pressure of the heart muscle.
``coronary_bed``
    The same between an artery and a vein, in a loop: its second inlet is joined to a ventricle, takes no blood from it, and the muscle's
    pressure is a share of the pressure there.
``to_artery``, ``from_artery``
    The end of a 1-D artery, from which the invariant $W$ comes (:mod:`physics.coupled_arteries`): $Q + A_0a^4(W - 4c_0a) = 0$ and
    $P = p_{ext} + \\beta(a^2-1) + \\tfrac\\theta2\\rho(W-4c_0a)^2$, the flow $Q$ into the artery, or out of it.

Sources: Young and Tsai (1973), J. Biomech. 6, 395 ($S = K_t\\frac{\\rho}{2A_0^2}(A_0/A_s-1)^2$); Vignon and Taylor (2004), Wave Motion 39,
361; Kim et al. (2010), Ann. Biomed. Eng. 38, 3195 (coronary); Mynard et al. (2012), Int. J. Numer. Meth. Biomed. Engng. 28, 626
(orifice); Pfaller et al. (2019), Biomech. Model. Mechanobiol. 18, 503 (tangent valve); Regazzoni et al. (2022), J. Comput. Phys. 457,
111083 (chamber, activation).
"""


def cosine_activation(time: Array, period: Array, start: Array, rise: Array, fall: Array) -> Array:
    r"""$\tfrac12(1-\cos\pi x/T_c)$ for $x = (t - t_c)\bmod T < T_c$, then $\tfrac12(1+\cos\pi(x-T_c)/T_r)$ until $T_c+T_r$, else zero."""
    since = jnp.mod(time - start, period)
    falling = since >= rise
    phase = jnp.where(falling, 1 + jnp.minimum((since - rise) / fall, 1.0), since / rise)
    return 0.5 * (1 - jnp.cos(jnp.pi * phase))
