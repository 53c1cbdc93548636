"""The local sampler against plain full forward passes of the same model."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from treeroll.errors import SamplerError
from treeroll.samplers import local
from treeroll.samplers.base import Prefix, TurnRequest
from treeroll.samplers.local import LocalSampler

SIZE = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
NONE = np.empty(0, np.int32)


def llama():
    torch.manual_seed(0)
    config = LlamaConfig(**SIZE, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128)
    return LlamaForCausalLM(config)


def qwen():
    torch.manual_seed(0)
    config = Qwen3Config(**SIZE, num_attention_heads=4, num_key_value_heads=2, head_dim=16, max_position_embeddings=128)
    return Qwen3ForCausalLM(config)


def sampler(model=None, **options):
    options = {"stop_ids": frozenset([3, 4, 5]), "context": 128} | options
    return LocalSampler(model or llama(), **options)


def ids(*values):
    return np.asarray(values, np.int32)


def full_logprobs(model, history, said, temperature=1.0):
    tokens = torch.from_numpy(np.concatenate([history, said]).astype(np.int64))[None]
    with torch.no_grad():
        logprobs = torch.log_softmax(model(tokens).logits[0].float() / temperature, -1)
    places = range(len(history) - 1, len(history) + len(said) - 1)
    return np.asarray([float(logprobs[place, token]) for place, token in zip(places, said, strict=True)])


@pytest.mark.parametrize("model", [llama(), qwen()], ids=["llama", "qwen3"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_are_those_of_a_full_forward_pass_over_turns_and_forks(model, temperature):
    it = sampler(model, temperature=temperature)
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, 40, size).astype(np.int32) for size in (5, 9, 7)]
    prefixes = it.plant(prompts)
    requests = [TurnRequest(prefix, NONE, 6, seed) for seed, prefix in enumerate(prefixes)]
    requests.append(TurnRequest(prefixes[1], NONE, 4, 99))  # a second rollout from the same prompt
    for depth in range(3):
        turns = it.sample(requests)
        following = []
        for request, turn in zip(requests, turns, strict=True):
            history = np.concatenate([request.prefix.token_ids, request.token_ids])
            np.testing.assert_array_equal(turn.prefix.token_ids, history)
            np.testing.assert_allclose(
                turn.logprobs, full_logprobs(model, history, turn.token_ids, temperature), atol=1e-5
            )
            whole = np.concatenate([history, turn.token_ids, rng.integers(0, 40, depth + 1).astype(np.int32)])
            following.append(TurnRequest(turn.ahead, whole[len(turn.ahead.token_ids) :], 6, request.seed + 10))
        following.append(TurnRequest(turns[0].prefix, NONE, 6, 1234 + depth))  # a fork at the first turn's start
        requests = following


def test_hidden_state_at_a_fork_equals_a_fresh_prefill():
    it = sampler()
    (prefix,) = it.plant([ids(7, 8, 9, 10, 11)])
    (turn,) = it.sample([TurnRequest(prefix, NONE, 5, 0)])
    said = turn.token_ids
    (later,) = it.sample([TurnRequest(turn.ahead, np.concatenate([said[-1:], ids(20, 21)]), 5, 1)])
    (fresh,) = it.plant([later.prefix.token_ids])
    np.testing.assert_allclose(later.prefix.hidden, fresh.hidden, atol=1e-5)
    assert later.computed_tokens == 3


def test_prompts_that_start_alike_are_computed_once_and_right():
    it = sampler()
    common = np.arange(20).astype(np.int32)
    prompts = [np.concatenate([common, ids(30)]), np.concatenate([common, ids(31, 32)])]
    together = it.plant(prompts)
    assert together[0].kept.before is together[1].kept.before
    for prompt, prefix in zip(prompts, together, strict=True):
        (alone,) = it.plant([prompt])
        np.testing.assert_allclose(prefix.hidden, alone.hidden, atol=1e-5)


def test_equal_seeds_sample_equal_turns_and_other_seeds_others():
    it = sampler(stop_ids=frozenset())
    (prefix,) = it.plant([ids(7, 8, 9)])
    one, same, other = it.sample([TurnRequest(prefix, NONE, 8, seed) for seed in (5, 5, 6)])
    np.testing.assert_array_equal(one.token_ids, same.token_ids)
    assert one.token_ids.tolist() != other.token_ids.tolist()


def test_draws_follow_the_distribution():
    it = sampler(stop_ids=frozenset())
    (prefix,) = it.plant([ids(7, 8, 9)])
    turns = it.sample([TurnRequest(prefix, NONE, 1, seed) for seed in range(4000)])
    counts = np.bincount([int(turn.token_ids[0]) for turn in turns], minlength=40) / 4000
    expected = np.exp([full_logprobs(it.model, ids(7, 8, 9), ids(token))[0] for token in range(40)])
    standard_errors = np.sqrt(expected * (1 - expected) / 4000)
    assert np.all(np.abs(counts - expected) < 4.5 * standard_errors)


def test_stops_at_stop_tokens_and_at_the_limit():
    it = sampler(stop_ids=frozenset(range(20)))
    (prefix,) = it.plant([ids(7, 8, 9)])
    for turn in it.sample([TurnRequest(prefix, NONE, 4, seed) for seed in range(30)]):
        assert all(token >= 20 for token in turn.token_ids[:-1])
        assert turn.stopped == (turn.token_ids[-1] < 20)
        assert turn.stopped or len(turn.token_ids) == 4


def test_a_history_over_the_context_is_an_error():
    with pytest.raises(SamplerError, match="context of 6"):
        sampler(context=6).sample([TurnRequest(Prefix(NONE), ids(1, 2, 3, 6), 3, 0)])


def test_sliding_window_models_are_refused():
    config = Qwen3Config(
        **SIZE,
        num_attention_heads=4,
        num_key_value_heads=2,
        use_sliding_window=True,
        sliding_window=8,
        max_window_layers=0,
    )
    with pytest.raises(SamplerError, match="full attention"):
        sampler(Qwen3ForCausalLM(config))


def test_a_batch_has_as_many_rows_as_its_memory_allows(monkeypatch):
    it = sampler(stop_ids=frozenset())
    (prefix,) = it.plant([ids(7, 8, 9)])
    requests = [TurnRequest(prefix, NONE, 5, seed) for seed in range(7)]
    together = it.sample(requests)
    monkeypatch.setattr(local, "BATCH_BYTES", 3 * 8 * 2 * 2 * 2 * 8 * 4)  # 3 rows of 8 tokens, 2 layers, 2 heads of 8
    assert it._rows(requests) == 3
    for one, other in zip(together, it.sample(requests), strict=True):
        np.testing.assert_array_equal(one.token_ids, other.token_ids)


def test_planting_charges_a_shared_start_once():
    common = np.arange(20).astype(np.int32)
    prefixes = sampler().plant([np.concatenate([common, ids(30)]), np.concatenate([common, ids(31, 32)])])
    assert [prefix.computed_tokens for prefix in prefixes] == [21, 2]


def test_weights_that_hold_nan_are_named():
    model = llama()
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("nan")
    with pytest.raises(SamplerError, match="not finite"):
        sampler(model)


def test_the_memory_of_a_batch_serves_the_next_and_is_lent_once(monkeypatch):
    it = sampler()
    first = it.borrow(10)
    assert len(first) == 20  # the next batch will want more
    assert it.borrow(10).data_ptr() != first.data_ptr()  # the first is still out
    it.give_back(first)
    again = it.borrow(15)
    assert again.data_ptr() == first.data_ptr()
    it.model.double()
    it.give_back(again)
    assert it.borrow(1).dtype == torch.float64  # the model has changed its format
    monkeypatch.setattr(local, "SCRATCH_BYTES", 4 * 20 - 1)
    it.give_back(again)
    assert it._scratch is None  # too much to be kept


def test_turns_do_not_depend_on_what_was_sampled_before():
    prompts = [ids(7, 8, 9, 10), ids(11, 12)]
    used, fresh = sampler(), sampler()
    used.sample([TurnRequest(Prefix(NONE), ids(*range(6, 36)), 8, seed) for seed in range(5)])
    with torch.inference_mode():
        used._scratch.fill_(float("nan"))  # what the next batch finds in its memory
    told = [it.sample([TurnRequest(prefix, NONE, 6, 1) for prefix in it.plant(prompts)]) for it in (used, fresh)]
    for one, other in zip(*told, strict=True):
        np.testing.assert_array_equal(one.token_ids, other.token_ids)
        np.testing.assert_array_equal(one.logprobs, other.logprobs)
