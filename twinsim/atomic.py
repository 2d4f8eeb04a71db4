"""Write a file completely or not at all."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twinsim.errors import InputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; on success it becomes ``path`` in one step.

    The data are on the disk before the rename, so whoever reads ``path`` sees either the previous file or the
    whole new one. On any exception, Ctrl-C included, the temporary file is removed and a previous ``path`` is
    left as it was. The temporary name keeps the ending of ``path`` because writers choose the format by it.
    Missing parent folders are made; a symbolic link is followed.

    Raises:
        InputError: The disk is full, or the place cannot be written to.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(4)}-{target.name[-60:]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        yield temporary
        _flush(temporary)
        os.replace(temporary, target)
    except (OSError, RuntimeError) as error:
        refusal = _refusal(error, Path(path), {str(target), str(temporary), str(target.parent)})
        if refusal is None:
            raise
        raise refusal from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _flush_folder(target.parent)


def _refusal(error: OSError | RuntimeError, path: Path, ours: set[str]) -> InputError | None:
    """The one line for a cause that the user can remove; None for any other exception."""
    code = getattr(error, "errno", None)
    # HDF5 reports a full disk only in the text, and sometimes as a RuntimeError while it closes the file.
    if code in _FULL or os.strerror(errno.ENOSPC) in str(error):
        cause = os.strerror(code if code in _FULL else errno.ENOSPC)
        return InputError(
            got=f"{cause!r} while writing {path}",
            expected="enough free space and quota for the result",
            do="free some space or write to another disk (nothing half-written was left behind)",
        )
    name = getattr(error, "filename", None)
    if code in _REFUSED and (name is None or str(name) in ours or code == errno.ENOTDIR):
        return InputError(
            got=f"{os.strerror(code)!r} for {path}",
            expected="a file name in a folder that can be written to",
            do="choose another place, or change its permissions",
        )
    return None


def _flush(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets a folder be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
