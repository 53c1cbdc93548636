"""Packed trees give the gradient of whole rollouts, one by one, in float64."""

from copy import deepcopy

import numpy as np
import pytest
import torch
import transformers.integrations.flex_attention
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch.nn.attention.flex_attention import create_block_mask, create_mask, flex_attention
from transformers import (
    AttentionInterface,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from packed_rows import SHAPES, forest, row
from treeroll.errors import ConfigError, TrainingError
from treeroll.learner import attention, packed
from treeroll.learner.attention import attending, flex_mask, tree_blocks
from treeroll.learner.compute import by_rows, by_trees, worthwhile
from treeroll.learner.loss import policy_loss, spans_of
from treeroll.learner.packed import packed_logprobs, refusal
from treeroll.learner.policy import Policy
from treeroll.learner.update import Learner
from treeroll.packing.packed import pack, trim

WORDS = 40
KINDS = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}


def policy(kind="llama", **options):
    torch.manual_seed(0)
    config, model = KINDS[kind]
    made = model(config(
        vocab_size=WORDS + 1, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=128, initializer_range=0.3, **options,
    ))  # fmt: skip
    return Policy(made, None, "test")


def one_by_one(it, rows, denominator, **options):
    """The gradient of the loss in float64, each whole rollout through the model by itself."""
    exact = deepcopy(it.model).double()
    exact.zero_grad(set_to_none=True)
    found = []
    for one in rows:
        ids = torch.from_numpy(np.concatenate([one.prompt_ids, one.completion_ids]).astype(np.int64))
        table = torch.log_softmax(exact(ids[None]).logits[0], dim=-1)
        places = torch.from_numpy(np.flatnonzero(one.loss_mask) + len(one.prompt_ids))
        found.append(table[places - 1, ids[places]])
    logprobs = torch.cat(found)
    behaviour, advantages = (
        torch.from_numpy(np.concatenate([getattr(one, name)[one.loss_mask] for one in rows])).double()
        for name in ("behaviour_logprobs", "advantages")
    )
    spans = spans_of(rows, options.pop("ratio", "token"))
    loss = policy_loss(logprobs, behaviour, advantages, spans=spans, clip_low=0.2, clip_high=0.28, **options).loss
    (loss / denominator).backward()
    return {name: one.grad for name, one in exact.named_parameters() if one.grad is not None}


def gradient(it, rows, packed, **options):
    learner = Learner(it, learning_rate=1e-9, gradient_clip=1e9, packed=packed, **options)
    stats = learner.update(rows, 10)
    return {name: one.grad.clone() for name, one in it.model.named_parameters() if one.grad is not None}, stats


def assert_same(found, exact):
    assert found.keys() == exact.keys()
    whole = torch.cat([one.flatten() for one in exact.values()]).norm()
    assert whole > 0
    for name, one in exact.items():
        assert (found[name].double() - one).norm() <= 1e-5 * max(one.norm(), 1e-3 * whole), name


@pytest.mark.parametrize("kind", KINDS)
@given(
    shape=st.sampled_from(SHAPES),
    seed=st.integers(0, 10_000),
    words=st.sampled_from([3, WORDS]),
    micro_tokens=st.sampled_from([1, 25, 10_000]),
    most=st.sampled_from([1, 4, 256]),
)
@settings(max_examples=12, deadline=None)
def test_the_gradient_is_that_of_whole_rollouts(kind, *, shape, seed, words, micro_tokens, most):
    it, rows = policy(kind), forest(shape, seed, words)
    exact = one_by_one(it, rows, 10, loss="cispo")  # in which every token has a gradient
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(attention, "MOST", most)
        found, _ = gradient(it, rows, "always", micro_tokens=micro_tokens, loss="cispo")
    assert_same(found, exact)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"ratio": "turn"}, {"ratio": "sequence"}, {"loss": "cispo"}, {"loss": "reinforce"},
        {"ratio": "sequence", "loss": "cispo"},
    ],
    ids=str,
)  # fmt: skip
def test_every_loss(options):
    """Also where a row's last turns have no advantage: a ratio over the sequence depends on them all the same."""
    it = policy()
    rows = [row([1, 2, 3], [4, 5, 6, 7, 8], [0.5, 0.5, 0, 0, 0], [1, 1, 0, 1, 1], -3.5), *forest("tree", 1, WORDS)]
    exact = one_by_one(it, rows, 10, **options)
    assert_same(gradient(it, rows, "always", **options)[0], exact)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's affair
@pytest.mark.parametrize("kind", KINDS)
def test_lora(kind):
    it = policy(kind)
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"]
    it.model = get_peft_model(it.model, LoraConfig(r=3, target_modules=names, init_lora_weights=False))
    rows = forest("forest", 2, WORDS)
    exact = one_by_one(it, rows, 10)
    assert len(exact) == 2 * 2 * len(names)  # two matrices of each module in both layers, and nothing else
    assert_same(gradient(it, rows, "always")[0], exact)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_checkpointing(kind, monkeypatch):
    """Layers are computed twice, the second time in the backward pass, and see the tree in both."""
    it, rows = policy(kind), forest("forest", 3, WORDS)
    exact = one_by_one(it, rows, 10)
    calls = []
    inner = attention.attend
    monkeypatch.setattr(attention, "attend", lambda *given: calls.append(1) or inner(*given))
    it.compute_again()
    learner = Learner(it, learning_rate=1e-9, gradient_clip=1e9, packed="always")
    calls.clear()  # those of the trial
    learner.update(rows, 10)
    found = {name: one.grad for name, one in it.model.named_parameters() if one.grad is not None}
    assert len(calls) == 4
    assert_same(found, exact)
    assert not any(module.training for module in it.model.modules())


def test_top_layers_only():
    it, rows = policy(tie_word_embeddings=False), forest("shared", 4, WORDS)
    it.train_top_layers(1)
    exact = one_by_one(it, rows, 10)
    found, _ = gradient(it, rows, "always")
    assert {name.split(".")[2] for name in found if ".layers." in name} == {"1"}
    assert_same(found, exact)


def test_statistics_are_those_of_rows():
    rows = forest("forest", 5, WORDS)
    (_, packed), (_, plain) = (gradient(policy(), trim(rows), way) for way in ("always", "never"))
    assert packed.tokens == plain.tokens
    for name in ("loss", "grad_norm", "clip_share", "kl", "entropy"):
        assert getattr(packed, name) == pytest.approx(getattr(plain, name), rel=1e-5), name


def test_what_has_no_gradient_is_not_computed():
    dead = row([1, 2], [3, 4, 5], 0.0)
    live = row([1, 2], [3, 6, 7, 8], [1, 1, 0, 0], [1, 1, 1, 0])
    (part,) = by_trees([dead, live], 1000)
    assert part.tokens == 3  # 1 2 3: the token 6 is only predicted
    assert by_trees([dead], 1000) == []
    it = policy()
    stats = Learner(it, learning_rate=1e-3, packed="always").update([dead], 1)
    assert (stats.tokens, stats.grad_norm) == (3, 0)


def test_the_model_attends_as_before_once_the_update_is_done():
    it = policy()
    ids = torch.arange(1, 9)[None]
    before = it.model(ids).logits
    with pytest.raises(TrainingError, match="loss is nan"):
        Learner(it, learning_rate=1e-3, packed="always").update([row([1, 2], [3, 4], float("nan"))], 1)
    assert it.model.config._attn_implementation == "sdpa"
    assert torch.equal(it.model(ids).logits, before)
    with attending(it.model):
        assert torch.equal(it.model(ids).logits, before)


def test_auto_packs_what_shares_and_nothing_else():
    long = [row(range(1, 31), [31, 32, one]) for one in range(1, 9)]
    assert worthwhile(by_rows(long, 1000), by_trees(long, 1000))
    alone = [row([one, *range(1, 31)], [31, 32]) for one in range(1, 9)]
    assert not worthwhile(by_rows(alone, 1000), by_trees(alone, 1000))
    assert not worthwhile([], [])


def test_a_model_that_packing_would_change_is_refused():
    config = MistralConfig(
        vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, sliding_window=4,
    )  # fmt: skip
    it = Policy(MistralForCausalLM(config), None, "windowed")
    assert refusal(it) == "its attention has a window of 4 tokens"
    with pytest.raises(ConfigError, match=r"learner.packed=always, but windowed .* window of 4 tokens. Use auto"):
        Learner(it, learning_rate=1e-3, packed="always")
    same = [row([1, 2, 3, 4, 5, 6], [7, one]) for one in range(1, 8)]
    assert Learner(it, learning_rate=1e-3, packed="auto").update(same, 1).tokens == 14


def test_a_model_whose_layers_ignore_the_tree_is_found_out(monkeypatch):
    it = policy()
    assert refusal(it) is None
    plain = AttentionInterface()["sdpa"]
    monkeypatch.setitem(AttentionInterface._global_mapping, attention.NAME, plain)
    assert "log-probabilities of packed trees are off by" in refusal(it)
    it.model.config.layer_types = ["full_attention", "linear_attention"]
    assert refusal(it) == "it has layers of linear_attention"


@pytest.mark.parametrize("shape", SHAPES)
def test_flex_attention_is_given_the_same_mask(shape):
    """Its kernels need CUDA; here its mask alone, filled up to whole squares with tokens that stand alone."""
    batch = pack(trim(forest(shape, 6, WORDS, prompt=200)))
    size = len(batch.ends)
    mask = flex_mask(batch, torch.device("cpu"))
    whole = mask.shape[-1]
    assert mask.shape == (1, 1, whole, whole)
    assert whole - 128 < size <= whole
    seen = create_mask(mask.mask_mod, 1, 1, whole, whole, device="cpu")[0, 0]
    expected = np.eye(whole, dtype=bool)
    expected[:size, :size] = batch.visible()
    np.testing.assert_array_equal(seen.numpy(), expected)
    # The squares that it is told to look at, and those in which it need not ask, are those that torch finds.
    ours, theirs = mask, create_block_mask(mask.mask_mod, None, None, whole, whole, device="cpu")
    assert torch.equal(ours.to_dense(), theirs.to_dense())
    for name in ("kv", "full_kv"):
        counts, numbers = getattr(ours, f"{name}_num_blocks"), getattr(ours, f"{name}_indices")
        assert torch.equal(counts, getattr(theirs, f"{name}_num_blocks"))
        for place, count in enumerate(counts[0, 0].tolist()):
            expected = getattr(theirs, f"{name}_indices")[0, 0, place, :count]
            assert set(numbers[0, 0, place, :count].tolist()) == set(expected.tolist())


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
def test_flex_attention_gives_the_same_logprobs(monkeypatch):
    """The whole way to it and back, but not compiled; its backward pass needs CUDA."""
    it, batch = policy("qwen3"), pack(trim(forest("forest", 8, WORDS, prompt=60)))
    monkeypatch.setattr(packed, "tree_of", lambda batch, device, dtype: flex_mask(batch, device))

    def uncompiled(*given, training, **options):
        return flex_attention(*given, **options)

    monkeypatch.setattr(transformers.integrations.flex_attention, "compile_friendly_flex_attention", uncompiled)
    with torch.no_grad():
        plain, _ = it.logprobs(batch.rows, 1.0)
        with attending(it.model):
            flex, _ = packed_logprobs(it, batch, 1.0)
    torch.testing.assert_close(flex, plain, atol=1e-5, rtol=0)


def test_blocks_are_no_approximation(monkeypatch):
    """Whatever the size of a block, and for bfloat16 within its own rounding."""
    it, batch = policy(), pack(trim(forest("forest", 7, WORDS)))
    plain, _ = it.logprobs(batch.rows, 0.7)
    for most in (1, 5, 1000):
        monkeypatch.setattr(attention, "MOST", most)
        with attending(it.model):
            packed, _ = packed_logprobs(it, batch, 0.7)
        torch.testing.assert_close(packed, plain, atol=1e-5, rtol=0)
    it.model.bfloat16()
    rounded, _ = it.logprobs(batch.rows, 0.7)
    with attending(it.model):
        packed, _ = packed_logprobs(it, batch, 0.7)
    assert (packed - plain).abs().max() < 2 * (rounded - plain).abs().max()


def test_a_chain_alone_needs_no_mask():
    tree = tree_blocks(pack([row([1, 2], [3, 4])]), torch.device("cpu"), torch.float32)
    assert tree.calls == (((0,), (0,), None),)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])  # fmt: skip
def test_too_little_memory_names_the_knob(error, monkeypatch):
    it, rows = policy(), [row([1, 2], [3, 4])]
    before = [one.clone() for one in it.model.parameters()]
    learner = Learner(it, learning_rate=1e-2, micro_tokens=77, packed="never")

    def full(*given):
        raise error

    monkeypatch.setattr(learner, "_loss", full)
    with pytest.raises(
        TrainingError, match=r"update on 4 tokens at once \(1 rollouts\).*Lower learner.micro_tokens=77"
    ):
        learner.update(rows, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, it.model.parameters(), strict=True))


def test_other_errors_stay_what_they_are(monkeypatch):
    learner = Learner(policy(), learning_rate=1e-2)

    def broken(*given):
        raise RuntimeError("another")

    monkeypatch.setattr(learner, "_loss", broken)
    with pytest.raises(RuntimeError, match="another"):
        learner.update([row([1, 2], [3, 4])], 2)
