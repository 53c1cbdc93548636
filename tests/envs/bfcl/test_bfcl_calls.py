"""What counts as calls in a turn, by hand."""

import pytest

from treeroll.envs.bfcl.calls import Call, MalformedCallError, find_calls, read_call

LS = Call("ls")
CD = Call("cd", (), {"folder": "x"})


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[ls()]", (LS,)),
        ("ls()", (LS,)),
        ("cd(folder='x'), ls()", (CD, LS)),
        ("[cd(folder='x'), ls()]", (CD, LS)),
        ("First I look [as told]: [ cd( folder = 'x' ) , ls()] and then [ls()]", (CD, LS)),
        ("```python\n[ls()]\n```", (LS,)),
        ("<think>[rm(file_name='x')]</think>[ls()]", (LS,)),
        ("[cd(folder='x'), ls()", (CD, LS)),
        ("[cd('x')]", (Call("cd", ("x",)),)),
        ("[echo(content='it is [done] (now)')]", (Call("echo", (), {"content": "it is [done] (now)"}),)),
        (
            "[f(a=[1, -2.5, {'b': (True, None)}], c='x' 'y')]",
            (Call("f", (), {"a": [1, -2.5, {"b": (True, None)}], "c": "xy"}),),
        ),
        (r"[grep(pattern='\d\]\n')]", (Call("grep", (), {"pattern": "\\d\\]\n"}),)),
        (r"[f(a='\477\101')]", (Call("f", (), {"a": "\\477A"}),)),
        ("[Files.ls()]", (Call("Files.ls"),)),
        ("[]", ()),
        ("", ()),
        ("All is done.", ()),
        ("I moved the files (all of them) [1] [see (2)], [and](so on).", ()),
        ("<think>[ls()]</think>It is there.", ()),
    ],
)
def test_the_first_list_of_calls_counts(text: str, calls: tuple[Call, ...]) -> None:
    assert find_calls(text) == calls


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[f(a=x)]", "x is no literal value"),
        ("[f(a=true)]", "true is no literal value"),
        ("[f(a=g(1))]", "g(1) is no literal value"),
        ("[f(a=1 + 1)]", "1 + 1 is no literal value"),
        ("[f(a=f'{1}')]", "is no literal value"),
        ("[f(a={[1]: 2})]", "is no literal value"),
        ("[f(*[1])]", "is no literal value"),
        ("[f(a=__import__('os').system('true'))]", "is no literal value"),
        ("[ls(), 3]", "3 is no call"),
        ("[f(a=1, a=2)]", "a is given twice"),
        ("[f(**{'a': 1})]", "without a name"),
        ("[cd(folder='x'", "not Python"),
        ("[f(a='\x00')]", "not Python"),
        ("[ls() for x in y]", "not Python"),
        ("cd(folder='x')\nls()", "not Python"),
        ("[f(" + "(" * 1000 + "1" + ")" * 1000 + ")]", "not Python"),
        ("[f(" + "-" * 100_000 + "1)]", "not Python"),
        ("[f(a=" + "9" * 5000 + ")]", "not Python"),
    ],
)
def test_what_looks_like_calls_and_is_none_says_why_in_few_words(text: str, why: str) -> None:
    with pytest.raises(MalformedCallError) as caught:
        find_calls(text)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 80


def test_one_call() -> None:
    assert read_call("cd(folder='x')") == CD
    with pytest.raises(MalformedCallError, match="2 calls"):
        read_call("ls(), ls()")
