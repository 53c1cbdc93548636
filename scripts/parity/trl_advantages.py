"""Writes the advantages that TRL's GRPOTrainer computes for the groups of `rewards.py`: scale_rewards group and none.

They are what `tests/credit/test_parity.py` compares `treeroll.credit` with. To make them again, outside this project's
own environment (Python 3.11; about 2 GB; no GPU, no network):

    python -m venv venv-trl
    venv-trl/bin/pip install torch==2.13.0 trl==1.16.0 transformers==5.23.0
    venv-trl/bin/python scripts/parity/trl_advantages.py tests/credit/parity/trl.json

A real trainer takes a real step, for each group size: a model of a few thousand random weights, made here, samples one
word a completion, a reward function hands out the given rewards, and the advantages are read where the trainer returns
them to its own loss. TRL computes in float32.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

from datasets import Dataset
from rewards import GROUPS
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

WORDS = ["<pad>", "<eos>", "<unk>", *"abcdefgh"]


class ReadingTrainer(GRPOTrainer):
    """A GRPOTrainer that keeps the advantages it computed."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super()._generate_and_score_completions(inputs)
        self.computed = batch["advantages"].tolist()
        return batch


def tokenizer() -> PreTrainedTokenizerFast:
    """Returns a tokenizer of eleven words."""
    inner = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )


def model() -> LlamaForCausalLM:
    """Returns a random model of one layer."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=1,
        )
    )


def advantages(groups: list[list[float]], scale_rewards: str) -> list[list[float]]:
    """Returns TRL's advantages of groups of one size, from one training step over all of them."""
    size = len(groups[0])
    given = [reward for group in groups for reward in group]

    def reward(completions: list[str], **_: Any) -> list[float]:
        assert len(completions) == len(given), "one batch holds all groups, the rollouts of a prompt side by side"
        return given

    with tempfile.TemporaryDirectory() as folder:
        trainer = ReadingTrainer(
            model=model(),
            processing_class=tokenizer(),
            reward_funcs=reward,
            train_dataset=Dataset.from_dict({"prompt": ["a b c"] * len(groups)}),
            args=GRPOConfig(
                output_dir=folder,
                per_device_train_batch_size=len(given),
                num_generations=size,
                max_completion_length=1,
                max_steps=1,
                scale_rewards=scale_rewards,
                shuffle_dataset=False,
                use_cpu=True,
                bf16=False,
                save_strategy="no",
                report_to=[],
            ),
        )
        trainer.train()
    return [trainer.computed[start : start + size] for start in range(0, len(given), size)]


def main(out: Path) -> None:
    """Writes the JSON file."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for name, group in GROUPS.items():
        by_size[len(group)].append(name)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in GROUPS}
    for names in by_size.values():
        for key, scale_rewards in (("grpo", "group"), ("dr_grpo", "none")):
            for name, computed in zip(names, advantages([GROUPS[n] for n in names], scale_rewards), strict=True):
                found[name][key] = computed
    cases = [{"name": name, "rewards": group, **found[name]} for name, group in GROUPS.items()]
    versions = {package: version(package) for package in ("trl", "transformers", "torch")}
    out.write_text(
        json.dumps({"made_by": "scripts/parity/trl_advantages.py", "versions": versions, "cases": cases}, indent=1)
        + "\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: trl_advantages.py OUT.json")
    main(Path(sys.argv[1]))
