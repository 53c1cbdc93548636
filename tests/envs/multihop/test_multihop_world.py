"""Worlds and episodes: what is trained on and held out, what an agent sees, and forks in the middle."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest

from spoken import assert_forks_exactly, trace_step
from treeroll import envs
from treeroll.envs.actions import parse
from treeroll.envs.base import Done, Observation, World
from treeroll.envs.multihop.env import INVALID, NOTHING, random_action, shown
from treeroll.envs.multihop.question import Document
from treeroll.errors import ConfigError, DataError, EnvError
from treeroll.seeding import generator
from treeroll.tree import Task


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, as far as a test can tell."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "treeroll" / "retrieval"


@pytest.fixture
def hotpotqa(tmp_path: Path, cache: Path) -> partial[World]:
    """Loads the world of six questions."""
    return partial(envs.load, "hotpotqa", data=published.write_json(tmp_path / "dev.json", published.hotpotqa()))


def names(tasks: Any) -> set[str]:
    return {task.id.rpartition("-")[2] for task in tasks}


def test_a_world_from_one_file(hotpotqa: partial[World], cache: Path) -> None:
    world = hotpotqa(test_share=0.3)
    assert (world.name, len(world.train), len(world.test), world.success_at) == ("hotpotqa", 4, 2, 0.3)
    assert names(world.train) | names(world.test) == {f"5a{number}" for number in range(6)}
    task = next(task for task in (*world.train, *world.test) if task.id.endswith("5a0"))
    assert task.prompt == "Which sea does the river through Arnholt reach?"
    assert task.data == {"answer": "Ilse Sea", "answers": ["Ilse Sea"], "kind": "bridge"}
    assert len(list(cache.iterdir())) == 1


def test_an_episode(hotpotqa: partial[World]) -> None:
    env = hotpotqa(passages=2).make()
    env.reset(Task("t", "?", {"answer": "Ilse Sea", "answers": ["Ilse Sea", "Sea of Ilse"]}))
    assert env.step("First, search[Arnholt]") == Observation("Arnholt: Arnholt is a town. It lies on the Ilse.")
    assert env.step("search[Ilse river]") == Observation(
        "[1] Ilse (river): The Ilse is a river. It reaches the Ilse Sea. "
        "[2] Arnholt: Arnholt is a town. It lies on the Ilse."
    )
    assert env.step("I do not know") == Observation(INVALID)
    assert env.step("search[zzzz]") == Observation(NOTHING)
    assert env.step("It is finish[the Sea of Ilse]") == Done(1.0, "the answer is Ilse Sea")
    assert env.step("finish[Ilse]") == Done(pytest.approx(2 / 3), "the answer is Ilse Sea")
    assert env.step("finish[Jarn]") == Done(0.0, "the answer is Ilse Sea")


def test_exact_match_as_the_reward(hotpotqa: partial[World]) -> None:
    env = hotpotqa(score="em").make()
    env.reset(Task("t", "?", {"answer": "Ilse Sea", "answers": ["Ilse Sea"]}))
    assert env.step("finish[Ilse]") == Done(0.0, "the answer is Ilse Sea")


def test_a_step_before_reset_is_an_error(hotpotqa: partial[World]) -> None:
    with pytest.raises(EnvError, match="no episode: call reset"):
        hotpotqa().make().step("search[x]")


LONG = Document("", "Ilse", "one two three four five six")


@pytest.mark.parametrize(
    ("found", "words", "text"),
    [
        ([], 10, NOTHING),
        ([LONG], 7, "Ilse: one two three four five six"),
        ([LONG], 3, "Ilse: one two ..."),
        ([LONG, Document("", "", "a\n b")], 4, "[1] Ilse: one ... [2] a b"),
        ([LONG, LONG, LONG], 2, "[1] Ilse: ... [2] Ilse: ... [3] Ilse: ..."),
    ],
)
def test_observations_are_one_line_cut_to_their_words(found: list[Document], words: int, text: str) -> None:
    assert shown(found, words) == text


def test_a_second_file_is_held_out(hotpotqa: partial[World], tmp_path: Path) -> None:
    other = published.write_json(tmp_path / "other.json", published.hotpotqa()[:2])
    world = hotpotqa(test=other)
    assert (len(world.train), names(world.test)) == (6, {"5a0", "5a1"})


def test_another_data_set_is_held_out(hotpotqa: partial[World], tmp_path: Path) -> None:
    other = published.write_lines(tmp_path / "musique.jsonl", published.musique())
    world = hotpotqa(test=f"musique={other}")
    assert (len(world.train), len(world.test)) == (6, 3)
    env = world.make()
    env.reset(world.test[0])
    assert env.step("search[Arnholt lies on]").text.count("Arnholt") >= 3  # both sets' passages are searched
    assert env.step("finish[sea of Ilse]") == Done(1.0, "the answer is Ilse Sea")


def test_a_limit_drops_questions_but_no_documents(hotpotqa: partial[World]) -> None:
    world = hotpotqa(limit=1, test_share=0.5)
    assert (len(world.train), len(world.test)) == (1, 3)
    env = world.make()
    env.reset(world.train[0])
    for place in published.PLACES:
        assert env.step(f"search[{place}]").text.startswith(f"{place}: ")


def test_a_corpus_replaces_the_documents(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "bamboogle.csv").write_text(published.BAMBOOGLE)
    corpus = published.write_lines(
        tmp_path / "wiki.jsonl", [{"id": "1", "title": "Vey", "text": "Maud Vey led Arnholt."}]
    )
    world = envs.load("bamboogle", data=str(tmp_path / "bamboogle.csv"), corpus=corpus, test_share=0.5)
    env = world.make()
    env.reset(world.train[0])
    assert env.step("search[Maud]") == Observation("Vey: Maud Vey led Arnholt.")


def test_bamboogle_has_no_documents_of_its_own(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "bamboogle.csv").write_text(published.BAMBOOGLE)
    with pytest.raises(ConfigError, match=r"no documents to search\. Name a JSONL file with corpus="):
        envs.load("bamboogle", data=str(tmp_path / "bamboogle.csv"), test_share=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"passages": 0}, "hotpotqa: passages=0 must be 1 or more"),
        ({"words": 0}, "hotpotqa: words=0 must be 1 or more"),
        ({"limit": 0}, "hotpotqa: limit=0 must be 1 or more"),
        ({"test_share": 1.0}, "hotpotqa: test_share=1 must be above 0 and below 1"),
        ({"success_at": 0.0}, "hotpotqa: success_at=0 must be above 0 and at most 1"),
        ({"score": "f2"}, "hotpotqa: unknown score 'f2'. Known: em, f1"),
        ({"aliases": "x"}, "hotpotqa publishes no file of aliases"),
        ({"retrieval": "dens"}, "retrieval=dens: neither an address .* Did you mean 'dense'?"),
        ({"retreival": "bm25"}, "has no option 'retreival'. Did you mean 'retrieval'?"),
    ],
)
def test_options_that_cannot_work(options: dict[str, object], message: str, hotpotqa: partial[World]) -> None:
    with pytest.raises(ConfigError, match=message):
        hotpotqa(**options)


def test_a_file_that_is_missing(hotpotqa: partial[World]) -> None:
    with pytest.raises(DataError, match=r"nowhere\.json: no such file"):
        hotpotqa(test="musique=nowhere.json")


def test_a_world_is_made_once_until_its_file_changes(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "dev.json"
    load = partial(envs.load, "2wikimultihopqa", data=published.write_json(file, published.twowiki()))
    first = load()
    assert load() is first
    assert load(seed=1) is not first
    published.write_json(file, published.twowiki()[:5])
    assert len(load().train) == 4


def test_examples_are_episodes_that_end(hotpotqa: partial[World]) -> None:
    world = hotpotqa()
    characters = len(world.instructions)
    for example in world.examples:
        actions = [parse(action) for action, _ in example.turns]
        assert [tool for tool, _ in filter(None, actions)] == ["search"] * (len(actions) - 1) + ["finish"]
        assert [bool(observation) for _, observation in example.turns] == [True] * (len(actions) - 1) + [False]
        said = " ".join([example.prompt, *(observation for _, observation in example.turns)]).lower()
        answer = actions[-1][1].lower()
        assert answer == "no" or answer in said
        characters += len(example.prompt) + sum(map(len, sum(example.turns, ())))
        assert not any("\n" in text for turn in example.turns for text in turn)
    assert characters < 2800  # about 4 characters a token, 700 tokens


# Forks ----------------------------------------------------------------------------------------------------------


def test_forks_go_on_exactly(hotpotqa: partial[World]) -> None:
    world = hotpotqa()
    actions = ["search[Arnholt]", "hm", "search[Ilse sea]", "finish[Ilse Sea]"]
    assert_forks_exactly(world, world.train[0], actions, "search[Rivers]", "snapshot")


def test_a_trace_step_with_a_scripted_policy(hotpotqa: partial[World]) -> None:
    world = hotpotqa(test_share=0.3)

    def script(history: list[str], rng: np.random.Generator) -> str:
        place = history[0].split()[-2]
        if len(history) == 1:
            return f"search[{place}]"
        river = history[2].rstrip(".").split()[-1] if "lies on" in history[2] else "Korr"
        if len(history) == 3:
            return f"search[{river} river sea]"
        return f"finish[{river if rng.random() < 0.5 else 'Korr'} Sea]"

    trees = trace_step(world, script)
    rewards = {node.reward for tree in trees for node in tree.nodes if node.is_leaf}
    assert {0.5, 1.0} <= rewards <= {0.0, 0.5, 1.0}
    assert all(tree.success_at == 0.3 for tree in trees)


def test_random_actions_have_every_form(hotpotqa: partial[World]) -> None:
    world = hotpotqa()
    task = world.train[0]
    draw = generator(0, "actions")
    drawn = [random_action(task, draw) for _ in range(200)]
    assert {None if parsed is None else parsed[0] for parsed in map(parse, drawn)} == {None, "search", "finish"}
    assert f"finish[{task.data['answer']}]" in drawn
    assert world.actions is random_action


def test_tasks_are_json(hotpotqa: partial[World]) -> None:
    for task in hotpotqa().train:
        assert json.loads(json.dumps(task.data)) == task.data
