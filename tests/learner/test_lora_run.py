"""`learner.lora` in whole runs: its step size, its checkpoints, and what cannot be."""

import json

import pytest
from safetensors.torch import load_file

import tiny
from treeroll import cli, preflight
from treeroll.build import build
from treeroll.config import Config
from treeroll.errors import MissingExtraError


@pytest.mark.parametrize(
    ("words", "rate"),
    [
        ([], 1.5e-3), (["learner.lora=8"], 1.5e-2), (["model=some/model"], 1e-6), (["learner.lora=none"], 1.5e-3),
        (["model=some/model", "learner.lora=8"], 1e-5), (["learner.lora=8", "learner.learning_rate=2e-4"], 2e-4),
    ],
)  # fmt: skip
def test_the_step_size_of_adapters_is_ten_times_that_of_the_model(words, rate):
    config = Config.resolve(words)
    assert config.learner.learning_rate == rate
    assert Config.resolve(base=config.to_dict()) == config


def test_a_rank_below_one_is_an_error(capsys):
    assert cli.main(["train", "learner.lora=0"]) == 2
    assert "learner.lora=0: must be 1 or more" in capsys.readouterr().err


def test_without_peft_the_install_command_is_said_at_once(monkeypatch):
    def gone(name, extra):
        raise MissingExtraError(f"pip install 'treeroll[{extra}]'")

    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    monkeypatch.setattr(preflight, "require", gone)
    config = Config.resolve(["learner.lora=8", "out=/nowhere"])
    with pytest.raises(MissingExtraError, match=r"treeroll\[lora\]"):
        preflight.check(config)


def test_only_the_adapters_of_a_run_learn(small):
    policy = build(Config.resolve(small(learner__lora=2, dtype="mixed")[1:])).policy
    assert all(".lora_" in name for name, one in policy.model.named_parameters() if one.requires_grad)
    assert policy.mixed


def test_a_run_resumes_exactly_and_its_result_is_a_model(small, tmp_path, capsys):
    """4 steps at once against 2 and 2; then the merged model is another run's start."""
    options = {"learner__lora": 2, "learner__schedule": "constant", "learner__train_layers": 1}
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    tiny.printed(small(out=whole, steps=4, **options))
    tiny.printed(small(out=halves, steps=2, **options))
    tiny.printed(["train", "--resume", str(halves), "steps=4"])
    names = ("adapter/adapter_model.safetensors", "model/model.safetensors")
    for name in names:
        one, other = (load_file(path / "checkpoints" / "step-0004" / name) for path in (whole, halves))
        assert one.keys() == other.keys()
        assert all(one[key].equal(other[key]) for key in one)
    records = [
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path in (whole, halves)
    ]
    assert [one["update"] for one in records[0][1:]] == [one["update"] for one in records[1][1:]]
    assert records[0][-1]["update"]["grad_norm"] > 0
    model = whole / "checkpoints" / "step-0004" / "model"
    tiny.printed(small(out=tmp_path / "next", steps=1, model=model))
    assert cli.main(["train", "--resume", str(halves), "learner.lora=3"]) == 2
    assert "this cannot change: learner.lora=3 (was 2)" in capsys.readouterr().err
