"""New weights on a server that plays vLLM: files, updates that fail, restarts, weights that get lost."""

import numpy as np
import pytest
import torch

from fake_vllm import Table
from served import request, sampler
from treeroll.errors import SamplerError
from treeroll.samplers.vllm import copy, worker
from treeroll.samplers.vllm.witness import Witness, logprobs_of


def test_weights_larger_than_a_file_go_into_several(monkeypatch, tmp_path):
    monkeypatch.setattr(copy, "SHARD_BYTES", 8)
    weights = {f"w{number}": torch.full((2,), float(number)) for number in range(3)}
    copy.write(iter(weights.items()), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    found = dict(worker.files(tmp_path))
    assert {name: weight.tolist() for name, weight in found.items()} == {f"w{n}": [n, n] for n in range(3)}


def test_a_failed_update_leaves_one_copy_and_closing_none(server, tmp_path):
    it = sampler(server, folder=str(tmp_path))
    it.update(Table(seed=1), 1)
    server[0].deaf = True
    with pytest.raises(SamplerError, match="was given the weights of version 2"):
        it.update(Table(seed=2), 2)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    it._copy.delete()
    assert list(tmp_path.iterdir()) == []


def test_weights_that_cannot_be_written_leave_the_last_ones(server, tmp_path, monkeypatch):
    it, policy = sampler(server, folder=str(tmp_path)), Table(seed=1)
    it.update(policy, 1)
    before = list(tmp_path.rglob("*.safetensors"))

    def full(weights, folder):
        (folder / "model-00000.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copy, "write", full)
    with pytest.raises(SamplerError, match=r"cannot be written to .*No space left on device\. Name another folder"):
        it.update(Table(seed=2), 2)
    assert list(tmp_path.rglob("*.safetensors")) == before
    server[0].restart()
    it.plant([])
    it._copy.delete()
    assert list(tmp_path.iterdir()) == []


def test_a_restart_that_broke_a_connection_is_made_good(server):
    fake, policy = server[0], Table(seed=1)
    it = sampler(server)
    it.update(policy, 1)

    def restarted(reply):
        fake.restart()
        return 503, "starting"

    (calm,) = it.sample([request(1, 2, 3)])
    fake.faults.extend([restarted, "drop"])
    (turn,) = it.sample([request(1, 2, 3)])
    np.testing.assert_array_equal(turn.token_ids, calm.token_ids)
    np.testing.assert_array_equal(fake.model.table, policy.table)


@pytest.mark.parametrize("seed", [0, 4])
def test_a_connection_lost_at_the_first_check_of_the_weights_is_made_good(server, seed):
    policy = Table(seed=seed)
    it = sampler(server, policy)
    server[0].lost = 1
    it.plant([])
    np.testing.assert_array_equal(server[0].model.table, policy.table)
    assert server[0].lost == 0
    assert server[0].mark.endswith("-0")


def test_a_restart_with_the_model_of_the_start_is_made_good(server):
    it = sampler(server)
    it.plant([])
    server[0].restart()
    it.plant([])
    assert server[0].mark.endswith("-0")
    server[0].restart()
    server[0].model.load({"table": Table(seed=2).table})
    with pytest.raises(SamplerError, match="it was started anew, with another model"):
        it.plant([])


def test_a_restart_between_steps_is_made_good(server):
    it, policy = sampler(server), Table(seed=1)
    it.update(policy, 1)
    server[0].restart()
    it.plant([])
    np.testing.assert_array_equal(server[0].model.table, policy.table)


def test_a_restart_that_nobody_noticed_is_an_error(server):
    it = sampler(server)
    it.plant([])
    it.update(Table(seed=1), 1)
    server[0].restart()
    with pytest.raises(SamplerError, match="it was restarted, or serves another run too"):
        it.sample([request(1, 2, 3)])


# Weights that get lost ----------------------------------------------------------------------------------------------


def test_a_server_that_keeps_its_old_weights_is_an_error(server):
    it = sampler(server)
    it.plant([])
    server[0].deaf = True
    with pytest.raises(SamplerError, match="was given the weights of version 1, but its log-probabilities are off by"):
        it.update(Table(seed=1), 1)


def test_weights_that_moved_little_and_not_at_all_on_the_server_are_an_error_too(server):
    it, near = sampler(server), Table()
    it.plant([])
    near.table = near.table.clone()
    near.table += 1.5e-4 * torch.from_numpy(np.random.default_rng(0).normal(size=(12, 12)).astype(np.float32))
    server[0].deaf = True
    with pytest.raises(SamplerError, match="have stood still while the policy's moved by"):
        it.update(near, 1)


def moved(amount):
    """Returns the table with the first token's logits pushed apart: its log-probabilities move by about `amount`."""
    table = Table()
    table.table = table.table.clone()
    table.table[:, 0] += amount
    return table


def test_small_moves_add_up_until_a_server_that_stands_still_is_found_out():
    witness = Witness(12, 64, tolerance=1.0)
    still = logprobs_of(Table(), witness.sequences).tolist()
    witness.expect(Table())
    assert witness.judge(still) is None
    largest = [np.abs(logprobs_of(moved(0.04 * n), witness.sequences) - still).max() for n in range(1, 4)]
    assert largest[1] < 0.1 < largest[2]  # a tenth of the tolerance; no single move comes near it
    for number in (1, 2):
        witness.expect(moved(0.04 * number))
        assert witness.judge(still) is None
    witness.expect(moved(0.12))
    assert (
        witness.judge(still) == f"its log-probabilities have stood still while the policy's moved by {largest[2]:.3g}"
    )


def test_a_server_that_moves_along_is_measured_from_where_it_moved():
    witness = Witness(12, 64, tolerance=1.0)
    for number in range(8):  # 0.28 in all; the server takes every other update
        witness.expect(moved(0.04 * number))
        told = logprobs_of(moved(0.04 * (number - number % 2)), witness.sequences)
        assert witness.judge(told.tolist()) is None
