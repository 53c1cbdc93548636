"""What processes tell each other; an error or an end in one of them is one in all."""

import os

import pytest
import torch

from processes import together
from treeroll.errors import SamplerError, TrainingError, TreerollError
from treeroll.ranks import Ranks, launched

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def test_a_process_on_its_own():
    ranks = Ranks()
    value = torch.ones(2)
    ranks.add([value])
    assert (ranks.leads, ranks.count, ranks.gather(3), ranks.run(lambda: 4)) == (True, 1, [3], [4])
    assert value.tolist() == [1, 1]
    assert [ranks.any(flag) for flag in (True, False)] == [True, False]
    assert ranks.screen() is None
    ranks.leave()


@pytest.mark.parametrize(("world", "count"), [(None, 1), ("1", 1), ("2", 2)])
def test_a_launcher_says_how_many_there_are(monkeypatch, world, count):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if world is not None:
        monkeypatch.setenv("WORLD_SIZE", world)
    assert launched() == count


def test_processes_hear_each_other(tmp_path):
    def work(ranks):
        value = torch.full((2,), ranks.number + 1.0)
        ranks.add([value])
        told = ranks.gather(f"from {ranks.number}"), ranks.any(ranks.number == 1), ranks.any(False)
        return value.tolist(), *told, ranks.together(lambda: ranks.number), ranks.leads

    said = ["from 0", "from 1"]
    expected = [([3, 3], said, True, False, 0, True), ([3, 3], said, True, False, 1, False)]
    assert together(tmp_path / "said", work) == expected


def test_an_error_in_one_is_an_error_in_all(tmp_path):
    def work(ranks):
        def fails():
            if ranks.number == 1:
                raise SamplerError("no such token")

        ranks.run(fails)

    one, other = together(tmp_path / "said", work)
    assert (type(one), str(one)) == (SamplerError, "process 1: no such token")
    assert (type(other), str(other)) == (SamplerError, "no such token")


def test_a_process_that_ends_is_missed(tmp_path):
    def work(ranks):
        if ranks.number == 1:
            os._exit(9)
        for ask in (lambda: ranks.gather(1), lambda: ranks.add([torch.ones(1)])):
            with pytest.raises(TrainingError, match="another process of this run has ended"):
                ask()
        return "heard"

    assert together(tmp_path / "said", work) == ["heard", None]


def test_errors_that_are_not_ours_stay_what_they_are(tmp_path):
    with pytest.raises(TypeError):
        Ranks().run(lambda: 1 + "1")
    assert issubclass(TrainingError, TreerollError)
