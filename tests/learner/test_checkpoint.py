"""Checkpoints come back exactly, are written whole or not at all, and the oldest go."""

import numpy as np
import pytest
import torch

from treeroll.errors import DataError
from treeroll.learner import checkpoint
from treeroll.learner.policy import load_policy
from treeroll.warmup import build

VALUES = {"kind": "head", "rollouts": 7, "skill": np.nan, "weights": np.linspace(0, 1, 5), "grid": np.eye(2)}
STATE = {"step": 3, "carried": 2, "spent": {"rollouts": 30}}


@pytest.fixture
def trained():
    """A policy of a few words and its optimizer, after one step."""
    torch.manual_seed(0)
    policy = build(["a", "b"])
    optimizer = torch.optim.AdamW(policy.trainable(), lr=0.1, weight_decay=0.5)
    step(policy, optimizer)
    policy.version = 5
    return policy, optimizer


def step(policy, optimizer):
    optimizer.zero_grad()
    ids = torch.tensor([[2, 3, 2, 3]])
    policy.model(ids, labels=ids).loss.backward()
    optimizer.step()


def save(folder, trained, values=VALUES, state=STATE):
    checkpoint.save_checkpoint(folder, *trained, values, state)
    return folder


def test_all_of_it_comes_back(trained, tmp_path):
    folder = save(tmp_path / "checkpoints" / "step-0003", trained)
    assert checkpoint.read_state(folder) == {**STATE, "policy_version": 5}
    predictor = checkpoint.read_predictor(folder)
    assert predictor.keys() == VALUES.keys()
    assert (predictor["kind"], predictor["rollouts"]) == ("head", 7)
    assert np.isnan(predictor["skill"])
    np.testing.assert_array_equal(predictor["weights"], VALUES["weights"])
    np.testing.assert_array_equal(predictor["grid"], VALUES["grid"])
    loaded = load_policy(str(folder / "model"), device="cpu")
    mine, yours = trained[0].model.state_dict(), loaded.model.state_dict()
    assert all(torch.equal(mine[name], yours[name]) for name in mine)
    assert loaded.tokenizer.get_vocab() == trained[0].tokenizer.get_vocab()


def test_the_optimizer_goes_on_as_if_nothing_had_been(trained, tmp_path):
    folder = save(tmp_path / "step-0003", trained)
    loaded = load_policy(str(folder / "model"), device="cpu")
    optimizer = torch.optim.AdamW(loaded.trainable(), lr=0.1)
    checkpoint.load_optimizer(folder, optimizer)
    loaded.model.train(trained[0].model.training)
    step(*trained)
    step(loaded, optimizer)
    pairs = zip(trained[0].model.parameters(), loaded.model.parameters(), strict=True)
    assert all(torch.equal(mine, yours) for mine, yours in pairs)


def test_a_broken_write_leaves_the_checkpoint_from_before(trained, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError("no space left on device")

    folder = save(tmp_path / "step-0003", trained)
    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(OSError, match="no space"):
            save(folder, trained, state={"step": 99})
        with pytest.raises(OSError, match="no space"):
            save(tmp_path / "step-0004", trained)
    assert checkpoint.read_state(folder)["step"] == 3
    assert not (tmp_path / "step-0004").exists()
    save(folder, trained, state={"step": 4})
    assert checkpoint.read_state(folder)["step"] == 4
    assert not (tmp_path / "step-0003.part").exists()


@pytest.mark.parametrize("name", ["optimizer.pt", "predictor.npz", "state.json"])
def test_an_incomplete_checkpoint_is_named(trained, tmp_path, name):
    folder = save(tmp_path / "step-0003", trained)
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"step-0003 is incomplete: {name} is missing"):
        checkpoint.read_state(folder)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("optimizer.pt", lambda folder, trained: checkpoint.load_optimizer(folder, trained[1])),
        ("predictor.npz", lambda folder, trained: checkpoint.read_predictor(folder)),
        ("state.json", lambda folder, trained: checkpoint.read_state(folder)),
    ],
)
@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "pickle"])
def test_a_damaged_checkpoint_is_named(trained, tmp_path, name, read, damage):
    folder = save(tmp_path / "step-0003", trained)
    whole = (folder / name).read_bytes()
    noise = np.random.default_rng(0).bytes(len(whole))
    (folder / name).write_bytes(
        {"empty": b"", "cut": whole[: len(whole) // 2], "noise": noise, "pickle": b"\x80\x02h"}[damage]
    )
    with pytest.raises(DataError) as raised:
        read(folder, trained)
    assert str(raised.value).startswith(f"{folder / name}: damaged (")
    assert f"Remove {folder}: the run then goes on from the checkpoint before it" in str(raised.value)


def test_the_newest_is_found_and_the_oldest_go(tmp_path):
    assert checkpoint.latest_checkpoint(tmp_path) is None
    for name in ("step-0002", "step-0010", "step-0100", "step-0200.part", "notes"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert checkpoint.latest_checkpoint(tmp_path).name == "step-0100"
    checkpoint.prune_checkpoints(tmp_path, keep=2)
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == ["notes", "step-0010", "step-0100", "step-0200.part"]
    checkpoint.prune_checkpoints(tmp_path, keep=5)
    assert checkpoint.latest_checkpoint(tmp_path).name == "step-0100"
