"""Sources, splits and limits."""

from pathlib import Path

import published
import pytest

from treeroll.envs.multihop.formats import HOTPOTQA
from treeroll.envs.multihop.loading import load, sample, split
from treeroll.envs.multihop.question import Question
from treeroll.errors import ConfigError, DataError

QUESTIONS = tuple(Question(f"q{number}", "?", ("a",)) for number in range(20))


def ids(questions: list[Question]) -> list[str]:
    return [question.id for question in questions]


def test_a_split_depends_on_ids_and_seed_only() -> None:
    train, test = split(QUESTIONS, 0.25, seed=0)
    assert (len(train), len(test)) == (15, 5)
    assert sorted([*train, *test], key=QUESTIONS.index) == list(QUESTIONS)
    again = split(tuple(reversed(QUESTIONS)), 0.25, seed=0)
    assert [set(ids(part)) for part in again] == [set(ids(train)), set(ids(test))]
    assert set(ids(split(QUESTIONS, 0.25, seed=1)[1])) != set(ids(test))


def test_a_split_holds_out_one_and_leaves_one() -> None:
    assert [len(part) for part in split(QUESTIONS, 0.01, seed=0)] == [19, 1]
    with pytest.raises(ConfigError, match=r"test_share=0\.99 of 20 questions holds out 20: none is left to train on"):
        split(QUESTIONS, 0.99, seed=0)


def test_a_limit_keeps_some_in_order() -> None:
    kept = sample(list(QUESTIONS), 5, seed=0)
    assert len(kept) == 5
    assert kept == sorted(kept, key=QUESTIONS.index)
    assert set(ids(sample(list(QUESTIONS), 4, seed=0))) < set(ids(kept))
    assert sample(list(QUESTIONS), None, seed=0) == sample(list(QUESTIONS), 99, seed=0) == list(QUESTIONS)


@pytest.mark.parametrize("source", ["dev.json", "./no/such", "/tmp/no/such/file.parquet", "a b", "one"])
def test_a_source_that_is_nowhere_is_an_error(source: str) -> None:
    with pytest.raises(
        DataError, match=r"no such file\. Name a \.json, \.jsonl, .csv, .parquet file, or a data set of"
    ):
        load(HOTPOTQA, source)


def test_aliases_where_there_are_none_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"aliases=x\.json: hotpotqa publishes no file of aliases"):
        load(HOTPOTQA, str(tmp_path), aliases="x.json")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that `datasets` takes for the data set `owner/set`, as if it had come from the hub."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "owner" / "set"
    folder.mkdir(parents=True)
    columns = [published.as_columns(record) for record in published.hotpotqa()]
    published.write_parquet(folder / "train-00000.parquet", columns[:4])
    published.write_parquet(folder / "validation-00000.parquet", columns[4:])
    return folder


@pytest.mark.parametrize(
    ("source", "kept"), [("owner/set", 4), ("owner/set:validation", 2), ("owner/set:default:validation", 2)]
)
def test_a_data_set_of_the_hub(hub: Path, source: str, kept: int, tmp_path: Path) -> None:
    expected = load(HOTPOTQA, published.write_json(tmp_path / "all.json", published.hotpotqa())).questions
    assert load(HOTPOTQA, source).questions == (expected[:4] if kept == 4 else expected[4:])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("owner/set:dev", "owner/set:dev: the hub gives no split 'dev' of 'owner/set'"),
        ("owner/set:other:train", "the hub gives no split 'train' of 'owner/set'"),
        ("owner/nothing", "the hub gives no split 'train' of 'owner/nothing'"),
    ],
)
def test_what_the_hub_does_not_have_is_an_error(hub: Path, source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(HOTPOTQA, source)


def test_a_row_of_the_hub_is_named(hub: Path) -> None:
    rows = [{"id": "a", "question": "b", "answer": ""}]
    published.write_parquet(hub / "test-00000.parquet", rows)
    with pytest.raises(DataError, match="owner/set:test, row 1: field 'answer' must be a text that is not empty"):
        load(HOTPOTQA, "owner/set:test")
