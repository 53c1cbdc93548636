"""A second copy of a policy, which lags behind: what sampling goes on with while the first one is being updated."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from treeroll.learner.policy import Policy


def twin(policy: Policy) -> Policy:
    """Returns a copy of a policy that learns nothing; weights that never change (frozen ones) are shared."""
    frozen = {id(weight): weight for weight in policy.model.parameters() if not weight.requires_grad}
    return replace(policy, model=copy.deepcopy(policy.model, frozen))


@torch.no_grad()
def follow(behind: Policy, policy: Policy) -> None:
    """Gives a twin the weights and the version of its policy, which must not be learning meanwhile."""
    for old, new in zip(behind.trainable(), policy.trainable(), strict=True):
        old.copy_(new)
    behind.version = policy.version
