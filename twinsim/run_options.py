"""Options that every experiment has; light, so that help answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class RunOptions:
    """Where the results go."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the results; default runs/<name>-<time>."""

    json: Annotated[str | None, tyro.conf.arg(metavar="FILE|-")] = None
    """Also write the summary as JSON to this file; `-` prints it, and nothing else, on standard output."""

    resume: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of an interrupted run to go on with; its options are taken over."""
