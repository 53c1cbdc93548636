"""`treeroll train --env NAME` on every world that came from elsewhere: one step, from the command line to the report.

The model is random and reads bytes, so it solves nothing: what is tested is that tasks, prompts, turns, observations,
continuations, the update, the files and the page fit together.
"""

import json

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import tiny
from treeroll.treefile import load_trees

STOP = "<|end|>"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A Hugging Face folder: one layer, 16 wide, a token a byte, no chat template."""
    folder = tmp_path_factory.mktemp("bytes")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate([STOP, *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=STOP).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(alphabet) + 1, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16384, bos_token_id=None, eos_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def hotpotqa(folder):
    record = {"question": "Which sea?", "answer": "Ilse Sea", "context": [["Ilse", ["It reaches the Ilse Sea."]]]}
    path = folder / "hotpot.json"
    path.write_text(
        json.dumps([record | {"_id": str(number), "question": f"Which sea {number}?"} for number in range(12)])
    )
    return [f"world.data={path}"]


def maths(folder):
    path = folder / "math.jsonl"
    path.write_text("".join(json.dumps({"problem": f"{n}+1?", "answer": n + 1}) + "\n" for n in range(20)))
    return [f"world.data={path}", "world.packages="]


def reasoning_gym(folder):
    return ["world.families=chain_sum", "world.level=1", "world.train=12", "world.test=3", "world.packages="]


def bfcl(folder):
    return ["world.categories=base"]


def textworld(folder):
    sizes = ["world.train=4", "world.test=1", "world.rooms=2", "world.objects=3", "world.quest=2"]
    return [*sizes, f"world.cache={folder / 'games'}"]


@pytest.mark.parametrize(
    ("env", "options"),
    [
        ("hotpotqa", hotpotqa),
        ("math", maths),
        ("reasoning-gym", reasoning_gym),
        ("bfcl", bfcl),
        ("textworld", textworld),
    ],
)
def test_a_step_of_trace(env, options, model, tmp_path):
    run = tmp_path / "run"
    words = {
        "model": model, "env": env, "out": run, "steps": 1, "evaluation.tasks": 1, "report": "true",
        "budget.rollouts": 9, "budget.group": 3, "budget.min_group": 2, "budget.pool": 3, "budget.continuations": 1,
        "sampling.max_turns": 3, "sampling.turn_tokens": 6, "learner.micro_tokens": 65536,
    }  # fmt: skip
    printed = tiny.printed(["train", *(f"{key}={value}" for key, value in words.items()), *options(tmp_path)])
    assert printed[-1] == str(run / "report.html")
    (record,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][1:]
    trees = load_trees(run / "trees" / "step-0001.jsonl.gz")
    kinds = [node.origin.kind for tree in trees for node in tree.nodes[1:]]
    assert {"bare", "continuation"} == set(kinds)
    assert sum(record["environment"][count] for count in ("errors", "timeouts", "withdrawn")) == 0
    assert record["environment"]["forking"] == "snapshot"
    assert record["spent"]["rollouts"] <= 9
    drawn = "\n".join(tiny.printed(["tree", str(run), "--first", "1"]))
    assert "continuation" in drawn
    assert (run / "report.html").stat().st_size > 50_000
