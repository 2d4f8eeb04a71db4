"""A twin that is killed between any two writes, or inside one, loses nothing that it acknowledged."""

import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
KILLS = 50


class Server:
    """Children one after the other, each from a fork of one process that has imported everything."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("stream_child.py"))]
        environment = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def child(self, folder, first, step=0, half=0):
        """What one child acknowledged, what it said at its end, and the signal that ended it."""
        self.process.stdin.write(f"{folder} {first} {step} {half}\n")
        self.process.stdin.flush()
        acknowledged, said = [], {}
        for line in self.process.stdout:
            head, *rest = line.split()
            if head == "ended":
                return acknowledged, said, int(rest[0])
            if head.isdigit():
                acknowledged.append((int(head), rest[0]))
            else:
                said[head] = rest
        raise AssertionError(f"the server ended with {self.process.wait()}")

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


def test_fifty_kills_lose_nothing_that_was_acknowledged(tmp_path):
    server = Server()
    try:
        _, whole, signal = server.child(tmp_path / "whole", 0)
        assert signal == 0
        assert len(whole["known"]) == 40
        rng = np.random.default_rng(11)
        kills, story, outcomes = 0, 0, set()
        while kills < KILLS:
            story += 1
            folder, first = tmp_path / f"story-{story}", 0
            while True:
                step = int(rng.integers(1, 15)) if kills < KILLS else 0
                acknowledged, said, signal = server.child(folder, first, step, int(rng.integers(2)))
                # The sender goes on after the last reading that was acknowledged; what was lost in between it sends again.
                first = acknowledged[-1][0] + 1 if acknowledged else first
                outcomes |= {outcome for _, outcome in acknowledged}
                if signal == 0:
                    break
                assert signal == 9
                kills += 1
            assert sorted(said["known"]) == sorted(whole["known"])
            assert said["state"] == whole["state"]
    finally:
        server.close()
    assert kills >= KILLS
    assert outcomes == {"ACCEPTED", "REORDERED", "DUPLICATE"}
