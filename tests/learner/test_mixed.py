"""Mixed precision: float32 weights, passes in bfloat16, the same in sampling and learning."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from test_packed_update import KINDS, gradient, policy

from packed_rows import forest, row
from treeroll.learner.attention import attending
from treeroll.learner.mixed import compute_in_bfloat16
from treeroll.learner.packed import packed_logprobs, refusal
from treeroll.learner.policy import load_policy
from treeroll.learner.update import Learner
from treeroll.packing.packed import pack, trim
from treeroll.samplers.base import TurnRequest
from treeroll.samplers.local import LocalSampler

IDS = torch.arange(1, 9)[None]


def mixed(kind="llama", **options):
    it = policy(kind, **options)
    compute_in_bfloat16(it.model)
    it.mixed = True
    return it


def gap(one, two):
    return (one - two).abs().max().item()


@pytest.mark.parametrize("kind", KINDS)
def test_layers_compute_in_bfloat16_and_all_else_is_float32(kind):
    it, seen = mixed(kind), []
    it.model.model.layers[0].mlp.register_forward_hook(lambda module, given, made: seen.append(made.dtype))
    batch = pack(trim(forest("forest", 7, 40)))
    with torch.no_grad():
        exact, _ = policy(kind).logprobs(batch.rows, 1.0)
        rows, _ = it.logprobs(batch.rows, 1.0)
        with attending(it.model):
            packed, _ = packed_logprobs(it, batch, 1.0)
    assert seen == [torch.bfloat16] * 2
    assert rows.dtype == packed.dtype == torch.float32
    assert 1e-4 < gap(rows, exact) < 0.1
    assert gap(packed, rows) < 2 * gap(rows, exact)
    assert {weight.dtype for weight in it.trainable()} == {torch.float32}
    assert refusal(it) is None


def test_the_head_is_not_rounded():
    """A head in bfloat16 would make log-probabilities that are multiples of some 1/128."""
    it = mixed()
    hidden = it.model.model(input_ids=IDS).last_hidden_state
    assert hidden.dtype == torch.float32
    assert torch.equal(it.model(IDS).logits, hidden @ it.model.lm_head.weight.T)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_float32_and_near_the_exact_ones(kind):
    rows = forest("forest", 3, 40)
    exact, _ = gradient(policy(kind), rows, "never", loss="reinforce")  # no bound that rounding could cross
    again = mixed(kind)
    again.compute_again()
    for it, packed in ((mixed(kind), "always"), (mixed(kind), "never"), (again, "always")):
        found, _ = gradient(it, rows, packed, loss="reinforce")
        assert {one.dtype for one in found.values()} == {torch.float32}
        flat, true = (torch.cat([one.flatten() for one in both.values()]) for both in (found, exact))
        assert 1e-6 < (flat - true).norm() / true.norm() < 0.05


def test_small_steps_are_kept():
    """AdamW's first step moves a weight by the step size: 1e-6, which a bfloat16 weight of 0.3 cannot take."""
    moved = {}
    for name, it in {"mixed": mixed(), "bfloat16": policy()}.items():
        if name == "bfloat16":
            it.model.bfloat16()
        before = it.model.model.layers[0].mlp.up_proj.weight.detach().clone()
        Learner(it, learning_rate=1e-6).update([row([1, 2], [3, 4, 5])], 3)
        moved[name] = (it.model.model.layers[0].mlp.up_proj.weight != before).float().mean().item()
    assert moved["mixed"] > 0.9
    assert moved["bfloat16"] < 0.1


def test_the_sampler_computes_as_the_update_does():
    """Not to the bit, since what is summed together differs; nearer than a float32 policy would be."""
    it = mixed()
    sampler = LocalSampler(it.model, stop_ids=frozenset([3]), context=128)
    prompts = [np.arange(1, 7 + place, dtype=np.int32) for place in range(8)]
    turns = sampler.sample(
        [TurnRequest(one, np.empty(0, np.int32), 12, place) for place, one in enumerate(sampler.plant(prompts))]
    )
    rows = [row(prompt, turn.token_ids) for prompt, turn in zip(prompts, turns, strict=True)]
    sampled = torch.from_numpy(np.concatenate([turn.logprobs for turn in turns]))
    with torch.no_grad():
        found, _ = it.logprobs(rows, 1.0)
        exact, _ = policy().logprobs(rows, 1.0)
    assert gap(found, sampled) < 0.1
    assert (found - sampled).abs().mean() < 0.02
    assert (exact - sampled).abs().mean() > 1e-3


def test_it_is_loaded_by_name_and_copied_whole():
    it = load_policy("tiny", device="cpu", dtype="mixed")
    assert it.mixed
    assert it.rounds
    assert it.model.dtype == torch.float32
    copied = deepcopy(it.model)
    with torch.no_grad():
        for weight in it.model.parameters():
            weight.zero_()
        assert copied(IDS).logits.abs().max() > 1
    assert not load_policy("tiny", device="cpu").rounds
