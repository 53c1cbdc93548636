import io

import pytest

from treeroll.live import LiveView, duration

RECORD = {
    "step": 2,
    "heldout": {"success": 0.4567},
    "contrast": {"effective_ratio": 0.5, "mixed_groups_per_1000": 80.4},
    "spent": {"rollouts": 1280, "sampled_tokens": 20480, "tool_calls": 300},
    "predictor": {"root_skill": 0.1},
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_hold_what_the_record_holds():
    stream, clock = io.StringIO(), Clock()
    with LiveView(4, title="trace, seed 0", stream=stream, clock=clock) as view:
        view.show({"step": 0, "heldout": {"success": 0.41}})
        clock.now = 10.0
        view.show(RECORD)
        view.status("evaluating")
        view.note("line 3 was cut")
    assert stream.getvalue().splitlines() == [
        "trace, seed 0",
        "step 0/4  held-out 0.410",
        "step 2/4  held-out 0.457  effective 0.50  mixed/1k 80  rollouts 1,280  tokens 20,480  tool calls 300  "
        "skill +0.10  left 10 s",
        "line 3 was cut",
    ]


def test_missing_groups_and_nulls_are_left_out():
    stream = io.StringIO()
    with LiveView(4, stream=stream) as view:
        view.show({"step": 1, "predictor": None, "spent": {"rollouts": None}})
    assert stream.getvalue().splitlines()[1] == "step 1/4"


def test_a_terminal_gets_a_table():
    stream = Terminal()
    with LiveView(4, title="trace [seed 0]", stream=stream) as view:
        view.note("[careful]")
        view.status("evaluating")
        view.show({"step": 0, "heldout": {"success": 0.41}})
        view.show(RECORD)
    text = stream.getvalue()
    for part in ("trace [seed 0]", "[careful]", "held-out", "0.457", "step 2 of 4", "held-out 0.410 -> 0.457"):
        assert part in text


def test_the_terminal_is_given_back_after_ctrl_c():
    stream = Terminal()

    def interrupted() -> None:
        with LiveView(4, stream=stream) as view:
            view.show(RECORD)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    text = stream.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is shown again
    assert "stopped" in text
    assert text.endswith(("\n", "\x1b[?25h"))


def test_a_run_of_no_steps_can_be_shown():
    with LiveView(0, stream=Terminal()) as view:
        view.show({"step": 0})


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")]
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words
