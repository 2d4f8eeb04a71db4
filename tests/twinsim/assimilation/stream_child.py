"""A server of one twin that dies at a chosen write; run by test_kill.py, never imported by it.

Each line of standard input is ``folder first step half``: a child is forked that sends the readings from ``first`` on to the twin in
``folder``, prints each one that was acknowledged, and kills itself (SIGKILL) at its ``step``-th writing call; with ``half`` 1 a
``write`` gets only the first half of its bytes out before that. The parent never touches a device, so that it can fork. The update is
NumPy's, so that fifty processes start in seconds: journal, order and recovery are what is on trial.
"""

import os
import signal
import sys

import numpy as np

from twinsim.assimilation import Channel, EnsembleKalmanFilter, LiveTwin, Reading, Rules, live_twin
from twinsim.assimilation import journal as journal_module
from twinsim.assimilation.stream_model import Innovation


def numpy_update(*_):
    """The exact Kalman filter of a random walk that is read directly, rate and error 1."""

    def update(belief, time, values, mask, index):
        mean, variance, last = (np.asarray(part, dtype=float) for part in belief)
        variance = variance + time - last
        residual = values - mean
        gain = variance / (variance + 1)
        nothing = np.zeros(1, dtype=bool)
        said = Innovation(mean, residual, np.sqrt(variance + 1), nothing, np.zeros(()), mask)
        # The index enters as a draw would.
        return (mean + gain * residual + 1e-3 * np.sin(index), variance * (1 - gain), np.asarray(time)), said, np.asarray(True)

    return update


def readings() -> list[Reading]:
    """Forty of them; every fifth comes two places late, and every seventh twice."""
    values = np.random.default_rng(5).normal(size=40)
    found = [Reading("level", float(i), float(values[i]), "mg", f"r{i}") for i in range(40)]
    for i in range(5, 38, 5):
        found.insert(i + 2, found.pop(i))
    for i in range(33, 0, -7):
        found.insert(i + 1, found[i])
    return found


def twin(folder: str) -> LiveTwin:
    start = (np.zeros(1, np.float32), np.ones(1, np.float32), np.zeros((), np.float32))
    channels = (Channel("level", "mg", low=-50, high=50),)
    return LiveTwin(folder, None, EnsembleKalmanFilter(), start, channels, rules=Rules(lag=4))


def die_at(step: int, half: bool) -> None:
    """From now on, the ``step``-th of all writes, flushes, renames and removals ends this process."""
    left = [step]

    def counted(call, torn=None):
        def wrapper(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                if torn is not None and half:
                    torn(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return wrapper

    os.fsync, os.replace, os.unlink = counted(os.fsync), counted(os.replace), counted(os.unlink)
    fsynced = journal_module.Journal._write
    journal_module.Journal._write = counted(fsynced, lambda self, data: os.write(self._file.fileno(), data[: len(data) // 2]))
    np.savez = counted(np.savez)


def child(folder: str, first: int, step: int, half: int) -> None:
    if step:
        die_at(step, bool(half))
    live_twin.compiled_update = numpy_update
    live_twin.check_belief = lambda *_: None  # asks the model, and so the device
    live = twin(folder)
    for number, reading in enumerate(readings()):
        if number >= first:
            receipt = live.assimilate(reading)
            os.write(1, f"{number} {receipt.outcome.name}\n".encode())
    names = " ".join(record["name"] for record in live.journal if record["outcome"].startswith("accepted"))
    state = b"".join(np.asarray(part).tobytes() for part in live.belief).hex()
    os.write(1, f"known {names}\nstate {state}\n".encode())


def main() -> None:
    for line in sys.stdin:
        folder, *numbers = line.split()
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)  # a child that hangs ends, and the test sees by which signal
            child(folder, *map(int, numbers))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        os.write(1, f"ended {status}\n".encode())


if __name__ == "__main__":
    main()
