"""A process that ends while a stream's thread is inside torch."""

import subprocess
import sys

ABANDONED = """
import threading, torch
from treeroll.samplers.stream import BatchStream

class Slow:
    begun = threading.Event()

    def sample(self, requests):
        self.begun.set()
        for _ in range(100):
            torch.ones(800, 800) @ torch.ones(800, 800)
        return requests

stream = BatchStream(Slow())
stream.submit([0], [None])
assert Slow.begun.wait(30)
"""


def test_a_stream_that_nobody_closed_is_closed_when_python_ends():
    """Otherwise torch aborts the process: its frames cannot be unwound, which is how Python ends daemon threads."""
    ended = subprocess.run([sys.executable, "-c", ABANDONED], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
