"""Predictors: what chance of success, and what cost, from a root or a prefix. One file each."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from treeroll.budget import Unit
from treeroll.errors import ConfigError, did_you_mean
from treeroll.predictor.base import Prediction, Predictor
from treeroll.predictor.beta import BetaPredictor
from treeroll.predictor.constant import ConstantPredictor
from treeroll.predictor.costs import DepthCost
from treeroll.predictor.encoders import Encoder
from treeroll.predictor.head import HeadPredictor
from treeroll.predictor.latent import LatentPredictor
from treeroll.predictor.mlp import MLPPredictor
from treeroll.predictor.oracle import OraclePredictor, Probe
from treeroll.predictor.paper import PaperPredictor
from treeroll.predictor.shuffled import ShuffledPredictor
from treeroll.predictor.value_lm import ValueLM

BUILDERS: dict[str, Callable[..., Predictor]] = {
    "constant": ConstantPredictor,
    "head": HeadPredictor,
    "beta": BetaPredictor,
    "mlp": MLPPredictor,
    "value-lm": ValueLM,
    "latent": LatentPredictor,
    "shuffled": lambda *, seed, warmup, forgetting, unit, longest, encoder, device: ShuffledPredictor(
        HeadPredictor(
            seed=seed, warmup=warmup, forgetting=forgetting, unit=unit, longest=longest, encoder=encoder, device=device
        ),
        seed=seed,
    ),
    "oracle": OraclePredictor,
    "paper": PaperPredictor,
}
"""What builds each predictor; see `get`."""
NAMES = tuple(BUILDERS)

__all__ = [
    "BUILDERS",
    "NAMES",
    "BetaPredictor",
    "ConstantPredictor",
    "DepthCost",
    "HeadPredictor",
    "LatentPredictor",
    "MLPPredictor",
    "OraclePredictor",
    "PaperPredictor",
    "Prediction",
    "Predictor",
    "ShuffledPredictor",
    "ValueLM",
    "check",
    "get",
]


def check(name: str) -> str:
    """Returns the name of a predictor as it is; nothing is built.

    Raises:
      ConfigError: no such predictor.
    """
    _builder(name)
    return name


def get(
    name: str,
    *,
    seed: int = 0,
    forgetting: float = 0.9,
    warmup: int = 128,
    unit: Unit = "rollouts",
    longest: float | None = None,
    encoder: str | Encoder = "hidden",
    model: str = "tiny",
    device: str = "cpu",
    probe: Probe | None = None,
    samples: float = float("inf"),
) -> Predictor:
    """Returns a new predictor by name. Its constructor is given those of the options that it names.

    Args:
      name: one of `NAMES`, or "package.module:Class" for a predictor of your own; see `treeroll.predictor.base`.
      seed: address of its random draws; equal seeds and trees give equal predictions.
      forgetting: share of its certainty that is kept from one update to the next, in (0, 1].
      warmup: rollouts to learn from before it can be informed.
      unit: what its costs are counted in, the unit of the budget.
      longest: largest cost that one rollout can have: predicted until costs have been seen. Needed unless the unit is
        rollouts.
      encoder: what turns a history into numbers, by name or as it is; see `treeroll.predictor.encoders`.
      model: language model that a value LM starts from: the policy's, as a rule.
      device: torch device of an encoder or a value LM.
      probe: what an oracle asks; see `treeroll.predictor.oracle`.
      samples: rollouts behind each of the probe's answers; infinity where they are exact.
    A constructor may also name `cost`: a `DepthCost` of the unit. Where the unit is not rollouts it must name `unit`,
    `cost` or `probe`: its costs would be in rollouts otherwise, and budgets spent wrongly without a word.

    Raises:
      ConfigError: no such predictor, an option out of its range, or a constructor that names nothing to count costs by.
      MissingExtraError: it needs a package that is not installed.
    """
    options: dict[str, Any] = {
        "seed": seed, "forgetting": forgetting, "warmup": warmup, "unit": unit, "longest": longest, "encoder": encoder,
        "model": model, "device": device, "probe": probe, "samples": samples,
    }  # fmt: skip
    build = _builder(name)
    if name == "oracle" and probe is None:
        raise ConfigError("predictor 'oracle' must be told success probabilities: give it a probe, e.g. Engine.probe")
    named = inspect.signature(build).parameters
    if unit != "rollouts" and not named.keys() & {"unit", "cost", "probe"}:
        raise ConfigError(
            f"predictor {name!r}: its costs must be in {unit}: name `unit` or `cost` in its constructor; "
            "see treeroll.predictor.base"
        )
    if "cost" in named:
        options["cost"] = DepthCost(unit, longest=longest, forgetting=forgetting)
    return build(**{option: value for option, value in options.items() if option in named})


def _builder(name: str) -> Callable[..., Predictor]:
    if name in BUILDERS:
        return BUILDERS[name]
    module, found, attribute = name.partition(":")
    if not found:
        raise ConfigError(
            f"unknown predictor {name!r}.{did_you_mean(name, list(NAMES))} Your own: package.module:Class"
        )
    try:
        builder: Callable[..., Predictor] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"predictor {name!r} cannot be loaded: {error}. Name it package.module:Class") from error
    return builder
