"""The update against autograd on whole rollouts, and what happens when numbers break."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from treeroll.errors import ConfigError, TrainingError
from treeroll.learner.compute import micro_batches
from treeroll.learner.policy import Policy
from treeroll.learner.update import Learner, deal
from treeroll.packing import TreeRow


def policy(seed=0):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=30, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False,
    )  # fmt: skip
    return Policy(LlamaForCausalLM(config), None, "test")


def row(prompt, completion, mask, advantage, behaviour=None):
    mask = np.asarray(mask, bool)
    behaviour = np.zeros(len(mask), np.float32) if behaviour is None else np.asarray(behaviour, np.float32)
    return TreeRow(
        np.asarray(prompt, np.int32), np.asarray(completion, np.int32), mask, behaviour,
        np.where(mask, advantage, 0).astype(np.float32), "t", 0,
    )  # fmt: skip


FIELDS = [field.name for field in fields(TreeRow)]
ROWS = [
    row([1, 2], [3, 4, 5, 6], [1, 1, 0, 1], 1.0),
    row([1, 2, 7], [8, 9], [1, 0], -0.5),
    row([2], [3, 3, 3, 3, 3, 3], [1, 1, 0, 0, 1, 1], 0.25),
]


def test_logprobs_pick_exactly_the_masked_tokens():
    it = policy()
    logprobs, entropy = it.logprobs(ROWS, temperature=0.8)
    expected = []
    for one in ROWS:
        ids = torch.from_numpy(np.concatenate([one.prompt_ids, one.completion_ids]).astype(np.int64))
        table = torch.log_softmax(it.model(ids[None]).logits[0] / 0.8, -1)
        start = len(one.prompt_ids)
        expected += [table[start + place - 1, ids[start + place]].item() for place in np.flatnonzero(one.loss_mask)]
    np.testing.assert_allclose(logprobs.detach().numpy(), expected, atol=1e-6)
    assert len(entropy) == len(expected)


@pytest.mark.parametrize(
    ("loss", "ratio", "micro_tokens"),
    [
        ("clip", "token", 1), ("clip", "token", 12), ("clip", "token", 1000), ("clip", "turn", 12),
        ("clip", "sequence", 12), ("cispo", "token", 12), ("reinforce", "token", 12),
    ],
)  # fmt: skip
def test_the_first_gradient_is_the_policy_gradient_whatever_the_loss_and_the_micro_batches(loss, ratio, micro_tokens):
    it = policy()
    with torch.no_grad():
        behaviour, _ = it.logprobs(ROWS, 1.0)
    rows, start = [], 0
    for one in ROWS:
        values = np.zeros(len(one.loss_mask), np.float32)
        count = int(one.loss_mask.sum())
        values[one.loss_mask] = behaviour[start : start + count]
        rows.append(row(one.prompt_ids, one.completion_ids, one.loss_mask, one.advantages.sum() / count, values))
        start += count
    logprobs, _ = it.logprobs(rows, 1.0)
    advantages = torch.from_numpy(np.concatenate([one.advantages[one.loss_mask] for one in rows]))
    (-(logprobs * advantages).sum() / 10).backward()
    expected = [parameter.grad.clone() for parameter in it.model.parameters()]
    learner = Learner(it, learning_rate=1e-3, loss=loss, ratio=ratio, gradient_clip=1e9, micro_tokens=micro_tokens)
    stats = learner.update(rows, 10)
    for parameter, gradient in zip(it.model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)
    assert (stats.tokens, stats.clip_share) == (8, 0.0)
    assert abs(stats.kl) < 1e-6
    assert it.version == 1


def test_a_positive_advantage_becomes_likelier():
    it = policy()
    one = [row([1, 2], [3, 4], [1, 1], 1.0)]
    with torch.no_grad():
        before, _ = it.logprobs(one, 1.0)
    fixed = [row([1, 2], [3, 4], [1, 1], 1.0, before.numpy())]
    Learner(it, learning_rate=1e-2).update(fixed, 2)
    with torch.no_grad():
        after, _ = it.logprobs(one, 1.0)
    assert (after > before).all()


def test_nan_is_an_error_and_the_weights_stay():
    it = policy()
    before = [parameter.clone() for parameter in it.model.parameters()]
    broken = [row([1, 2], [3, 4], [1, 1], float("nan"))]
    with pytest.raises(TrainingError, match=r"loss is nan at policy version 0.*learning_rate"):
        Learner(it, learning_rate=1e-3).update(broken, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, it.model.parameters(), strict=True))


def test_nothing_to_learn_is_an_update_all_the_same():
    it = policy()
    assert Learner(it, learning_rate=1e-3).update([], 5).tokens == 0
    assert it.version == 1


def test_losses_differ_once_the_policy_has_moved():
    """Behaviour log-probabilities of 0 stand for a policy that has moved away: every ratio is below its lower bound."""

    def weights(**options):
        it = policy()
        Learner(it, learning_rate=1e-2, **options).update(ROWS, 10)
        return torch.cat([parameter.detach().flatten() for parameter in it.model.parameters()])

    found = [
        weights(loss="clip"), weights(loss="clip", ratio="turn"), weights(loss="clip", ratio="sequence"),
        weights(loss="cispo"), weights(loss="reinforce"),
    ]  # fmt: skip
    assert not any(torch.equal(one, other) for place, one in enumerate(found) for other in found[:place])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"loss": "cipso"}, "unknown loss 'cipso'. Did you mean 'cispo'"), ({"ratio": "row"}, "unknown ratio 'row'")],
)
def test_an_unknown_loss_is_an_error(options, message):
    with pytest.raises(ConfigError, match=message):
        Learner(policy(), learning_rate=1e-3, **options)


def test_top_layers_only():
    it = policy()
    it.train_top_layers(1)
    trained = [name for name, parameter in it.model.named_parameters() if parameter.requires_grad]
    assert all(name.startswith(("model.layers.2", "model.norm", "lm_head")) for name in trained)
    with pytest.raises(ConfigError, match="has 3 layers"):
        it.train_top_layers(4)


def test_micro_batches_hold_every_row_once_longest_first():
    batches = list(micro_batches(ROWS, 12))
    assert sorted(id(one) for batch in batches for one in batch) == sorted(map(id, ROWS))
    lengths = [len(one.prompt_ids) + len(one.completion_ids) for batch in batches for one in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert all(
        len(batch) * max(len(one.prompt_ids) + len(one.completion_ids) for one in batch) <= 12 for batch in batches
    )


def step_sizes(learner, versions, rows=None):
    """Returns the step size of the last optimizer step of each update."""
    found = []
    for version in versions:
        assert learner.policy.version == version
        learner.update(ROWS if rows is None else rows, 10)
        found.append(learner.optimizer.param_groups[0]["lr"])
    return found


def test_the_step_size_rises_and_falls():
    """Up by a quarter an optimizer step, times what is left of the run: 1/4 x 10/10, 2/4 x 9/10, 3/4 x 8/10, ..."""
    learner = Learner(policy(), learning_rate=0.01, steps=10, rise=4)
    by_hand = [0.0025, 0.0045, 0.006, 0.007, 0.006, 0.005, 0.004, 0.003, 0.002, 0.001]
    assert step_sizes(learner, range(10)) == pytest.approx(by_hand, rel=1e-12)


def test_after_the_run_the_step_size_is_nothing_and_the_weights_stay():
    learner = Learner(policy(), learning_rate=0.01, steps=2, rise=1, weight_decay=0.1)
    assert step_sizes(learner, range(2)) == pytest.approx([0.01, 0.005])
    before = [parameter.clone() for parameter in learner.policy.model.parameters()]
    assert step_sizes(learner, range(2, 4)) == [0.0, 0.0]
    assert all(torch.equal(a, b) for a, b in zip(before, learner.policy.model.parameters(), strict=True))


def test_a_step_size_that_stays():
    assert step_sizes(Learner(policy(), learning_rate=0.01), range(3)) == [0.01] * 3
    risen = step_sizes(Learner(policy(), learning_rate=0.01, rise=4), range(6))
    assert risen == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01])


def test_the_rise_counts_optimizer_steps_and_the_fall_counts_updates():
    """Two optimizer steps an update; the second is the one that is seen: 2/4 x 5/5, 4/4 x 4/5, 1 x 3/5."""
    rows = [
        TreeRow(*[getattr(one, name) for name in FIELDS[:5]], group, 0) for one, group in zip(ROWS, "aba", strict=True)
    ]
    learner = Learner(policy(), learning_rate=0.01, steps=5, rise=4, updates=2)
    assert step_sizes(learner, range(3), rows) == pytest.approx([0.005, 0.008, 0.006])


def test_an_update_with_nothing_to_learn_is_no_part_of_the_rise():
    learner = Learner(policy(), learning_rate=0.01, steps=10, rise=4)
    learner.update([], 10)
    assert step_sizes(learner, range(1, 3)) == pytest.approx([0.01 * 1 / 4 * 0.9, 0.01 * 2 / 4 * 0.8])


def test_a_resumed_optimizer_goes_on_with_its_step_sizes():
    """A new learner with the optimizer's state and the policy's version, as `build` makes it from a checkpoint."""
    first = Learner(policy(), learning_rate=0.01, steps=10, rise=4)
    step_sizes(first, range(2))
    second = Learner(policy(), learning_rate=0.01, steps=10, rise=4)
    second.policy.version = 2
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert step_sizes(second, range(2, 5)) == pytest.approx([0.006, 0.007, 0.006])


def test_tasks_are_dealt_out_among_the_updates():
    rows = [
        TreeRow(*[getattr(one, name) for name in FIELDS[:5]], group, 0) for one, group in zip(ROWS, "aba", strict=True)
    ]
    parts = deal(rows, 2)
    assert [[row.group_id for row in part] for part in parts] == [["a", "a"], ["b"]]
    assert len(deal(rows, 5)) == 2
    assert deal([], 3) == []
    it = policy()
    assert Learner(it, learning_rate=1e-3, updates=2).update(rows, 8).tokens == 8
    assert it.version == 1


def test_a_second_part_that_breaks_takes_the_first_one_back():
    it = policy()
    before = [parameter.clone() for parameter in it.model.parameters()]
    good = TreeRow(*[getattr(ROWS[0], name) for name in FIELDS[:5]], "a", 0)
    bad = row([1, 2], [3, 4], [1, 1], float("nan"))
    learner = Learner(it, learning_rate=1e-2, updates=2)
    with pytest.raises(TrainingError):
        learner.update([good, bad], 4)
    assert all(torch.equal(a, b) for a, b in zip(before, it.model.parameters(), strict=True))
    assert not learner.optimizer.state
