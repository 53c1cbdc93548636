"""Episodes by hand: the user's turns, held-back functions, limits, malformed calls and forks."""

import pytest

from treeroll import envs
from treeroll.envs.base import Done, Forkable, Observation
from treeroll.envs.bfcl.entries import find
from treeroll.envs.bfcl.episode import BfclEnv
from treeroll.errors import EnvError
from treeroll.tree import Task


def task(name: str) -> Task:
    return Task(name, "", {"entry": name})


def started(name: str, **options: int) -> BfclEnv:
    env = BfclEnv(**options)
    env.reset(task(name))
    return env


FIRST = "[cd(folder='document'), mkdir(dir_name='temp'), mv(source='final_report.pdf', destination='temp')]"


def test_an_episode_with_held_back_functions() -> None:
    env, messages = started("multi_turn_miss_func_0"), find("multi_turn_miss_func_0").messages
    assert env.step(FIRST) == Observation(
        '{"current_working_directory": "document"}\nNone\n'
        "{\"result\": \"'final_report.pdf' moved to 'temp/final_report.pdf'\"}"
    )
    assert env.step("It is in temp now.") == Observation(f"User: {messages[1]}")
    answer = env.step(
        "I go there and look: [cd(folder='temp'), grep(file_name='final_report.pdf',pattern='budget analysis')]"
    )
    assert isinstance(answer, Observation)
    assert env.step("Found.") == Observation(f"User: {messages[2]}")
    assert env.step("I have no function to sort with.") == Observation(
        "User: I have updated some more functions you can choose from. What about now?\nsort(file_name)"
    )
    env.step("[sort('final_report.pdf')]")
    assert env.step("Sorted.") == Observation(f"User: {messages[4]}")
    for call in ("cd(folder='..')", "mv(source='previous_report.pdf',destination='temp')", "cd(folder='temp')"):
        assert isinstance(env.step(f"[{call}]"), Observation)
    env.step("[diff(file_name1='final_report.pdf',file_name2='previous_report.pdf')]")
    assert env.failure is None
    assert env.step("These are the differences.") == Done(1.0, "as the ground truth")


def test_a_turn_without_its_calls_fails_and_goes_on() -> None:
    env, messages = started("multi_turn_base_0"), find("multi_turn_base_0").messages
    assert env.step("Done.") == Observation(f"User: {messages[1]}")
    assert env.failure is not None
    assert (env.failure.turn, env.failure.kind) == (0, "multi_turn:empty_turn_model_response")
    for message in messages[2:]:
        assert env.step("Done.") == Observation(f"User: {message}")
    assert env.step("Done.") == Done(0.0, "no call in user turn 1")


def test_a_wrong_state_is_found_at_the_end_of_the_turn() -> None:
    env = started("multi_turn_base_0")
    env.step(FIRST.replace("'temp'", "'tmp'"))
    assert env.failure is None
    env.step("Done.")
    assert env.failure is not None
    assert env.failure.message == (
        "user turn 1: Model instance for GorillaFileSystem does not match the state with ground truth instance."
    )


def test_malformed_calls_cost_a_step_and_change_nothing() -> None:
    env = started("multi_turn_base_0", step_limit=2)
    answer = env.step("[cd(folder=document)]")
    assert answer == Observation("Malformed calls: document is no literal value. Write [name(parameter=value)]")
    assert env.step("[pwd()]") == Observation('{"current_working_directory": "/workspace"}')
    assert env.step("[pwd(]") == Done(0.0, "user turn 1: more than 2 steps")


def test_malformed_calls_alone_are_no_calls() -> None:
    env = started("multi_turn_base_0")
    env.step("[cd(folder=document)]")
    env.step("Done.")
    assert env.failure is not None
    assert env.failure.kind == "multi_turn:empty_turn_model_response"


def test_each_user_turn_has_the_steps_of_the_official_benchmark() -> None:
    env = started("multi_turn_base_0")
    for _ in range(20):
        assert isinstance(env.step("[pwd()]"), Observation)
    env.step("Done.")
    for _ in range(20):
        assert isinstance(env.step("[pwd()]"), Observation)
    assert env.step("[pwd()]") == Done(0.0, "user turn 2: more than 20 steps")


def test_an_episode_that_is_cut_in_its_last_turn_is_judged() -> None:
    env = started("multi_turn_base_0", step_limit=1)
    for turn in find("multi_turn_base_0").truth[:-1]:
        env.step(f"[{', '.join(turn)}]")
        env.step("Done.")
    env.step(f"[{', '.join(find('multi_turn_base_0').truth[-1])}]")
    assert env.step("[pwd()]") == Done(1.0, "as the ground truth")


def test_a_fork_goes_on_in_another_instance_and_leaves_the_parent_alone() -> None:
    env = started("multi_turn_base_0")
    env.step(FIRST)
    token = env.snapshot()
    assert isinstance(env, Forkable)
    other, third = BfclEnv(), BfclEnv()
    other.restore(token)
    other.step("[rm(file_name='temp')]")
    other.step("Done.")
    assert other.failure is not None
    third.restore(token)  # the token is as it was
    for one in (env, third):
        assert one.step("[ls()]") == Observation('{"current_directory_content": ["previous_report.pdf", "temp"]}')
        one.step("Done.")
        assert one.failure is None


def test_folders_nested_too_deeply_are_a_failed_rollout() -> None:
    env = started("multi_turn_base_0", step_limit=1000)
    for _ in range(400):
        env.step("[mkdir(dir_name='d'), cd(folder='d')]")
    with pytest.raises(EnvError, match="nested folders"):
        env.snapshot()


def test_an_environment_without_an_episode_or_with_another_worlds_task() -> None:
    with pytest.raises(EnvError, match="no episode"):
        BfclEnv().step("[ls()]")
    with pytest.raises(EnvError, match="no episode"):
        BfclEnv().snapshot()
    for name in ("multi_turn_base_200", "nothing_1", ""):
        with pytest.raises(EnvError, match=r"no multi-turn task of BFCL"):
            BfclEnv().reset(task(name))


def test_full_schemas_are_announced_in_full() -> None:
    env = envs.load("bfcl", schemas="full").make()
    env.reset(task("multi_turn_miss_func_0"))
    answers = [env.step("No.").text for _ in range(3)]
    assert answers[2].startswith("User: I have updated some more functions you can choose from. What about now?\n")
    assert '{"name": "sort", "description": "This tool belongs to the Gorilla file system.' in answers[2]
