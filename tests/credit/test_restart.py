import numpy as np
import pytest
from credit_trees import worked

from handmade import bare, flat, fork, plant
from treeroll.credit.restart import restart


def test_by_hand():
    """m = 2 and k = 2: the weight of a continuation is 2/2; each is compared with the other."""
    assert restart(worked()).advantages[1:].tolist() == [-1, -1, -1, 1, 1, 1, -1, -1]


def test_eta_weighs_the_continuations_only():
    assert restart(worked(), eta=0.5).advantages[1:].tolist() == [-1, -1, -1, 1, 1, 0.5, -0.5, -0.5]


def test_the_weight_is_bare_rollouts_for_each_continuation():
    tree = flat(0.0, 1.0, 1.0)
    for reward in (1.0, 0.0, 0.0, 0.0):
        tree = fork(tree, 1, reward)
    # m / k = 3/4; baselines 0 and 1/3
    assert restart(tree).advantages[7:] == pytest.approx([3 / 4, *[-3 / 4 / 3] * 3])


def test_a_bare_rollout_keeps_its_outcome_whatever_branches_off_it():
    assert (
        restart(worked()).advantages[1:6].tolist()
        == restart(bare(bare(plant(), 0.0, turns=3), 1.0)).advantages[1:].tolist()
    )


def test_a_single_continuation_has_no_baseline():
    tree = fork(flat(0.0, 1.0), 1, 1.0, turns=2)
    assert [restart(tree)[i] for i in (5, 6)] == [None, None]
    assert restart(tree)[1] == -1


def test_a_single_bare_rollout_has_no_baseline():
    tree = fork(fork(bare(plant(), 0.0, turns=2), 1, 1.0), 1, 0.0)
    assert [restart(tree)[i] for i in range(5)] == [None, None, None, 1 / 2, -1 / 2]


def test_continuations_of_a_continuation_start_at_their_own_prefix():
    tree = worked()  # 7 is the first turn of a continuation
    tree = fork(fork(tree, 7, 1.0), 7, 0.0)
    assert restart(tree).advantages[9:].tolist() == [1, -1]
    assert restart(tree)[7] == -1


def test_continuations_from_the_root_have_a_baseline_of_their_own():
    tree = fork(fork(flat(0.0, 1.0), 0, 1.0), 0, 0.0)
    assert restart(tree).advantages[1:].tolist() == [-1, -1, 1, 1, 1, -1]


@pytest.mark.parametrize("eta", [-0.1, np.nan, np.inf])
def test_eta_must_not_be_negative(eta):
    with pytest.raises(ValueError, match="eta is"):
        restart(worked(), eta=eta)
