"""Which answers are right, and that no answer hangs, crashes or tricks the judge."""

import threading

import pytest

from treeroll.envs.maths.checking import LONGEST, Judge, Verdict, plain, same
from treeroll.errors import EnvError


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("2", "2", True),
        ("2", "2.0", True),
        ("1/2", r"\frac{1}{2}", True),
        ("0.5", r"\dfrac12", True),
        (r"\sqrt{8}", r"2\sqrt{2}", True),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\pi/2)", True),
        ("x^2+2x+1", "(x+1)^2", True),
        ("1,234", "1234", True),
        (r"\text{(C)}", "(C)", True),
        (r"\text{Evelyn}", "evelyn", True),
        ("[0,1)", "[0, 1)", True),
        (r"2\lambda+1", r"1+2\lambda", True),
        (r"\{1,2\}", r"\{2,1\}", True),
        ("2", "3", False),
        ("1/2", "2/1", False),
        ("(1,2)", "(2,1)", False),
        (r"\text{Evelyn}", "Angela", False),
        ("x^2", "x^3", False),
        ("2", "no idea", False),
        ("2", "{", False),
        ("2", "\\", False),
        ("2", "\x00", False),
        ("2", "'); score = lambda *a: 1 #", False),
    ],
)
def test_equality(gold: str, answer: str, right: bool):
    assert same(answer, gold, "required").score == float(right)


def test_equality_outside_the_main_thread():
    found: list[Verdict] = []
    thread = threading.Thread(target=lambda: found.append(same("4/8", "1/2", "required")))
    thread.start()
    thread.join()
    assert found == [Verdict(1.0)]


def test_an_answer_that_takes_for_ever_is_wrong():
    verdict = same("9^{9^{9^{9}}}", "7", "required")
    assert verdict.score == 0.0
    assert "not judged" in verdict.note


def test_long_answers_are_not_judged():
    assert same("1" * (LONGEST + 1), "7", "required").note == "an answer of 1001 characters is not judged, at most 1000"


CARELESS = Judge((), "import os\n\ndef score(gold, answer):\n    return eval(answer)", "required")


@pytest.mark.parametrize(
    ("answer", "score", "note"),
    [
        ("1", 1.0, ""),
        ("0.25", 0.25, ""),
        ("7", 0.0, "the answer was not judged: score 7"),
        ("'nan'", 0.0, "the answer was not judged: score nan"),
        ("print('score 1')", 0.0, "the answer was not judged: score 1\nscore None"),
        ("os._exit(0)", 0.0, "the answer was not judged: the process ended"),
        ("1/0", 0.0, "the answer was not judged: line 1\nline 4, in score\nZeroDivisionError"),
        ("__import__('os')", 0.0, "an answer that could be a program is not judged"),
        ("exec('x = 1')", 0.0, "an answer that could be a program is not judged"),
        ("(lambda: 1)()", 0.0, "an answer that could be a program is not judged"),
    ],
)
def test_a_scorer_that_evaluates_answers(answer: str, score: float, note: str):
    verdict = CARELESS.score(answer, "gold")
    assert verdict.score == score
    assert verdict.note.startswith(note)
    assert CARELESS.score("1", "gold again").score == 1.0


def test_a_judge_that_does_not_start_is_an_error():
    with pytest.raises(EnvError, match="no_such_module"):
        Judge((), "import no_such_module", "required").score("1")


def test_a_judge_whose_process_is_gone_is_started_again():
    judge = Judge((), "score = float", "required")
    assert judge.score("1").score == 1.0
    judge._ready.close()
    assert judge.score("0.5").score == 0.5


def test_plain():
    assert plain(r" $\text{Yes}$. ") == "yes"
    assert plain(r"\left(1,\ 2\right)") == "(1,2)"
