import numpy as np
import pytest
import torch
from predictor_worlds import saved

from treeroll.predictor._fitting import bernoulli_loss, from_arrays, minibatches, to_arrays


def test_minibatches_cover_everything_in_each_pass():
    found = list(minibatches(5, 2, 2, 0, "here"))
    assert [len(batch) for batch in found] == [2, 2, 1, 2, 2, 1]
    first, second = np.concatenate(found[:3]).tolist(), np.concatenate(found[3:]).tolist()
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4]
    assert first != second
    assert np.concatenate(list(minibatches(5, 2, 2, 0, "here"))).tolist() == first + second
    assert np.concatenate(list(minibatches(5, 2, 2, 0, "there"))).tolist() != first + second


def test_loss_by_hand():
    """Three samples: two successes and a failure predicted 0.8, and one failure predicted 0.5."""
    logits = torch.tensor([np.log(4.0), 0.0], requires_grad=True)
    loss = bernoulli_loss(torch, logits, np.array([2.0, 0.0]), np.array([3.0, 1.0]))
    assert loss.item() == pytest.approx(-(2 * np.log(0.8) + np.log(0.2) + np.log(0.5)) / 4)
    loss.backward()
    assert logits.grad.tolist() == pytest.approx([(3 * 0.8 - 2) / 4, (1 * 0.5 - 0) / 4])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_and_moments_come_back(dtype):
    def made(seed: int):
        torch.manual_seed(seed)
        module = torch.nn.Linear(3, 2, dtype=dtype)
        return module, torch.optim.AdamW(module.parameters(), lr=0.1)

    def step(module, optimizer):
        optimizer.zero_grad()
        module(torch.ones(1, 3, dtype=dtype)).square().sum().backward()
        optimizer.step()

    (module, optimizer), (other, other_optimizer) = made(0), made(1)
    step(module, optimizer)
    from_arrays(torch, other, other_optimizer, saved(to_arrays(module, optimizer)))
    step(module, optimizer)
    step(other, other_optimizer)
    for name, value in module.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_arrays_do_not_change_with_their_owner():
    module = torch.nn.Linear(1, 1)
    arrays = to_arrays(module, torch.optim.Adam(module.parameters()))
    before = arrays["weight/bias"].copy()
    torch.nn.init.constant_(module.bias, 7.0)
    np.testing.assert_array_equal(arrays["weight/bias"], before)
