"""BioFVM's implicit line solver, compiled from a folder of its sources (those of PhysiCell 1.14 have it in ``BioFVM``)."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from _peer import answer


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Seconds of the duration after a run that does not count, and the error against the exact solution."""
    source, compiler = Path(options["source"]).expanduser(), shutil.which("g++")
    if compiler is None or not (source / "BioFVM.h").is_file():
        raise RuntimeError(f"got the folder {source} and the compiler {compiler}; expected BioFVM.h in it, and g++")
    steps = round(options["duration_min"] / options["peer_step_min"])
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "biofvm"
        driver = Path(__file__).with_suffix(".cpp")
        units = [str(path) for path in sorted(source.glob("*.cpp"))]
        flags = ["-O3", "-march=native", "-fopenmp", "-std=c++11", "-w"]
        subprocess.run([compiler, *flags, "-I", str(source), str(driver), *units, "-o", str(program)], check=True)
        numbers = ["edge_voxels", "substrates", "spacing_um", "diffusivity_um2_per_min", "decay_per_min", "peer_step_min", "threads"]
        edge, substrates, *rest = (str(options[name]) for name in numbers)
        arguments = [edge, substrates, str(steps), str(options["repeats"]), *rest]
        done = subprocess.run([str(program), *arguments], check=True, capture_output=True, text=True, cwd=folder)
    seconds, error = next(line for line in done.stdout.splitlines() if line.startswith("RESULT")).split()[1:]
    return {"seconds": float(seconds), "error_relative": float(error), "steps": steps}


if __name__ == "__main__":
    answer(run)
