"""The simulators of one episode, and the calls to them: instances of its own, results as the official executor's.

The official executor keeps its instances in module globals under the model's name and hands the policy's text to
`eval`. Here an episode owns its instances, a call is a known method with literal values, and nothing is shared: what
a simulator takes from its module's globals (long_context credit cards) is copied before the first call.
"""

from __future__ import annotations

import copy
import decimal
import inspect
import json
import math
import random
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, cast

from treeroll.envs.bfcl import package
from treeroll.envs.bfcl.calls import Call

_ONE_AT_A_TIME = threading.Lock()
_SHARING = ("MathAPI", "VehicleControlAPI")
"""Simulators that use globals while they work: mpmath's precision, and one weather report for all cars."""
MOST_DIGITS = 10_000
"""Digits that a number may have to be computed: `power(base=9, exponent=9**9**9)` would never come back."""


class Simulators:
    """The set of simulators that an episode plays on.

    Args:
      classes: their classes, in the order of the task.
      config: the scenario of each class; it is copied.
      long_context: whether the simulators pad their scenarios.
    """

    def __init__(self, classes: Sequence[str], config: Mapping[str, Any], *, long_context: bool) -> None:
        self._owners = _owners(tuple(classes))
        instances = {}
        for name in classes:
            instances[name] = package.simulator(name)()
            if name not in package.stateless():
                # A simulator takes the scenario's own lists, and adds to them.
                scenario = copy.deepcopy(config.get(name, {}))
                instances[name]._load_scenario(scenario, long_context=long_context)
        # And some of what it adds are its module's own objects: the second copy is free of them.
        self.instances: dict[str, Any] = _copied(instances)
        """Class -> instance. What the official checks compare; changed by `call` only."""

    def copy(self) -> Simulators:
        """Returns an independent copy; what the simulators share among each other stays shared in it.

        Raises:
          RecursionError: an agent has nested folders more deeply than Python can copy (over 100 levels).
        """
        new = copy.copy(self)
        new.instances = _copied(self.instances)
        return new

    def call(self, call: Call) -> str:
        """Makes a call and returns its result as the official executor words it; it raises nothing.

        One difference: inside of texts, the official executor removes spaces between a word and a bracket, and puts
        names of instances before names of functions. Texts arrive here as they were written.
        """
        owner = self._owners.get(call.name)
        if owner is None:
            return _error(f"name {call.name!r} is not defined")
        method = getattr(self.instances[owner], call.name)
        alone = _ONE_AT_A_TIME if owner in _SHARING else nullcontext()
        with alone, decimal.localcontext(), _precision(owner):
            # What a simulator raises is an answer to the agent, whatever it is: so says the benchmark.
            try:
                _check_size(method, call)
                return _readable(_worded(method(*call.args, **call.kwargs)))
            except Exception as error:
                return _readable(_error(str(error)))


def _precision(owner: str) -> AbstractContextManager[Any]:
    """Returns a context that puts mpmath's precision back afterwards: a call sets it for the whole process."""
    if owner != "MathAPI":
        return nullcontext()
    mpmath = package.mpmath()
    return cast("AbstractContextManager[Any]", mpmath.workdps(mpmath.mp.dps))


def _copied(instances: dict[str, Any]) -> dict[str, Any]:
    """Returns a deep copy of the whole set at once.

    A simulator's random generator is 625 numbers, half of all the work unless it is copied as one piece.
    """
    memo: dict[int, Any] = {}
    for instance in instances.values():
        source = vars(instance).get("_random")
        if isinstance(source, random.Random):
            memo[id(source)] = twin = random.Random(0)
            twin.setstate(source.getstate())
    return copy.deepcopy(instances, memo)


@cache
def _owners(classes: tuple[str, ...]) -> dict[str, str]:
    """Returns function -> class; the last class has it where several do, as in the official executor."""
    return {
        name: owner
        for owner in classes
        for name, _ in inspect.getmembers(package.simulator(owner), inspect.isfunction)
        if not name.startswith("_")
    }


def _worded(result: Any) -> str:
    if isinstance(result, str):
        return result
    if isinstance(result, dict):
        try:
            return json.dumps(result)
        except (TypeError, ValueError):  # a number that JSON does not know
            return str(result)
    return str(result)


def _error(message: str) -> str:
    return f"Error during execution: {message}"


def _readable(text: str) -> str:
    """Returns a text that can be encoded: an agent can write half a surrogate pair, and no file could hold it."""
    return text.encode(errors="backslashreplace").decode()


def _check_size(method: Any, call: Call) -> None:
    """Raises `ValueError` for the four functions whose cost is in the value of an argument, not in its length."""
    if call.name not in ("power", "logarithm", "square_root", "round_number"):
        return
    try:
        given = inspect.signature(method).bind(*call.args, **call.kwargs).arguments
    except TypeError:
        return  # the call itself says what is missing
    if call.name == "power":
        base, exponent = given["base"], given["exponent"]
        whole = isinstance(base, int) and isinstance(exponent, int)
        digits = base.bit_length() * abs(exponent) * math.log10(2) if whole else 0.0
    else:
        digits = abs(_number(given.get("decimal_places" if call.name == "round_number" else "precision", 0)))
    if digits > MOST_DIGITS:
        raise ValueError(f"this takes more than {MOST_DIGITS} digits")


def _number(value: Any) -> float:
    """Returns a number as a float, infinite where it is too large, and 0 for anything else."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return 0.0
