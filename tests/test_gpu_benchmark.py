"""The GPU benchmark from end to end on CPU, as small as it gets; without a GPU it says so."""

import json
import sys

import pytest
import torch

import gpu


def test_it_writes_what_it_measures(monkeypatch, tmp_path, capsys):
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(gpu, "SETTINGS", {"mixed": ["dtype=mixed"]})
    monkeypatch.setattr(gpu, "REPEATS", 1)
    monkeypatch.setattr(gpu, "VLLM", {})
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--small", "--out", str(out)])
    assert gpu.main() == 0
    found = json.loads(out.read_text())
    (load,) = found["updates"]
    assert load["sharing"] > 1.5
    assert load["arms"]["rows"]["gradient_off"] == 0
    assert 0 < load["arms"]["blocks"]["gradient_off"] < 0.05
    assert 0 < found["exact"]["blocks"] < 1e-5
    told = found["steps"]["mixed"]
    assert all(0 < told[when][f"{way}_mean"] < 1e-2 for when in ("before", "after") for way in ("rows", "packed"))
    assert "| 40 + 4 x 12 | " in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one here")
def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    assert gpu.main() == 1
    assert "there is no CUDA device here" in capsys.readouterr().err


def test_an_arm_attends_as_it_says():
    from treeroll.learner import packed

    with gpu.attending_by("blocks"):
        assert packed.tree_of is gpu.tree_blocks
    assert packed.tree_of is gpu.tree_of
