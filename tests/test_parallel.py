"""Two processes train as one: the same trees, the same budget, the same weights; one that is lost loses nothing."""

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tiny
from packed_rows import forest, row
from processes import together
from treeroll import run
from treeroll.build import build
from treeroll.config import Config
from treeroll.errors import ConfigError, TrainingError
from treeroll.learner.update import Learner
from treeroll.metrics import TIMES
from treeroll.ranks import Ranks
from treeroll.sinks import trees_file
from treeroll.treefile import load_trees
from treeroll.warmup import build as words

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def learner(ranks=None, **options):
    torch.manual_seed(0)
    policy = words([f"w{number}" for number in range(38)])
    return Learner(policy, learning_rate=1e-2, gradient_clip=1e9, ranks=ranks, loss="cispo", **options)


def flat(it, *, gradient=False):
    found = [weight.grad if gradient else weight.detach() for weight in it.policy.trainable()]
    return torch.cat([one.flatten() for one in found]).numpy()


@pytest.mark.parametrize(
    "options", [{}, {"packed": "always"}, {"packed": "never", "micro_tokens": 20}, {"updates": 3}], ids=str
)
def test_an_update_by_two_is_that_of_one(tmp_path, options):
    rows = forest("forest", 2, 39)

    def work(ranks):
        it = learner(ranks, **options)
        share = len(it._share(rows))
        stats = it.update(rows, 10)
        gradient = flat(it, gradient=True)
        it.update(rows, 10)
        return share, stats, gradient, flat(it)

    alone = learner(**options)
    stats = alone.update(rows, 10)
    exact = flat(alone, gradient=True)
    (share, one, gradient, end), (other_share, other, _, other_end) = together(tmp_path / "said", work)
    assert share > 0 < other_share
    assert np.linalg.norm(gradient - exact) < 1e-5 * np.linalg.norm(exact)
    np.testing.assert_array_equal(end, other_end)
    assert one == other
    assert one.tokens == stats.tokens
    assert (one.loss, one.grad_norm) == pytest.approx((stats.loss, stats.grad_norm), rel=1e-5)


def test_one_row_is_enough_for_two(tmp_path):
    """The process that has nothing to compute ends with the same weights."""

    def work(ranks):
        it = learner(ranks)
        it.update([row([1, 2], [3, 4, 5])], 3)
        return flat(it)

    alone = learner()
    alone.update([row([1, 2], [3, 4, 5])], 3)
    for found in together(tmp_path / "said", work):
        np.testing.assert_array_equal(found, flat(alone))


def test_a_broken_share_breaks_the_update_everywhere(tmp_path):
    def work(ranks):
        it = learner(ranks)
        before = flat(it)
        bad = row([5, 6], [7, 8], float("nan"))
        with pytest.raises(TrainingError, match="loss is nan at policy version 0"):
            it.update([row([1, 2], [3, 4]), bad], 2)
        return np.array_equal(before, flat(it)), it.policy.version

    assert together(tmp_path / "said", work) == [(True, 0)] * 2


# Whole runs ----------------------------------------------------------------------------------------------------------


def records(path):
    found = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    for record in found:
        for times in TIMES:
            record.pop(times, None)
        record["spent"].pop("computed_tokens")
    return found


def weights(path):
    newest = max((path / "checkpoints").iterdir())
    found = load_file(newest / "model" / "model.safetensors")
    return np.concatenate([found[name].numpy().ravel() for name in sorted(found)])


def assert_near(one, other):
    """Where a gradient is next to nothing, AdamW makes a step of its rounding; so single weights may differ more."""
    gap = np.abs(one - other)
    assert gap.mean() < 1e-6
    assert gap.max() < 1e-4


def same(one, other):
    """Equal but for rounding."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            same(*pair)
    else:
        assert one == (pytest.approx(other, rel=1e-3, abs=1e-4) if isinstance(one, float) else other)


@pytest.mark.parametrize("changed", [{}, {"budget__scope": "pool", "learner__lora": 2}], ids=str)
def test_a_run_of_two_is_that_of_one(small, tmp_path, changed):
    """Rounds of single tasks; then rounds of the whole pool, and adapters."""
    options = {"steps": 2, "learner__schedule": "constant", **changed}
    tiny.printed(small(out=tmp_path / "one", **options))

    def work(ranks):
        config = Config.resolve(small(out=tmp_path / "two", **options)[1:])
        run.train(config, ranks)

    assert together(tmp_path / "said", work) == [None, None]
    one, two = (records(tmp_path / name) for name in ("one", "two"))
    assert [record["spent"]["rollouts"] for record in two] == [record["spent"]["rollouts"] for record in one]
    assert two[-1]["update"]["grad_norm"] > 0
    if changed:  # else tasks share what is no whole number of continuations with those of their own process
        for pair in zip(one, two, strict=True):
            same(*pair)
        assert_near(weights(tmp_path / "two"), weights(tmp_path / "one"))
        trees = [load_trees(trees_file(tmp_path / name, 1)) for name in ("one", "two")]
        assert [[node.text for node in tree.nodes] for tree in trees[0]] == [
            [node.text for node in tree.nodes] for tree in trees[1]
        ]


def test_a_lost_process_stops_the_others_and_loses_nothing(small, tmp_path):
    out = tmp_path / "lost"
    options = {"steps": 3, "learner__schedule": "constant", "method": "grpo", "checkpoint_every": 10}

    def work(ranks):
        update = Learner.update

        def dies(self, *given):
            if ranks.number == 1 and self.policy.version == 1:
                os._exit(9)
            return update(self, *given)

        Learner.update = dies
        run.train(Config.resolve(small(out=out, **options)[1:]), ranks)

    error, gone = together(tmp_path / "said", work)
    assert gone is None
    assert isinstance(error, TrainingError)
    assert "another process of this run has ended" in str(error)
    assert f"Kept: 1 step in {out}. Go on with: treeroll train --resume {out}" in str(error)
    assert [folder.name for folder in (out / "checkpoints").iterdir()] == ["step-0001"]

    def again(ranks):
        run.resume(out, Config.resolve(base=json.loads((out / "config.json").read_text())), ranks)

    assert together(tmp_path / "again", again) == [None, None]
    tiny.printed(small(out=tmp_path / "whole", **options))
    for one, other in zip(records(out), records(tmp_path / "whole"), strict=True):
        lost = 32 if one["step"] > 1 else 0  # what was sampled for the step that was lost stays charged
        assert one.pop("spent")["rollouts"] == other.pop("spent")["rollouts"] + lost
        same(one, other)
    assert_near(weights(out), weights(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sampling__staleness": 1}, r"sampling.staleness=1 with 2 processes: .* Use sampling.staleness=0"),
        ({"device": "cuda:1"}, r"device=cuda:1 with 2 processes: the launcher gives each a GPU of its own"),
    ],
)
def test_what_several_processes_cannot_do(small, changed, message):
    with pytest.raises(ConfigError, match=message):
        build(Config.resolve(small(**changed)[1:]), ranks=Ranks(0, 2))
