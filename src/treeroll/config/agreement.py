"""What no option shows alone: options that contradict each other, or that nothing uses."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from treeroll import credit, envs, methods, predictor
from treeroll.config.sections import Budget, Learner, Sampling
from treeroll.errors import ConfigError, did_you_mean
from treeroll.methods import RoundOptions

if TYPE_CHECKING:
    from treeroll.config.options import Config

BACKENDS = ("local", "vllm")
"""What `sampling.backend` may name; anything else is an address."""
BACKEND_OPTIONS = {
    "memory": ("vllm",),
    "weights": ("server",),
    "patience": ("server",),
    "tolerance": ("vllm", "server"),
}
"""Options of `sampling` that not every backend has a use for, with those that have; server: an address."""


def check(config: Config) -> None:
    """Raises `ConfigError` for the first rule that the options break together."""
    predictor.check(config.predictor.name)
    credit.get(config.learner.credit)
    envs.factory(config.env)
    _check_backend(config)
    _check_continuations(config)
    _check_unit(config)
    _check_importance(config)
    _check_uses(config)
    _check_groups(config)
    config.pool(sys.maxsize)


def _check_backend(config: Config) -> None:
    backend = config.sampling.backend
    if backend not in BACKENDS and not backend.startswith(("http://", "https://")):
        raise ConfigError(
            f"unknown sampling.backend {backend!r}.{did_you_mean(backend, [*BACKENDS])} Or give the address of a "
            "vLLM server, as http://127.0.0.1:8000"
        )
    kind = backend if backend in BACKENDS else "server"
    backends = {"vllm": "sampling.backend=vllm", "server": "the address of a server in sampling.backend"}
    for name, users in BACKEND_OPTIONS.items():
        value = getattr(config.sampling, name)
        if kind not in users and value != Sampling.model_fields[name].default:
            raise ConfigError(
                f"sampling.{name}={value}, but sampling.backend={config.sampling.backend} has no use for it. Leave "
                f"it out, or give {' or '.join(backends[user] for user in users)}"
            )
    if kind == "vllm" and ":" in config.device and config.device != "cuda:0":
        raise ConfigError(
            f"device={config.device} with sampling.backend=vllm: vLLM takes the first GPU that it sees. Leave it "
            "out, and choose with CUDA_VISIBLE_DEVICES"
        )


def _check_continuations(config: Config) -> None:
    method, budget = methods.get(config.method), config.budget
    if method.branches and budget.continuations == 0:
        raise ConfigError(
            f"budget.continuations=0, but method {config.method!r} branches. Give it a share, or take a method "
            "that does not branch (see: treeroll methods)"
        )
    if not method.branches and budget.continuations > 0:
        raise ConfigError(
            f"budget.continuations={budget.continuations:g}, but method {config.method!r} does not branch. "
            "Leave it out, or take a method that branches (see: treeroll methods)"
        )


def _check_unit(config: Config) -> None:
    budget = config.budget
    if budget.turns is not None and budget.tokens is not None:
        raise ConfigError(
            f"budget.turns={budget.turns} and budget.tokens={budget.tokens} are both given. A budget has one unit: "
            "leave one out"
        )


def _check_importance(config: Config) -> None:
    cap = config.learner.importance_cap
    if not config.sampling.staleness and cap != Learner.model_fields["importance_cap"].default:
        raise ConfigError(
            f"learner.importance_cap={cap}, but sampling.staleness=0: the policy that learns has sampled every "
            "token itself. Leave one out, or set sampling.staleness=1"
        )


def _check_uses(config: Config) -> None:
    method, budget = methods.get(config.method), config.budget
    for name in RoundOptions.__dataclass_fields__:
        default = method.options.get(f"budget.{name}", Budget.model_fields[name].default)
        if name not in method.uses and getattr(budget, name) != default:
            raise ConfigError(
                f"budget.{name}={getattr(budget, name)}, but method {config.method!r} has no use for it. "
                "Leave it out, or take a method that has (see: treeroll methods)"
            )


def _check_groups(config: Config) -> None:
    method, budget = methods.get(config.method), config.budget
    largest = math.inf if budget.max_group is None else budget.max_group
    if "min_group" in method.uses and not budget.min_group <= budget.group <= largest:
        raise ConfigError(
            f"budget.group={budget.group} is outside budget.min_group={budget.min_group} to budget.max_group="
            f"{budget.max_group}, and a cold start uses it. Move one of the three"
        )
    bare = method.bare_rollouts(budget.rollouts, budget.continuations)
    if budget.unit == "rollouts" and bare < budget.group:
        least = method.least_rollouts(budget.group, budget.continuations)
        raise ConfigError(
            f"budget.rollouts={budget.rollouts} leaves {bare} bare rollouts, too few for one group of "
            f"budget.group={budget.group}. Set budget.rollouts to {least} or more, or budget.group to a smaller one"
        )
