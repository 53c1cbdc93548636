"""What a turn says: the first code, or a boxed answer before it."""

import pytest

from treeroll.envs.maths.boxed import Answer, Code, boxed, parse


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"so \boxed{9}.", "9"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{1} and then \boxed{ 2 }", "2"),
        (r"\boxed{(1,2)} \boxed{}", "(1,2)"),
        (r"\fbox{3}", "3"),
        (r"\boxed {4}", "4"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{5", None),
        ("boxed{6}", None),
        ("", None),
    ],
)
def test_boxed(text: str, content: str | None):
    assert boxed(text) == content


@pytest.mark.parametrize(
    ("turn", "does"),
    [
        ("```python\nx = 1\nx\n```", Code("x = 1\nx\n")),
        ("First\n```py\n1\n```\nthen\n```python\n2\n```", Code("1\n")),
        ("```python\nx = 1", Code("x = 1")),
        ("python[sum([1, 2][i] for i in (0, 1))] is it", Code("sum([1, 2][i] for i in (0, 1))")),
        ("python[1 + 1", Code("1 + 1")),
        ("python[1] or python[2]", Code("1")),
        ("```python\n1\n```\n```output\n1\n```\nso \\boxed{1}", Code("1\n")),
        ("\\boxed{2}\n```python\n1\n```", Answer("2")),
        ("<think>python[1] \\boxed{1}</think> \\boxed{3}", Answer("3")),
        ("it is \\boxed{a_{1}}", Answer("a_{1}")),
        ("```output\n5\n```\nplain words", None),
        ("python[]", None),
        ("the \\boxed{} is empty", None),
        ("", None),
    ],
)
def test_parse(turn: str, does: Code | Answer | None):
    assert parse(turn) == does
