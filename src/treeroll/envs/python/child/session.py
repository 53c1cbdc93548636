"""One session. It is always frozen between calls; a call runs in a fork of it, which becomes a session of its own.

    the parent receives a descriptor -> forks -> waits for the next one, unchanged
    the child says on the descriptor that it has started -> receives the code -> answers -> is such a parent itself

Nothing that it sends is trusted by who receives it: the code may rewrite all of this process.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

from .confine import CHANNEL
from .execute import Bounds, execute, namespace

REQUEST = 200_000
"""Most bytes of a request; one packet each."""
STARTED = b"started"


def serve(channel: socket.socket) -> None:
    """Forks and answers until the other end closes; never returns."""
    names = namespace()
    os.write(CHANNEL, STARTED)
    while True:
        message, descriptors, *_ = socket.recv_fds(channel, REQUEST, 1)
        if not message:
            os._exit(0)
        randomness = _randomness()
        try:
            child = os.fork()
        except OSError:
            child = -1  # not permitted: whoever asked sees the descriptor close
        if child == 0:
            os.dup2(descriptors[0], CHANNEL)
        os.close(descriptors[0])
        if child == 0:
            _restore(randomness)
            os.write(CHANNEL, STARTED)
            os.write(CHANNEL, _answer(json.loads(os.read(CHANNEL, REQUEST)), names))


def _answer(request: dict[str, Any], names: dict[str, Any]) -> bytes:
    output, written, fine = execute(request["code"], names, Bounds(**request["bounds"]))
    reply = {"call": request["call"], "output": output, "written": written, "fine": fine}
    return json.dumps(reply).encode()


def _randomness() -> Any:
    """Returns the state of `random`, which seeds itself anew in every fork: forks must go on alike."""
    random = sys.modules.get("random")
    return None if random is None else random.getstate()


def _restore(state: Any) -> None:
    if state is not None:
        sys.modules["random"].setstate(state)
