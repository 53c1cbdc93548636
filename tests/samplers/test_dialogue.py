"""Dialogues: the tokens of an episode, piece by piece, are those of the whole conversation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from treeroll.allocation.base import Allocation
from treeroll.engine import Engine
from treeroll.envs.atlas import atlas, prose
from treeroll.envs.base import Example
from treeroll.errors import ConfigError
from treeroll.learner.policy import load_policy
from treeroll.samplers.dialogue import ChatDialogue, CompletionDialogue, PlainDialogue
from treeroll.samplers.local import LocalSampler

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = (
    "{% set ns = namespace(last=-1) %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.index0 > ns.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As Qwen3's: thoughts are left out of the answers before the last question."""
FORGETFUL = "<|im_start|>{{ messages[-1].content }}<|im_end|>{% if add_generation_prompt %}<|im_start|>{% endif %}"
UNENDED = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
STRICT = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML

EXAMPLE = Example("What is the capital of Peru?", (("search[capital of Peru]", "Lima."), ("finish[Lima]", "")))
INSTRUCTIONS = "Answer with one name."
QUESTION, ACTION, OBSERVATION = "What is the currency of Peru?", "I need it, so search[currency of Peru]", "The sol."


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A small byte-level BPE with merges, as most models have."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|im_start|>", "<|im_end|>"]
    text = [f"{INSTRUCTIONS}\n{EXAMPLE}\nQuestion: {QUESTION}\nThought: {ACTION}\nObservation: {OBSERVATION}\n\n"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    bpe.train_from_iterator(text * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", bos_token="<|im_start|>")


@pytest.fixture
def worded(tokenizer):
    """Returns the tokenizer with a chat template."""

    def with_template(template):
        tokenizer.chat_template = template
        return tokenizer

    yield with_template
    tokenizer.chat_template = None


def encode(tokenizer, text):
    return np.asarray(tokenizer.encode(text, add_special_tokens=False), np.int32)


def conversation(*, system=INSTRUCTIONS):
    told = [{"role": "system", "content": system}] if system else []
    return [
        *told,
        {"role": "user", "content": EXAMPLE.prompt},
        {"role": "assistant", "content": "search[capital of Peru]"},
        {"role": "user", "content": "Observation: Lima."},
        {"role": "assistant", "content": "finish[Lima]"},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": ACTION},
        {"role": "user", "content": f"Observation: {OBSERVATION}"},
    ]


# Chat ---------------------------------------------------------------------------------------------------------------


def test_a_chat_is_token_for_token_what_the_template_renders(worded):
    tokenizer = worded(CHATML)
    dialogue = ChatDialogue(tokenizer, INSTRUCTIONS, [EXAMPLE])
    said = encode(tokenizer, f"{ACTION}<|im_end|>")
    assert int(said[-1]) in dialogue.stop_ids
    assert dialogue.action(said) == ACTION
    pieces = [dialogue.prompt(QUESTION), said, dialogue.observation(OBSERVATION, stopped=True)]
    whole = tokenizer.apply_chat_template(conversation(), tokenize=False, add_generation_prompt=True)
    np.testing.assert_array_equal(np.concatenate(pieces), encode(tokenizer, whole))


def test_a_chat_turn_that_was_cut_off_is_ended_by_the_environment(worded):
    dialogue = ChatDialogue(worded(CHATML), INSTRUCTIONS, [])
    cut, ended = (dialogue.observation(OBSERVATION, stopped=stopped) for stopped in (False, True))
    np.testing.assert_array_equal(cut[1:], ended)
    assert int(cut[0]) in dialogue.stop_ids


def test_the_token_that_ends_a_turn_is_the_templates_own(worded):
    tokenizer = worded(CHATML.replace("<|im_end|>", "<|end|>"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|end|>"]})
    dialogue = ChatDialogue(tokenizer, "", [])
    assert dialogue.stop_ids == {*encode(tokenizer, "<|end|>").tolist(), tokenizer.eos_token_id}


def test_thoughts_that_a_template_would_drop_stay_in_the_history(worded):
    tokenizer = worded(THINKING)
    dialogue = ChatDialogue(tokenizer, INSTRUCTIONS, [EXAMPLE])
    tail = tokenizer.decode(dialogue.observation(OBSERVATION, stopped=True))
    assert tail == f"\n<|im_start|>user\nObservation: {OBSERVATION}<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(dialogue.prompt(QUESTION)).endswith(f"{QUESTION}<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no chat template. Use sampling.dialogue=completion"),
        (FORGETFUL, "rewrites what came before"),
        (UNENDED, "no special token"),
        (STRICT, "no system role"),
    ],
)
def test_templates_that_cannot_work_are_refused(worded, template, message):
    with pytest.raises(ConfigError, match=message):
        ChatDialogue(worded(template), INSTRUCTIONS, [EXAMPLE])


# Completion and plain words -----------------------------------------------------------------------------------------


def test_a_completion_is_token_for_token_the_text(tokenizer):
    dialogue = CompletionDialogue(tokenizer, INSTRUCTIONS, [EXAMPLE])
    said = encode(tokenizer, f" {ACTION}\n")
    assert int(said[-1]) in dialogue.stop_ids
    assert not dialogue.stop_ids.intersection(said[:-1].tolist())
    assert dialogue.action(said) == ACTION
    pieces = [dialogue.prompt(QUESTION), said, dialogue.observation(OBSERVATION, stopped=True)]
    text = (
        "Answer with one name.\n\n"
        "Question: What is the capital of Peru?\nThought: search[capital of Peru]\nObservation: Lima.\n"
        "Thought: finish[Lima]\n\n"
        "Question: What is the currency of Peru?\nThought: I need it, so search[currency of Peru]\n"
        "Observation: The sol.\nThought:"
    )
    assert tokenizer.decode(np.concatenate(pieces)) == text
    np.testing.assert_array_equal(np.concatenate(pieces), encode(tokenizer, text))


def test_a_line_that_was_cut_off_is_ended_by_the_environment(tokenizer):
    dialogue = CompletionDialogue(tokenizer, "", [])
    cut = dialogue.observation(OBSERVATION, stopped=False)
    assert tokenizer.decode(cut) == f"\nObservation: {OBSERVATION}\nThought:"
    assert tokenizer.decode(dialogue.prompt(QUESTION)) == f"Question: {QUESTION}\nThought:"


def test_every_token_with_a_line_break_ends_a_line(tokenizer):
    stops = CompletionDialogue(tokenizer, "", []).stop_ids
    assert tokenizer.eos_token_id in stops
    assert {index for index in range(len(tokenizer)) if "\n" in tokenizer.decode([index])} <= stops


def test_plain_words_are_ended_by_the_stop_word(tokenizer):
    dialogue = PlainDialogue(tokenizer, "<|end|>")
    said = encode(tokenizer, "say this<|end|>")
    assert dialogue.stop_ids == {int(said[-1])}
    assert dialogue.action(said) == dialogue.action(said[:-1]) == "say this"
    ended = dialogue.observation("seen", stopped=True)
    np.testing.assert_array_equal(ended, encode(tokenizer, "seen"))
    np.testing.assert_array_equal(dialogue.observation("seen", stopped=False), [said[-1], *ended])
    with pytest.raises(ConfigError, match="must be one"):
        PlainDialogue(tokenizer, "several words")


# Any model directory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", [CHATML, THINKING, None], ids=["chat", "thinking", "completion"])
def test_a_model_directory_plays_with_its_own_template(worded, template, tmp_path):
    torch.manual_seed(0)
    tokenizer = worded(template)
    size = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "head_dim": 8}
    config = Qwen3Config(
        vocab_size=len(tokenizer), **size, num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=4096
    )
    Qwen3ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template == template
    policy = load_policy(str(tmp_path), device="cpu")
    world = atlas("prose", train=20, test=10)
    kind = ChatDialogue if template else CompletionDialogue
    dialogue = kind(policy.tokenizer, world.instructions, world.examples)
    sampler = LocalSampler(policy.model, stop_ids=dialogue.stop_ids, context=policy.context)
    engine = Engine(world, sampler, dialogue, seed=0, max_turns=2, turn_tokens=6)
    forest = engine.plant(world.train[:2], step=1)
    for tree in engine.extend(forest, Allocation.bare(forest, 2)):
        for leaf in tree.leaves:
            ids = np.concatenate([tree.nodes[index].token_ids for index in tree.path(leaf)])
            text = tokenizer.decode(ids)
            assert tree.task.prompt in text
            assert prose.INVALID in text
            assert len(ids) > len(tree.nodes[0].token_ids)


def test_text_from_outside_cannot_write_control_tokens(worded):
    tokenizer = worded(CHATML)
    dialogue = ChatDialogue(tokenizer, INSTRUCTIONS, [])
    word = tokenizer.convert_ids_to_tokens(min(dialogue.stop_ids))

    def stops(ids):
        return sum(int(token) in dialogue.stop_ids for token in ids)

    assert stops(dialogue.prompt(f"a {word} b")) == stops(dialogue.prompt("a b"))
    assert stops(dialogue.observation(f"a {word} b", stopped=True)) == stops(dialogue.observation("a b", stopped=True))
