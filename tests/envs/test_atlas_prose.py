"""The prose rendering: documents, search, parser, scores, the split by country, and whole episodes."""

from collections import Counter

import pytest

from handmade import restored
from treeroll.envs import load
from treeroll.envs.atlas import Mix, atlas, documents, facts, prose
from treeroll.envs.atlas.facts import RELATION
from treeroll.envs.atlas.questions import Question
from treeroll.envs.base import Done, Env, Forkable, Observation
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
    for example in prose.shown(FACTS):
        assert not {FACTS.country(entity) for entity in example.chain[:-1]} & held_out


def test_examples_show_every_relation_and_are_true() -> None:
    shown = {name for question in prose.shown(FACTS) for name, _ in question.hops}
    assert shown == set(prose.PHRASES) == set(prose.MISSING)
    for question in prose.shown(FACTS):
        for entity, (relation, _), value in zip(question.chain, question.hops, question.chain[1:], strict=False):
            assert FACTS.value(entity, relation) == value


def test_examples_are_short_episodes_that_end() -> None:
    characters = len(WORLD.instructions)
    for example, question in zip(WORLD.examples, prose.shown(FACTS), strict=True):
        characters += len(example.prompt)
        for (action, observation), value in zip(example.turns, (*question.chain[1:], question.answer), strict=True):
            characters += len(action) + len(observation)
            assert "\n" not in action
            assert prose.parse(action) is not None
            if observation:
                assert documents.plain(FACTS, value) in observation
        assert example.turns[-1][0].endswith(f", so finish[{documents.plain(FACTS, question.answer)}]")
        assert example.turns[-1][1] == ""
    assert characters < 2800  # about 4 characters a token, 700 tokens


def test_a_demonstration_by_hand() -> None:
    assert WORLD.examples[0].prompt == "What is the currency of the country where Mombasa is?"
    assert WORLD.examples[0].turns == (
        ("First I need the country, so search[country where Mombasa is]", "Mombasa is a city in Kenya."),
        ("Now I need the currency, so search[currency of Kenya]", "The currency of Kenya is the Kenyan shilling."),
        ("It is the Kenyan shilling, so finish[Kenyan shilling]", ""),
    )


def test_the_mix_is_easier_than_the_compact_one_and_can_be_set() -> None:
    tiers = Counter(task.data["tier"] for task in WORLD.train)
    assert tiers == {"easy": 6400, "frontier": 1200, "hard": 400}
    hard = atlas("prose", train=20, test=10, mix=Mix(0.0, 0.0, 1.0))
    assert {task.data["tier"] for task in (*hard.train, *hard.test)} == {"hard"}


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


@pytest.mark.parametrize("relation", prose.PHRASES)
def test_the_words_of_a_plain_question_find_the_fact(relation: str) -> None:
    subjects = FACTS.values[relation]
    hits = 0
    for entity in subjects:
        best = documents.search().best(prose.query(FACTS, relation, entity))
        hits += best == documents.stated(FACTS, relation, entity)
    assert hits >= 0.97 * len(subjects)


def test_rare_words_find_another_fact() -> None:
    best = documents.search().best("the largest customer of Germany")
    assert best is not None
    assert best != documents.stated(FACTS, "EXPORTS_TO", "germany")


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
        ("<think>search[a] or finish[b]?</think> search[c]", ("search", "c")),
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
            result = env.step(f"Next, search[{prose.query(FACTS, relation, entity)}]")
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
    token = env.snapshot()
    env.reset(WORLD.test[4])
    assert finish(restored(WORLD.make, token), f"finish[{WORLD.test[3].data['answer']}]") == 1.0


def test_people_are_asked_for_with_who() -> None:
    for task in WORLD.train[:500]:
        person = RELATION[task.data["hops"][-1][0]].range == "person"
        assert task.prompt.startswith("Who is" if person else "What is")
        assert task.prompt.isascii()
