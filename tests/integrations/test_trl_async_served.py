"""The worker and a vLLM server, over HTTP; the server is `fake_vllm`, which samples with the packaged model."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trl_async_runs
import trl_runs

import fake_vllm
from treeroll.errors import SamplerError
from treeroll.integrations.trl import TreeOptions
from treeroll.integrations.trl.asynchronous.served import ServedSampler
from treeroll.samplers.base import Prefix, TurnRequest
from treeroll.samplers.vllm.terms import Terms

pytestmark = pytest.mark.filterwarnings(trl_runs.OLD_NAMES)

BETA = TreeOptions(method="trace", rounds={"group": 2}, predictor="beta")


class Served(trl_async_runs.Served):
    """The copy of the model, as the server samples with it."""

    @property
    def size(self):
        return self.model.config.vocab_size

    def weights(self):
        return self.model.named_parameters()

    @torch.inference_mode()
    def scores(self, ids):
        with self.lock:
            return self.model(input_ids=torch.tensor([ids])).logits[0]


@pytest.fixture
def small():
    """A server with a table for a model."""
    with fake_vllm.running(fake_vllm.Table()) as (fake, url):
        yield fake, url


def sampler(url, temperature=1.0, **named):
    options = {"batch": 8, "patience": 5.0, **named}
    return ServedSampler(url, Terms(frozenset([1]), temperature, vocabulary=12, context=99), **options)


def turn(sampler, version):
    sampler.version = version
    return sampler.sample([TurnRequest(Prefix(np.array([2, 3], np.int32)), np.array([4], np.int32), 5, 7)])[0]


def test_training_against_a_server(tmp_path, monkeypatch):
    """Two updates: the server has the new weights after each, and ratios say that its log-probabilities are right."""
    trl_async_runs.without_cuda(monkeypatch)
    served = Served()
    with fake_vllm.running(served) as (fake, url):
        fake.names = [{"id": "tiny", "max_model_len": 200}]
        args = trl_async_runs.settings(
            tmp_path, vllm_server_base_url=url, token_budget=-1, per_device_train_batch_size=3, num_generations=2,
            max_tool_calling_iterations=1,
        )  # fmt: skip
        worker = trl_async_runs.worker(args, None, tree=BETA, rollouts=6)
        trainer = trl_async_runs.trainer(args, worker, served)
        trainer.train()
        asked = fake.paths("/v1/completions")
    logs = trainer.state.log_history[:2]
    assert logs[0]["ratio"] == pytest.approx(1, abs=1e-4)
    assert logs[0]["kl"] < 1e-6
    assert served.syncs == 3
    assert trl_runs.farthest(trl_runs.weights(served.model), trl_runs.weights(trainer.model)) == 0
    assert {body["cache_salt"] for body in asked} >= {"treeroll-trl-1"}
    (leaf, *_), tree = worker.generation.forest[0].leaves, worker.generation.forest[0]
    path = tree.token_ids(leaf)
    last = max((body["prompt"] for body in asked if body["prompt"] == path[: len(body["prompt"])].tolist()), key=len)
    assert len(last) == len(tree.token_ids(tree.nodes[leaf].parent))  # the history, as it stands in the tree
    assert {path for path, _ in fake.asked} == {"/v1/models", "/v1/completions"}  # the weights are not ours to touch


def test_a_turn_has_the_version_of_the_weights_that_began_it(small):
    fake, url = small
    made = sampler(url)
    assert made.context == 64  # the server's
    assert made.plant([np.array([2], np.int32)])[0].hidden is None
    assert [turn(made, version).version for version in (3, 4)] == [3, 4]
    assert [body["cache_salt"] for body in fake.paths("/v1/completions")] == ["treeroll-trl-3", "treeroll-trl-4"]
    made.update(fake.model, 9)
    assert made.version == 9


def test_a_published_adapter_is_asked_for_by_the_name_of_its_version(small, tmp_path):
    """TRL writes an adapter before it moves the version; without any, the base model holds the merged weights."""
    fake, url = small
    made = sampler(url, adapters=Path(tmp_path))
    assert turn(made, 1).version == 1
    (tmp_path / "trl-policy-v2").mkdir()
    turn(made, 2)
    turn(sampler(url), 2)
    assert [body["model"] for body in fake.paths("/v1/completions")] == ["it", "trl-policy-v2", "it"]


def test_log_probabilities_of_another_temperature_are_refused(small):
    fake, url = small
    sampler(url, temperature=0.7)
    fake.raw = True
    sampler(url)  # at temperature 1 they are the same
    with pytest.raises(SamplerError, match=r"at temperature 1, but samples at 0\.7\. Start it with --logprobs-mode"):
        sampler(url, temperature=0.7)


def test_no_server():
    with pytest.raises(SamplerError, match="cannot be reached"):
        sampler("http://127.0.0.1:9", patience=0.1)
