"""The worker by itself: what it refuses, how it fails, waits and stops, and what rewards are given."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import trl_async_runs
import trl_runs
from datasets import Dataset
from trl import GRPOConfig

from treeroll.errors import ConfigError, TrainingError
from treeroll.integrations.trl import TreeOptions
from treeroll.integrations.trl.asynchronous.desk import Desk
from treeroll.integrations.trl.asynchronous.forests import endless
from treeroll.integrations.trl.host import Host
from treeroll.samplers.scripted import ScriptedSampler

pytestmark = pytest.mark.filterwarnings(trl_runs.OLD_NAMES)

BETA = TreeOptions(method="trace", rounds={"group": 4}, predictor="beta")


def say(words, draw):
    """Looks something up at first, then guesses."""
    return ["realm", "search", "kabul", "CAPITAL", "E"] if words[-2] == "?" else ["done", "answer", "japan", "E"]


class Scripted:
    """Makes samplers without a model, and without hidden states."""

    def __init__(self, policy=say):
        tokenizer = trl_runs.example.setup()[1]
        self.words = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        self.policy = policy

    def __call__(self, stop_ids):
        self.made = ScriptedSampler(self.policy, self.words)
        return self.made


@pytest.fixture
def started(tmp_path):
    """Starts a worker, which is stopped at the end."""
    workers = []

    def start(policy=say, **named):
        workers.append(
            trl_async_runs.worker(trl_async_runs.settings(tmp_path), Scripted(policy), **{"tree": BETA, **named})
        )
        workers[-1].start()
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop()
        assert not worker._thread.is_alive()


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_one_forest_waits_while_the_next_is_sampled_and_no_more(started):
    worker = started()
    until(lambda: worker.metrics_queue.qsize() == 2)
    time.sleep(0.3)
    assert worker.metrics_queue.qsize() == 2
    waiting = worker.rollout_buffer.qsize()
    groups = [worker.rollout_buffer.get().group_id for _ in range(waiting)]
    assert groups == sorted(groups)
    until(lambda: worker.metrics_queue.qsize() >= 3)
    told = worker.metrics_queue.get()
    assert told["tree/rollouts"] == 16
    assert told["tree/pool"] == 4
    assert 0 <= told["rewards/right/mean"] == told["reward"]
    worker.check_health(60)


def test_a_full_queue_stops_it_in_the_middle_of_a_forest(tmp_path):
    args = trl_async_runs.settings(tmp_path, queue_maxsize=3)
    worker = trl_async_runs.worker(args, Scripted(), tree=BETA)
    worker.start()
    until(worker.rollout_buffer.full)
    worker.stop()
    assert not worker._thread.is_alive()
    assert worker.metrics_queue.qsize() == 1


def test_a_tree_carries_the_version_of_the_weights_it_began_with(tmp_path):
    made = Scripted()
    worker = trl_async_runs.worker(trl_async_runs.settings(tmp_path), made, tree=BETA)
    worker.update_model_version(5)
    worker.start()
    until(lambda: worker.metrics_queue.qsize() == 2)
    worker.update_model_version(6)
    versions = [worker.rollout_buffer.get(timeout=30).model_version]
    while versions[-1] == 5:
        versions.append(worker.rollout_buffer.get(timeout=30).model_version)
    assert versions[-1] == 6
    assert len(versions) > 8
    worker.stop()


def test_what_goes_wrong_while_sampling_is_raised_where_the_trainer_asks(tmp_path, monkeypatch):
    trl_async_runs.without_cuda(monkeypatch)

    def broken(words, draw):
        raise ZeroDivisionError("the server is on fire")

    args, transfer = trl_async_runs.settings(tmp_path), trl_async_runs.Served()
    worker = trl_async_runs.worker(args, Scripted(broken), tree=BETA)
    with pytest.raises(TrainingError, match="sampling failed: ZeroDivisionError: the server is on fire") as raised:
        trl_async_runs.trainer(args, worker, transfer).train()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_silence_is_an_error(started):
    worker = started()
    until(lambda: worker.metrics_queue.qsize() == 1)
    worker.check_health(60)
    worker.stop()
    worker._pulse._last -= 61
    with pytest.raises(TrainingError, match=r"no turn was sampled, and no tool answered, for 6\d seconds"):
        worker.check_health(60)


def test_it_stops_in_the_middle_of_a_forest(started):
    turns = []

    def slow(words, draw):
        turns.append(words)
        time.sleep(0.02)
        return say(words, draw)

    worker = started(slow)
    until(lambda: turns)
    worker.stop()
    assert worker.rollout_buffer.empty()
    with pytest.raises(ConfigError, match="started before"):
        worker.start()


ABANDONED = """
import sys
import trl_async_runs
from test_trl_async_worker import BETA, Scripted, say, until
import torch

turns = []

def slow(words, draw):
    turns.append(words)
    for _ in range(2):
        torch.ones(800, 800) @ torch.ones(800, 800)
    return say(words, draw)

worker = trl_async_runs.worker(trl_async_runs.settings(sys.argv[1]), Scripted(slow), tree=BETA)
worker.start()
until(lambda: turns)
"""


def test_a_process_that_ends_without_stopping_it_ends_well(tmp_path):
    """As where training fails before it begins. A thread that is inside torch by then would abort the process."""
    script = f"import sys; sys.path[:] = {sys.path!r}\n{ABANDONED}"
    ended = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert (ended.returncode, "terminate" in ended.stderr) == (0, False), ended.stderr


def test_a_predictor_of_hidden_states_needs_a_sampler_that_has_some(started):
    worker = started(tree=trl_runs.BRANCHING)
    until(lambda: worker._error is not None)
    with pytest.raises(TrainingError, match=r"gives no hidden states of the policy.*'wordllama'"):
        worker.check_health(60)
    assert worker.metrics_queue.empty()  # it was seen before anything was sampled


@pytest.mark.parametrize(
    ("changed", "named", "said"),
    [
        ({"max_staleness": 0}, {}, "max_staleness=0"),
        ({"top_p": 0.9, "min_p": 0.1}, {}, "(?s)top_p=0.9.*min_p=0.1"),
        ({"log_completions": True}, {}, "log_completions"),
        ({}, {"train_dataset": None}, "no train_dataset"),
        ({}, {"reward_funcs": SimpleNamespace(forward=1)}, "reward model"),
        ({}, {"rollouts": 18}, "rollouts = 18 rollouts, which is no multiple of num_generations=4"),
        ({}, {"rollouts": 4}, "4 rollouts of a rank do not pay.*Raise rollouts"),
        ({}, {"tree": TreeOptions(method="tracee")}, "trace"),
        ({}, {"tree": TreeOptions()}, "a vLLM server gives no hidden states of the policy.*'wordllama'"),
    ],
)
def test_what_trees_cannot_go_with_is_refused_before_anything_is_loaded(tmp_path, changed, named, said):
    with pytest.raises(ConfigError, match=said):
        trl_async_runs.worker(trl_async_runs.settings(tmp_path, **changed), None, **named)


def test_what_predicts_without_hidden_states_needs_no_encoder_of_a_servers_turns(tmp_path):
    for tree in (BETA, TreeOptions(encoder="wordllama"), TreeOptions(method="grpo", credit="group")):
        worker = trl_async_runs.worker(trl_async_runs.settings(tmp_path), None, tree=tree)
        assert worker.plan.budget == 16


def test_the_settings_of_another_trainer_are_refused(tmp_path):
    args = GRPOConfig(str(tmp_path), use_cpu=True, bf16=False)
    with pytest.raises(
        ConfigError, match="args is a GRPOConfig; TreeRolloutWorker needs the trainer's AsyncGRPOConfig"
    ):
        trl_async_runs.worker(args, None)


def test_rows_go_round():
    rows = endless(Dataset.from_list([{"a": 1}, {"a": 2}]))
    assert [next(rows)["a"] for _ in range(5)] == [1, 2, 1, 2, 1]
    with pytest.raises(ConfigError, match="train_dataset is empty"):
        next(endless([]))


class Judge:
    """An environment that owns its reward."""

    def reset(self, **row):
        pass

    def ask(self, question: str) -> str:
        """Asks.

        Args:
            question: what.
        """
        return question

    async def get_reward(self):
        return 0.25


class Mute:
    def ask(self, question: str) -> str:
        """Asks.

        Args:
            question: what.
        """
        return question


def desk(tmp_path, rewards, factory):
    args, tokenizer = trl_async_runs.settings(tmp_path), trl_runs.example.setup()[1]
    return Desk(
        str(trl_async_runs.models.TINY), args, reward_funcs=rewards, tools=None, factories=factory, tokenizer=tokenizer
    )


def test_reward_functions_are_given_what_trls_worker_gives_them(tmp_path):
    """No further names, so that none of them needs **kwargs; coroutines and environments are asked, too."""
    seen = []

    def right(prompts, completions, completion_ids, answer):
        seen.append((prompts, completions, completion_ids, answer))
        return [1.0]

    async def late(completions, **told):
        assert set(told) == {"prompts", "completion_ids", "answer"}
        return [0.5]

    made = desk(tmp_path, [right, late], {"judge": Judge, "atlas": trl_runs.example.Atlas})
    host = Host(made, 128)
    row = {"prompt": [{"role": "user", "content": "q"}], "answer": "a"}
    reward, judged = host.judge(row, row["prompt"], ["said"], [5], Judge())
    assert (reward, judged.rewards) == (1.75, (1.0, 0.5, 0.25))
    assert seen == [([row["prompt"]], [["said"]], [[5]], ["a"])]
    assert host.judge(row, row["prompt"], ["said"], [5], trl_runs.example.Atlas())[1].rewards == (1.0, 0.5, None)
    assert made.reward_func_names == ["right", "late", "Judge"]
    assert [tool.__name__ for tool in made._env_tools["judge"]] == ["ask"]
    made.close()


def test_a_desk_without_reward_or_reset(tmp_path):
    with pytest.raises(ConfigError, match="no reward"):
        desk(tmp_path, None, None)
    with pytest.raises(ConfigError, match="makes a Mute without reset"):
        desk(tmp_path, [lambda **_: [1.0]], Mute)
