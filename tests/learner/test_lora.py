"""LoRA adapters: what learns, that all ways to compute agree, and that a checkpoint holds both forms exactly."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from test_packed_update import KINDS, assert_same, gradient, one_by_one, policy

from packed_rows import forest, row
from treeroll.errors import ConfigError, DataError
from treeroll.learner import checkpoint
from treeroll.learner.lora import ALPHA, load_adapters
from treeroll.learner.policy import Policy, load_policy
from treeroll.learner.update import Learner
from treeroll.samplers.base import TurnRequest
from treeroll.samplers.local import LocalSampler
from treeroll.warmup import build

RANK = 3
IDS = torch.arange(1, 9)[None]


def adapted(kind="llama", layers=None, **options):
    """A policy whose adapters do something: as made, their second matrices are zero."""
    it = policy(kind, **options)
    it.add_adapters(RANK, layers)
    return stir(it)


def stir(it):
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in it.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    return it


@pytest.mark.parametrize("kind", KINDS)
def test_every_linear_layer_but_the_head_learns_and_nothing_else(kind):
    it = policy(kind)
    before = it.model(IDS).logits
    it.add_adapters(RANK)
    assert torch.equal(it.model(IDS).logits, before)
    trained = [name for name, weight in it.model.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * 7 * 2  # layers; q, k, v, o, gate, up, down; two matrices
    assert all(".lora_" in name for name in trained)
    assert it.model.model.layers[0].mlp.up_proj.scaling == {"default": ALPHA / RANK}


def test_adapters_on_the_top_layers_only():
    it = adapted(layers=1)
    trained = [name for name, weight in it.model.named_parameters() if weight.requires_grad]
    assert {name.split(".")[2] for name in trained} == {"1"}
    with pytest.raises(ConfigError, match=r"learner.train_layers=3, but .* has 2 layers"):
        policy().add_adapters(RANK, 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("again", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("packed", ["always", "never"])
def test_the_gradient_is_that_of_whole_rollouts(kind, again, packed):
    it, rows = adapted(kind), forest("forest", 2, 40)
    exact = one_by_one(it, rows, 10)
    assert len(exact) == 28
    if again:
        it.compute_again()
    assert_same(gradient(it, rows, packed)[0], exact)


def test_the_sampler_samples_with_the_adapters():
    """Over a turn that was kept and went on: the log-probabilities are those of the update."""
    it = adapted()
    sampler = LocalSampler(it.model, stop_ids=frozenset([3]), context=128)
    (prefix,) = sampler.plant([np.arange(1, 7, dtype=np.int32)])
    (first,) = sampler.sample([TurnRequest(prefix, np.empty(0, np.int32), 5, 0)])
    new = np.append(first.token_ids[-1:], [8, 9]).astype(np.int32)
    (second,) = sampler.sample([TurnRequest(first.ahead, new, 5, 1)])
    said = np.concatenate([first.token_ids, [8, 9], second.token_ids])
    mask = [1] * len(first.token_ids) + [0, 0] + [1] * len(second.token_ids)
    with torch.no_grad():
        found, _ = it.logprobs([row(range(1, 7), said, mask=mask)], 1.0)
        plain, _ = policy().logprobs([row(range(1, 7), said, mask=mask)], 1.0)
    sampled = np.concatenate([first.logprobs, second.logprobs])
    np.testing.assert_allclose(found.numpy(), sampled, atol=1e-5)
    assert np.abs(plain.numpy() - sampled).max() > 0.01


@pytest.mark.parametrize("tied", [False, True])
def test_merged_weights_are_those_of_the_model_it_computes(tied):
    it = adapted(tie_word_embeddings=tied)
    before = {name: weight.clone() for name, weight in it.model.state_dict().items()}
    plain = policy(tie_word_embeddings=tied).model
    weights = dict(it.weights())
    assert list(weights) == [name for name, _ in plain.named_parameters()]
    plain.load_state_dict(weights, strict=not tied)
    torch.testing.assert_close(plain(IDS).logits, it.model(IDS).logits, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(before[name], weight) for name, weight in it.model.state_dict().items())


def test_weights_of_a_policy_without_adapters_are_its_own():
    it = policy()
    own = dict(it.model.named_parameters())
    assert all(weight.data_ptr() == own.pop(name).data_ptr() for name, weight in it.weights())
    assert not own


def test_adapters_of_a_16_bit_model_are_float32_and_keep_small_steps():
    it = policy()
    it.model.bfloat16()
    it.add_adapters(RANK)
    stir(it)
    assert {weight.dtype for weight in it.trainable()} == {torch.float32}
    before = [weight.detach().clone() for weight in it.trainable()]
    Learner(it, learning_rate=1e-7).update([row([1, 2], [3, 4, 5])], 3)
    moved = [(now - then).abs().max().item() for now, then in zip(it.trainable(), before, strict=True)]
    assert min(moved) > 0
    assert {weight.dtype for _, weight in it.weights()} == {torch.bfloat16}


# Checkpoints ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """A policy of a few words with adapters, and its checkpoint."""
    torch.manual_seed(0)
    it = build(["a", "b"])
    it.add_adapters(RANK)
    stir(it)
    optimizer = torch.optim.AdamW(it.trainable(), lr=0.1)
    checkpoint.save_checkpoint(tmp_path / "step-0003", it, optimizer, {}, {"step": 3})
    return it, tmp_path / "step-0003"


def logits(it):
    with torch.no_grad():
        return it.model(torch.tensor([[2, 3, 2, 3]])).logits


def test_the_model_of_a_checkpoint_needs_no_adapter(saved):
    it, folder = saved
    loaded = load_policy(str(folder / "model"), device="cpu")
    assert not any("lora" in name for name, _ in loaded.model.named_parameters())
    torch.testing.assert_close(logits(loaded), logits(it), atol=1e-5, rtol=1e-5)


def test_the_adapter_of_a_checkpoint_comes_back_bit_for_bit(saved):
    it, folder = saved
    torch.manual_seed(0)
    fresh = build(["a", "b"])
    fresh.add_adapters(RANK)
    load_adapters(fresh.model, folder / "adapter")
    assert torch.equal(logits(fresh), logits(it))


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's affair
def test_peft_reads_the_adapter(saved):
    from peft import PeftModel

    it, folder = saved
    torch.manual_seed(0)
    whole = PeftModel.from_pretrained(build(["a", "b"]).model, folder / "adapter")
    assert torch.equal(logits(Policy(whole, None, "peft")), logits(it))


def test_adapters_of_another_rank_are_refused(saved):
    _, folder = saved
    other = build(["a", "b"])
    other.add_adapters(RANK + 1)
    with pytest.raises(DataError, match=r"holds adapters of another model or rank"):
        load_adapters(other.model, folder / "adapter")
    (folder / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(DataError, match=r"step-0003 is incomplete: adapter/adapter_model.safetensors is missing"):
        load_adapters(other.model, folder / "adapter")


def test_a_copy_of_the_policy_has_adapters_of_its_own():
    it = adapted()
    copied = Policy(deepcopy(it.model), None, "copy")
    Learner(it, learning_rate=0.1).update([row([1, 2], [3, 4, 5])], 3)
    assert not torch.equal(it.model(IDS).logits, copied.model(IDS).logits)
