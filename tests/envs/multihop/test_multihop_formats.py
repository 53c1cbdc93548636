"""Published formats: the same question out of every shape of a file, and errors that name file, line and field."""

import json
from pathlib import Path
from typing import Any

import published
import pytest

from treeroll.envs.multihop.formats import BAMBOOGLE, FORMATS, HOTPOTQA, MUSIQUE, TWOWIKI
from treeroll.envs.multihop.loading import load
from treeroll.envs.multihop.question import Document, Question
from treeroll.errors import DataError

FIRST = Question(
    "5a0",
    "Which sea does the river through Arnholt reach?",
    ("Ilse Sea",),
    "bridge",
    (
        Document("", "Arnholt", "Arnholt is a town. It lies on the Ilse."),
        Document("", "Ilse (river)", "The Ilse is a river. It reaches the Ilse Sea."),
        Document("", "Rivers", "Rivers flow downhill."),
    ),
)


def test_hotpotqa_by_hand(tmp_path: Path) -> None:
    found = load(HOTPOTQA, published.write_json(tmp_path / "dev.json", published.hotpotqa()))
    assert found.questions[0] == FIRST
    assert (len(found.questions), found.left_out) == (6, 0)


def test_every_shape_of_a_file_gives_the_same_questions(tmp_path: Path) -> None:
    records = published.hotpotqa()
    columns = [published.as_columns(record) for record in records]
    as_text = [
        {name: json.dumps(value) if isinstance(value, list) else value for name, value in record.items()}
        for record in records
    ]
    sources = [
        published.write_json(tmp_path / "one-line.json", records),
        published.write_json(tmp_path / "indented.json", records, indent=2),
        published.write_lines(tmp_path / "lines.json", records),
        published.write_lines(tmp_path / "lines.jsonl", columns),
        published.write_parquet(tmp_path / "columns.parquet", columns),
        published.write_parquet(tmp_path / "text.parquet", as_text),
    ]
    (tmp_path / "marked.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "indented.json").read_bytes())
    expected = load(HOTPOTQA, sources[0])
    for source in [*sources[1:], str(tmp_path / "marked.json")]:
        assert load(HOTPOTQA, source) == expected, source


def test_twowiki_aliases_are_answers(tmp_path: Path) -> None:
    source = published.write_json(tmp_path / "dev.json", published.twowiki())
    aliases = tmp_path / "id_aliases.json"
    aliases.write_text(
        '{"Q_id": "Q0", "aliases": ["Sea of Ilse", "Ilse Sea"], "demonyms": ["Ilsean"]}\n'
        '{"Q_id": "Q99", "aliases": ["Nowhere"], "demonyms": []}\n'
    )
    questions = load(TWOWIKI, source, aliases=str(aliases)).questions
    assert questions[0].answers == ("Ilse Sea", "Sea of Ilse", "Ilsean")
    assert questions[1].answers == ("Jarn Sea",)
    assert load(TWOWIKI, source).questions[0].answers == ("Ilse Sea",)


def test_musique_leaves_the_unanswerable_out_and_counts_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = load(MUSIQUE, published.write_lines(tmp_path / "full.jsonl", published.musique()))
    assert (len(found.questions), found.left_out) == (3, 3)
    assert "3 unanswerable questions left out, 3 kept" in caplog.text
    first = found.questions[0]
    assert (first.answers, first.kind) == (("Ilse Sea", "Sea of Ilse"), "2hop")
    assert first.documents[1] == Document("", "Ilse", "It reaches the Ilse Sea.")


def test_bamboogle_is_a_table_without_documents(tmp_path: Path) -> None:
    file = tmp_path / "bamboogle.csv"
    file.write_text(published.BAMBOOGLE)
    expected = (
        Question("bamboogle-001", "Who led the town on the Ilse?", ("Vey, Maud",)),
        Question("bamboogle-002", "When did she die?", ("1712",)),
    )
    assert load(BAMBOOGLE, str(file)).questions == expected
    rows = [{"question": question.text, "answer": question.answers[0]} for question in expected]
    assert load(BAMBOOGLE, published.write_parquet(tmp_path / "test.parquet", rows)).questions == expected


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_golden_answers_are_read_without_documents(form: Any, tmp_path: Path) -> None:
    record = {"id": "dev_0", "question": "Which sea?", "golden_answers": ["Ilse Sea", "Sea of Ilse"], "metadata": {}}
    found = load(form, published.write_lines(tmp_path / "dev.jsonl", [record]))
    assert found.questions == (Question("dev_0", "Which sea?", ("Ilse Sea", "Sea of Ilse")),)


def broken(**changes: Any) -> dict[str, Any]:
    record = {**published.hotpotqa()[1], **changes}
    return {name: value for name, value in record.items() if value is not ...}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_id": ...}, "field '_id' or 'id' is missing; it has 'question', 'answer'"),
        ({"_id": 7}, "field '_id' must be a text that is not empty, got 7"),
        ({"question": None}, "field 'question' is missing"),
        ({"question": " "}, "field 'question' must be a text that is not empty, got ' '"),
        ({"answer": ...}, "field 'answer' is missing"),
        ({"answer": ["Ilse"]}, r"field 'answer' must be a text that is not empty, got \['Ilse'\]"),
        ({"type": 3}, "field 'type' must be a text"),
        ({"answer": "half \ud83d"}, "field 'answer' must be whole characters"),
        ({"context": [["a", ["\udc00"]]]}, r"field 'context\[0\], sentence 0' must be whole characters"),
        ({"context": 5}, "field 'context' must be a list, got 5"),
        ({"context": "[[1,"}, "field 'context' must be JSON where it is a text"),
        ({"context": [["Ilse"]]}, r"field 'context\[0\]' must be a list of a title and its sentences"),
        ({"context": [["a", ["b."]], ["", ["c."]]]}, r"field 'context\[1\], title' must be a text that is not empty"),
        ({"context": [["a", "b."]]}, r"field 'context\[0\], sentences' must be a list, got 'b\.'"),
        ({"context": [["a", ["b.", 4]]]}, r"field 'context\[0\], sentence 1' must be a text, got 4"),
        ({"context": {"title": ["a"]}}, r"field 'context' must be an object with 'title' and 'sentences', got"),
        ({"context": {"title": ["a"], "sentences": []}}, r"'context.sentences' must be as long as context.title, 1"),
        ({"context": {"title": "a", "sentences": []}}, "field 'context.title' must be a list, got 'a'"),
        ({"_id": "5a0"}, "id '5a0' is taken by an earlier question"),
    ],
)
def test_a_malformed_record_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    records = [published.hotpotqa()[0], broken(**changes)]
    file = tmp_path / "dev.jsonl"
    with pytest.raises(DataError, match=rf"dev\.jsonl, line 2: .*{message}"):
        load(HOTPOTQA, published.write_lines(file, records))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answerable": "no"}, "field 'answerable' must be true or false, got 'no'"),
        ({"answer_aliases": "Ilse"}, "field 'answer_aliases' must be a list of texts, got 'Ilse'"),
        ({"answer_aliases": ["a", 2]}, r"field 'answer_aliases\[1\]' must be a text that is not empty, got 2"),
        ({"paragraphs": {}}, "field 'paragraphs' must be a list"),
        ({"paragraphs": ["x"]}, r"field 'paragraphs\[0\]' must be an object, got 'x'"),
        ({"paragraphs": [{"title": "a"}]}, r"field 'paragraphs\[0\]\.paragraph_text' must be a text .*got None"),
        ({"answer": None, "golden_answers": []}, "field 'golden_answers' must be a list of at least one text"),
    ],
)
def test_a_malformed_musique_record_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    record = {**published.musique()[0], **changes}
    with pytest.raises(DataError, match=rf"dev\.jsonl, line 1: {message}"):
        load(MUSIQUE, published.write_lines(tmp_path / "dev.jsonl", [record]))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"_id": 1}\n{"_id" 2}\n', "a.jsonl, line 1: field '_id' must be"),
        ("a.jsonl", "\n{'_id': 1}\n", "a.jsonl, line 2: not JSON: Expecting property name"),
        ("a.jsonl", '{"_id": ' + 5000 * "9" + "}", "a.jsonl, line 1: not JSON: Exceeds the limit"),
        ("a.json", '[\n{"_id": ' + 5000 * "9" + "}]", "a.json, line 2: not JSON: Exceeds the limit"),
        ("a.json", 100_000 * "[", "a.json, line 1: not JSON: maximum recursion depth"),
        ("a.jsonl", "[1]\n", "a.jsonl, line 1: expected an object, got list"),
        ("a.jsonl", "", "a.jsonl: no questions for hotpotqa: it is empty"),
        ("a.json", "[]", "a.json: no questions for hotpotqa: it is empty"),
        ("a.json", '[\n {"_id": "x"},\n {"_id" 2}\n]', "a.json, line 2, entry 1: field 'question' is missing"),
        ("a.json", '[\n {"_id" 2}\n]', "a.json, line 2: not JSON: Expecting ':'"),
        ("a.json", "[\n\n5]", "a.json, line 3, entry 1: expected an object, got int"),
        ("a.json", '["x"', "a.json, line 1, entry 1: expected an object, got str"),
        ("a.csv", "_id,question,answer\na,b\n", "a.csv, line 2: field 'answer' is missing"),
        ("a.csv", "_id,question,answer\na,b,c,d\n", "a.csv, line 2: more cells than the heading's 3"),
        ("a.csv", '_id,question,answer\na,"b', "a.csv, line 2: not CSV: unexpected end of data"),
        ("a.parquet", "PAR1", "a.parquet: not a readable parquet file"),
        ("a.tsv", "x", "a.tsv: unknown kind of file '.tsv'; known: .json, .jsonl, .csv, .parquet"),
    ],
)
def test_a_malformed_file_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        load(HOTPOTQA, str(tmp_path / name))


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ("", "line 3: entry 1 is followed by '', expected ',' or ']'"),
        (" x]", "line 3: entry 1 is followed by 'x'"),
        (",\n]", "line 4: not JSON: Expecting value"),
        ("] 5", "there is more after the array: '5'"),
    ],
)
def test_an_array_must_end_as_one(tail: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "dev.json"
    file.write_text("\n[\n" + json.dumps(published.hotpotqa()[0]) + tail)
    with pytest.raises(DataError, match=message):
        load(HOTPOTQA, str(file))


def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "dev.json"
    file.write_bytes(b'[\n{"_id": "\xff"}]')
    with pytest.raises(DataError, match=r"dev\.json, line 2: not UTF-8 text"):
        load(HOTPOTQA, str(file))


def test_a_row_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    rows = [{"id": "a", "question": "b", "answer": "c"}, {"id": "d", "question": "e", "answer": None}]
    with pytest.raises(DataError, match=r"dev\.parquet, row 2: field 'answer' is missing"):
        load(HOTPOTQA, published.write_parquet(tmp_path / "dev.parquet", rows))


def test_only_unanswerable_questions_are_an_error(tmp_path: Path) -> None:
    source = published.write_lines(tmp_path / "dev.jsonl", published.musique()[1:2])
    with pytest.raises(DataError, match="no questions for musique: all 1 are unanswerable"):
        load(MUSIQUE, source)
