"""`treeroll warmup`: re-makes the packaged tiny model from seed, by imitation of noisy demonstrations.

The tiny model is a Llama-type causal LM with one token a word. Demonstrations read some surface names of a
relation wrongly on purpose (see `envs.atlas.demonstrations`): what they teach is the form of an episode and the
easy names; the hard names are left for reinforcement learning to discover.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from treeroll import envs
from treeroll.envs.atlas import compact, demonstrations
from treeroll.envs.atlas.settings import SETTINGS
from treeroll.learner.policy import Policy
from treeroll.models import TINY
from treeroll.packing import TreeRow
from treeroll.samplers.dialogue import PlainDialogue
from treeroll.seeding import derive, generator
from treeroll.tree import Task

UNKNOWN, PAD = "<unk>", "<pad>"
CONTEXT = 256
WIDTH, LAYERS, HEADS, INNER = 128, 2, 4, 320
ROPE_BASE = 1000.0
BATCH = 64
SORTED = 10
"""Batches whose demonstrations are drawn together and sorted by length."""
LEARNING_RATE = 3e-3
SHARES = {"atlas": 0.4, "atlas-long": 0.2, "atlas-early": 0.2, "atlas-repair": 0.2}
"""Shares of the settings among the demonstrations."""
RISE, FALL = 0.05, 0.3
"""Shares of the steps in which the learning rate rises at the start and falls at the end."""


def warmup(out: Path | None = None, *, steps: int = 2400, seed: int = 0, quiet: bool = False) -> Path:
    """Trains the tiny model and saves it with its tokenizer.

    Args:
      out: model directory; the package's own where None.
      steps: AdamW steps of 64 demonstrations each.
      seed: of weights, demonstrations and their order; the same seed gives the same weights on CPU.
      quiet: print nothing.

    Returns:
      The model directory.
    """
    torch.set_num_threads(1)
    torch.manual_seed(derive(seed, "warmup", "weights") % 2**63)
    policy = build(compact.vocabulary(compact.known()))
    dialogue = PlainDialogue(policy.tokenizer, compact.STOP)
    played = _play(steps * BATCH, seed)
    optimizer = torch.optim.AdamW(policy.trainable(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.01)
    started, losses = time.process_time(), []
    batches = _batches((_row(dialogue, task, turns) for task, turns in played), seed)
    for step, rows in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * _schedule(step / steps)
        logprobs, _ = policy.logprobs(rows, temperature=1.0)
        loss = -logprobs.mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(policy.trainable(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if not quiet and (step + 1) % 50 == 0:
            seconds = time.process_time() - started
            print(f"step {step + 1:4d}/{steps}  loss {np.mean(losses[-50:]):.3f}  {seconds:.0f} CPU-s", flush=True)
    out = out or TINY
    policy.model.save_pretrained(out)
    policy.tokenizer.save_pretrained(out)
    record = {"made_by": "treeroll warmup", "steps": steps, "seed": seed, "parameters": policy.parameters}
    (out / "warmup.json").write_text(json.dumps(record, indent=2) + "\n")
    return out


def _play(count: int, seed: int) -> Iterator[tuple[Task, demonstrations.Turns]]:
    """Yields demonstrations of all settings of the world, in random order."""
    players = {
        name: demonstrations.demonstrations(envs.load(name).train, count, seed=derive(seed, name), setting=setting)
        for name, setting in SETTINGS.items()
    }
    for index in generator(seed, "warmup settings").choice(len(players), count, p=[SHARES[name] for name in players]):
        yield next(players[list(players)[index]])


def _batches(rows: Iterator[TreeRow], seed: int) -> Iterator[list[TreeRow]]:
    """Yields batches of rows of about the same length, so that little is padding, in random order."""
    number = 0
    while drawn := list(islice(rows, SORTED * BATCH)):
        drawn.sort(key=lambda row: len(row.prompt_ids) + len(row.completion_ids))
        for place in generator(seed, "warmup batches", number).permutation(len(drawn) // BATCH):
            yield drawn[place * BATCH : (place + 1) * BATCH]
        number += 1


def build(vocabulary: Sequence[str]) -> Policy:
    """Returns the untrained tiny model for a vocabulary; its weights come from torch's global generator."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = word_tokenizer(vocabulary)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(compact.STOP),
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    model = LlamaForCausalLM(config)
    model.set_attn_implementation("sdpa")
    return Policy(model, tokenizer, "tiny")


def word_tokenizer(vocabulary: Sequence[str]) -> Any:
    """Returns a Hugging Face tokenizer with one token a word; words are separated by spaces."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [PAD, UNKNOWN, *vocabulary]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    # The stop word is no special token here: those are matched inside longer words, too.
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=UNKNOWN, pad_token=PAD, model_max_length=CONTEXT
    )


def _row(dialogue: PlainDialogue, task: Task, turns: demonstrations.Turns) -> TreeRow:
    """Returns a demonstration as a row: its actions are learned, its observations are read."""
    parts: list[NDArray[np.int32]] = []
    masks: list[NDArray[np.bool_]] = []
    for action, observation in turns:
        said, heard = dialogue.prompt(action), dialogue.prompt(observation)
        parts += [said, heard]
        masks += [np.ones(len(said), np.bool_), np.zeros(len(heard), np.bool_)]
    completion = np.concatenate(parts)
    nothing = np.zeros(len(completion), np.float32)
    return TreeRow(dialogue.prompt(task.prompt), completion, np.concatenate(masks), nothing, nothing, task.id, 0)


def _schedule(progress: float) -> float:
    return min(1.0, progress / RISE + 0.02, (1 - progress) / FALL + 0.02)
