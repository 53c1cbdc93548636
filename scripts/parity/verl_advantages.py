"""Writes the advantages that verl computes for the groups of `rewards.py`: GRPO, and Dr. GRPO (no division).

They are what `tests/credit/test_parity.py` compares `treeroll.credit` with. To make them again, outside this project's
own environment (Python 3.11; about 2 GB; no GPU):

    python -m venv venv-verl
    venv-verl/bin/pip install torch==2.13.0
    venv-verl/bin/pip install verl==0.9.1 TransferQueue==0.1.11 cachetools fastapi uvicorn
    venv-verl/bin/python scripts/parity/verl_advantages.py tests/credit/parity/verl.json

The function called is the one that verl's trainer uses, on one batch of all groups, in float64.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from rewards import GROUPS
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

RESPONSE_TOKENS = 3
"""verl takes rewards by token; the outcome sits on the last one."""


def advantages(*, scale: bool) -> list[float]:
    """Returns verl's advantage of each rollout of all groups, in order."""
    rewards = torch.tensor([reward for group in GROUPS.values() for reward in group], dtype=torch.float64)
    by_token = torch.zeros(len(rewards), RESPONSE_TOKENS, dtype=torch.float64)
    by_token[:, -1] = rewards
    names = np.array([name for name, group in GROUPS.items() for _ in group], dtype=object)
    found, _ = compute_grpo_outcome_advantage(by_token, torch.ones_like(by_token), names, norm_adv_by_std_in_grpo=scale)
    assert (found == found[:, :1]).all(), "verl gives all tokens of a rollout the same advantage"
    return found[:, 0].tolist()


def main(out: Path) -> None:
    """Writes the JSON file."""
    scaled, unscaled = iter(advantages(scale=True)), iter(advantages(scale=False))
    cases = [
        {
            "name": name,
            "rewards": group,
            "grpo": [next(scaled) for _ in group],
            "dr_grpo": [next(unscaled) for _ in group],
        }
        for name, group in GROUPS.items()
    ]
    versions = {package: version(package) for package in ("verl", "torch", "numpy")}
    out.write_text(
        json.dumps({"made_by": "scripts/parity/verl_advantages.py", "versions": versions, "cases": cases}, indent=1)
        + "\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: verl_advantages.py OUT.json")
    main(Path(sys.argv[1]))
