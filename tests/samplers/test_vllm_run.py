"""A whole run that samples from a server, which plays vLLM with the run's own model."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import tiny
from fake_vllm import running
from treeroll import cli
from treeroll.build import build
from treeroll.config import Config
from treeroll.tree import Anchor


class Model:
    """A causal LM as the fake server's model."""

    def __init__(self, folder):
        self.lm = AutoModelForCausalLM.from_pretrained(folder)
        self.size = self.lm.config.vocab_size

    def weights(self):
        yield from self.lm.state_dict().items()

    def load(self, weights):
        self.lm.load_state_dict(weights, strict=False)

    @torch.no_grad()
    def scores(self, ids):
        return self.lm(input_ids=torch.tensor([ids])).logits[0]


@pytest.fixture
def server(model):
    with running(Model(model)) as (fake, url):
        fake.names[0]["max_model_len"] = 256
        yield fake, url


def test_a_run_trains_on_what_a_server_samples(server, small, tmp_path):
    fake, url = server
    out = tmp_path / "run"
    tiny.printed(small(out=out, steps=2, sampling__backend=url, budget__rollouts=16, budget__pool=4))
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["policy_version"] for record in records] == [0, 1, 2]
    assert 16 < records[-1]["spent"]["rollouts"] <= 32
    saved = load_file(out / "checkpoints" / "step-0002" / "model" / "model.safetensors")
    for name, weight in fake.model.weights():
        if name in saved:
            np.testing.assert_array_equal(weight, saved[name])
    assert fake.mark.endswith("-2")
    spent = records[-1]["spent"]
    prompts = [body["prompt"] for body in fake.paths("/v1/completions") if "seed" in body]
    assert 0 < spent["computed_tokens"] < sum(map(len, prompts))


def test_a_server_that_dies_ends_the_run_and_nothing_learned_is_lost(server, small, tmp_path, capsys):
    fake, url = server
    out = tmp_path / "run"
    words = small(out=out, steps=3, sampling__backend=url, sampling__patience=5.0, budget__rollouts=16)
    reply = fake.reply

    def dying(path, body):
        if fake.mark.endswith("-1") and path == "/v1/completions" and "seed" in body:
            fake.faults.extend(["drop"] * 10_000)
        return reply(path, body)

    fake.reply = dying
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert f"the vLLM server at {url} cannot be reached" in error
    assert f"Kept: 1 step in {out}" in error
    assert f"treeroll train --resume {out}" in error
    fake.reply = reply
    fake.faults.clear()
    fake.restart()
    tiny.printed(["train", "--resume", str(out)])
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [0, 1, 2, 3]
    assert 32 < records[-1]["spent"]["rollouts"] <= 48 + 16  # what the step that broke had begun stays charged


def test_no_server_is_an_error_before_anything_is_written(small, tmp_path, capsys):
    assert cli.main(small(out=tmp_path / "run", sampling__backend="http://127.0.0.1:9")) == 2
    assert "the vLLM server at http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_vllm_that_is_not_installed_is_named(small, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("treeroll.preflight.find_spec", lambda name: None)
    assert cli.main(small(out=tmp_path / "run", sampling__backend="vllm")) == 2
    assert "sampling.backend=vllm needs vLLM in this environment" in capsys.readouterr().err


def test_a_backend_that_there_is_not(small, capsys):
    assert cli.main(small(sampling__backend="vlm")) == 2
    assert "unknown sampling.backend 'vlm'. Did you mean 'vllm'? Or give the address" in capsys.readouterr().err


def test_the_predictor_reads_states_that_the_learner_computes(server, small):
    parts = build(Config.resolve(small(sampling__backend=server[1])[1:]))
    (grown,) = parts.engine.plant(parts.world.train[:1], step=1)
    assert grown.nodes[0].hidden is None
    encoder = parts.predictor._root.features.encoder
    assert np.isfinite(encoder.encode([Anchor(grown)])).all()
