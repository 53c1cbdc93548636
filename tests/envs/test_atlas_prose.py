"""The prose rendering: documents, search, parser, scores, the split by country, and whole episodes."""

import pytest

from treeroll.envs import load
from treeroll.envs.atlas import documents, facts, prose
from treeroll.envs.atlas.facts import RELATION
from treeroll.envs.atlas.questions import Question
from treeroll.envs.base import Done, Env, Forkable, Observation, continue_from, fork_point
from treeroll.errors import EnvError

FACTS = facts.load()
WORLD = load("atlas", rendering="prose")
DIVIDED = prose.Divided(FACTS)


def finish(env: Env, action: str) -> float:
    result = env.step(action)
    assert isinstance(result, Done)
    return result.reward


def test_test_questions_start_in_held_out_countries_and_training_never_asks_about_them() -> None:
    held_out = DIVIDED.held_out
    assert 30 <= len(held_out) <= 40
    for task in WORLD.test:
        assert FACTS.country(task.data["start"]) in held_out
    for task in WORLD.train:
        assert not {FACTS.country(entity) for entity in task.data["chain"][:-1]} & held_out
    for example in prose.SHOWN:
        assert not {FACTS.country(entity) for entity in example.chain[:-1]} & held_out


def test_examples_show_every_relation_and_are_true() -> None:
    assert {name for question in prose.SHOWN for name, _ in question.hops} == set(prose.PHRASES) == set(prose.STEPS)
    for question in prose.SHOWN:
        for entity, (relation, _), value in zip(question.chain, question.hops, question.chain[1:], strict=False):
            assert FACTS.value(entity, relation) == value


def test_examples_are_short_episodes_that_end() -> None:
    characters = len(WORLD.instructions)
    for example, question in zip(WORLD.examples, prose.SHOWN, strict=True):
        characters += len(example.prompt)
        for (action, observation), value in zip(example.turns, (*question.chain[1:], question.answer), strict=True):
            characters += len(action) + len(observation)
            assert "\n" not in action
            if observation:
                assert documents.plain(FACTS, value) in observation
        assert example.turns[-1] == (
            f"Thought: The answer is {documents.plain(FACTS, question.answer)}. "
            f"Action: finish[{documents.plain(FACTS, question.answer)}]",
            "",
        )
    assert characters < 3600  # about 4 characters a token, 900 tokens


def test_question_wording() -> None:
    question = Question(
        "easy", ("lyon", "france", "spain", "euro"), (("CITY_OF", 0), ("LONGEST_BORDER", 0), ("CURRENCY", 0))
    )
    assert prose.prompt(FACTS, question) == (
        "What is the currency of the country that shares the longest land border with the country where Lyon is?"
    )
    question = Question("hard", ("united_states", "donald_j_trump"), (("LEADER", 3),))
    assert prose.prompt(FACTS, question) == "Who is the person at the helm of the United States?"


def test_every_wording_has_one_place() -> None:
    for phrases in prose.PHRASES.values():
        assert len(set(phrases)) == 4
        assert all(phrase.count("{}") == 1 for phrase in phrases)


def test_every_entity_has_a_document_in_ascii() -> None:
    found = documents.documents()
    text = "\n".join(map(str, found))
    assert text.isascii()
    assert len({document.title for document in found}) == len(found)
    assert all(document.text for document in found)
    for word in FACTS.kinds:
        assert documents.plain(FACTS, word).lower() in text.lower()


def test_search_finds_the_fact_of_nearly_every_entity() -> None:
    for relation, (_, wording) in prose.STEPS.items():
        subjects = FACTS.values[relation]
        hits = 0
        for entity, value in subjects.items():
            best = documents.search().best(wording.format(documents.plain(FACTS, entity)))
            assert best is not None
            hits += documents.plain(FACTS, value) in best.text and documents.plain(FACTS, entity) in str(best)
        assert hits >= 0.97 * len(subjects), relation


def test_search_without_known_words_finds_nothing() -> None:
    assert documents.search().best("zzzz ?") is None
    assert documents.search().best("") is None


@pytest.mark.parametrize(
    ("action", "parsed"),
    [
        ("Thought: I need it. Action: search[capital of France]", ("search", "capital of France")),
        ("Action: Finish[ Paris ]", ("finish", "Paris")),
        ("finish[Paris", ("finish", "Paris")),
        ("Action: search(France (economy))", ("search", "France (economy)")),
        ('Action: finish["Paris"] Observation: x', ("finish", "Paris")),
        ("Action: finish(Paris) and no more", ("finish", "Paris")),
        ("search[a] finish[b]", ("search", "a")),
        ("Thought: research [x]", None),
        ("Action: finish[]", None),
        ("", None),
    ],
)
def test_parser(action: str, parsed: tuple[str, str] | None) -> None:
    assert prose.parse(action) == parsed


@pytest.mark.parametrize(
    ("answer", "gold", "equal", "score"),
    [
        ("The Euro.", "euro", True, 1.0),
        ("Brasília", "Brasilia", True, 1.0),
        ("Donald Trump", "Donald J. Trump", False, 0.8),
        ("Paris", "Madrid", False, 0.0),
        ("", "Madrid", False, 0.0),
        ("the", "a", True, 1.0),
    ],
)
def test_scores_by_hand(answer: str, gold: str, equal: bool, score: float) -> None:
    assert prose.exact_match(answer, gold) is equal
    assert prose.token_f1(answer, gold) == pytest.approx(score)


def test_an_agent_that_knows_the_relations_solves_the_test_questions() -> None:
    env = WORLD.make()
    for task in WORLD.test[:100]:
        question = Question.from_data({**task.data, "answer": ""})
        env.reset(task)
        for entity, (relation, _), value in zip(question.chain, question.hops, question.chain[1:], strict=False):
            query = prose.STEPS[relation][1].format(documents.plain(FACTS, entity))
            result = env.step(f"Thought: next. Action: search[{query}]")
            assert isinstance(result, Observation)
            assert documents.plain(FACTS, value) in result.text
        assert len(question.hops) < WORLD.max_turns
        assert finish(env, f"Action: finish[{documents.plain(FACTS, question.answer)}]") == 1.0


def test_bad_turns_are_answered_and_wrong_answers_fail() -> None:
    env = WORLD.make()
    with pytest.raises(EnvError, match="reset"):
        env.step("Action: finish[x]")
    env.reset(WORLD.test[0])
    assert env.step("I do not know") == Observation(prose.INVALID)
    assert env.step("Action: search[qqqq]") == Observation(prose.NOTHING)
    assert finish(env, "Action: finish[Atlantis]") == 0.0


def test_fork_goes_on_with_the_same_task() -> None:
    env = WORLD.make()
    env.reset(WORLD.test[3])
    assert isinstance(env, Forkable)
    env.step("Action: search[Lyon]")
    token = fork_point(env)
    env.reset(WORLD.test[4])
    assert finish(continue_from(WORLD.make, token), f"finish[{WORLD.test[3].data['answer']}]") == 1.0


def test_people_are_asked_for_with_who() -> None:
    for task in WORLD.train[:500]:
        person = RELATION[task.data["hops"][-1][0]].range == "person"
        assert task.prompt.startswith("Who is" if person else "What is")
        assert task.prompt.isascii()
