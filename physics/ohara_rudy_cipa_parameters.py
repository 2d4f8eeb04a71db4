"""Parameters and state of the human ventricular cell of the CiPA initiative (Li et al. 2017, Dutta et al. 2017)."""

from physics.ohara_rudy_parameters import POOLS, SHARED_GATES

CIPA_2017_FACTORS = {
    "late_sodium_conductance": 2.661,
    "calcium_permeability": 1.007,
    "rapid_potassium_conductance": 1.114 / 1.1,
    "slow_potassium_conductance": 1.87,
    "inward_rectifier_conductance": 1.698,
}
"""What Dutta et al. 2017 (Front Physiol 8, 616) multiply the conductances of O'Hara et al. 2011 by, as in the public code of FDA/CiPA: that
of IKr also by 1/1.1 for the new channel."""

HERG_STATES = ("IC1", "C1", "Cbound", "Obound", "IObound", "IC2", "C2", "O", "IO")
"""States of the hERG channel: closed and open, with inactivated ones beside them, and those with a drug. The last four have most links."""

HERG_LI_2017 = {
    ("C1", "C2"): (0.0264, 4.631e-5, 4.843),
    ("C2", "C1"): (4.986e-6, -0.004226, 4.23),
    ("IC2", "IO"): (0.001214, 0.008516, 4.962),
    ("IO", "IC2"): (1.854e-5, -0.04641, 3.769),
    ("IC1", "IC2"): (0.0007868, 1.535e-8, 4.942),
    ("IC2", "IC1"): (5.455e-6, -0.1688, 4.156),
    ("C2", "O"): (0.005509, 7.771e-9, 4.22),
    ("O", "C2"): (0.001416, -0.02877, 1.459),
    ("C1", "IC1"): (0.4492, 0.008595, 5.0),
    ("C2", "IC2"): (0.3181, 3.613e-8, 4.663),
    ("O", "IO"): (0.149, 0.004668, 2.412),
    ("IC1", "C1"): (0.01241, 0.1725, 5.568),
    ("IC2", "C2"): (0.3226, -0.0006575, 5.0),
    ("IO", "O"): (0.008978, -0.02215, 5.682),
}
"""Rate at 20 degrees and 0 mV (1/ms), its slope in the exponent (1/mV), its factor per ten degrees: Li et al. 2017, Circ Arrhythm
Electrophysiol 10, e004628, as in the public code of FDA/CiPA."""

CIPA_2017_NAMES = (*POOLS, *HERG_STATES, *SHARED_GATES)

CIPA_2017_START = (
    *(-88.0145, 6.46961, 6.46967, 145.501, 145.501, 7.45321e-5, 7.30454e-5, 1.37897, 1.37944, 0.00325232),
    *(0.999637, 1.80145e-8, 0.0, 0.0, 0.0, 6.83208e-5, 8.26619e-5, 0.00015551, 5.67623e-5),
    *(0.00733485, 0.698542, 0.698542, 0.698542, 0.455526, 0.698541, 0.000187813, 0.513396, 0.307923),
    *(0.00100025, 0.999555, 0.871715, 0.000509652, 0.999555, 0.905466),
    *(2.33382e-9, 1.0, 0.971897, 1.0, 1.0, 1.0, 0.0015391, 1.0, 1.0),
    *(0.130941, 0.000192517, 0.996756),
    *(1.46507e-7, 1.83132e-7),
)
"""Before a stimulus of steady pacing every 2000 ms without a drug (endocardial), as the public code of FDA/CiPA starts."""
