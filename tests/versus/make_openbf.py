"""Writes openbf_waveforms.json from waveforms of openBF v2: `python -m tests.versus.make_openbf WAVEFORMS.npz`.

The waveforms were computed by openBF v2 (commit 0376f4d) from its own `models/boileau2015` and are the content of its `test/ref_*.jls`
(Apache-2.0, INSIGNEO Institute for in silico Medicine): time in column 0, five stations per vessel in columns 1 to 5, the last beat.
Every fifth of the hundred times is kept, six digits.
"""

import json
import sys
from pathlib import Path

import numpy as np

TARGET = Path(__file__).with_name("openbf_waveforms.json")
EVERY = 5


def main(source: str) -> None:
    content: dict = {"origin": __doc__, "networks": {}}
    with np.load(source) as waveforms:
        for key in sorted(waveforms.files):
            network, vessel, quantity = key.split("/")
            if network in ("cca", "ibif") and quantity in ("P", "Q"):
                rows = [[float(f"{value:.7g}") for value in row] for row in waveforms[key][::EVERY].astype(float)]
                content["networks"].setdefault(network, {}).setdefault(vessel, {})[quantity] = rows
    TARGET.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
