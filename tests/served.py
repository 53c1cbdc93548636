"""A vLLM server for tests of the sampler that asks one: `fake_vllm` with a tiny policy, and what is asked of it."""

import numpy as np

from fake_vllm import Table
from treeroll.samplers.base import Prefix, TurnRequest
from treeroll.samplers.vllm.server import ServerSampler
from treeroll.samplers.vllm.terms import Terms

NONE = np.empty(0, np.int32)


def ids(*values):
    return np.array(values, np.int32)


def terms(temperature=0.7, context=64):
    return Terms(frozenset([0]), temperature, vocabulary=12, context=context)


def sampler(server, policy=None, *, temperature=0.7, context=64, **options):
    return ServerSampler(server[1], policy or Table(), terms(temperature, context), **{"patience": 5.0} | options)


def request(*history, seed=1, most=6):
    return TurnRequest(Prefix(ids(*history)), NONE, most, seed)
