"""A dialogue that remembers says what the other says, and asks it once."""

import numpy as np
import pytest

from treeroll.samplers.remembering import RememberingDialogue


class Spelled:
    """Words as their letters' numbers; notes what it was asked."""

    stop_ids = frozenset([0])

    def __init__(self):
        self.asked = []

    def prompt(self, question):
        self.asked.append(question)
        return np.array([ord(letter) for letter in question], np.int32)

    def action(self, token_ids):
        self.asked.append(token_ids.tolist())
        return "".join(map(chr, token_ids))

    def observation(self, text, *, stopped):
        self.asked.append((text, stopped))
        return np.array([ord(letter) for letter in text] if stopped else [0, *map(ord, text)], np.int32)


def test_what_comes_again_is_not_worded_again():
    spelled = Spelled()
    it = RememberingDialogue(spelled)
    assert it.stop_ids == {0}
    assert it.prompt("ab").tolist() == [97, 98]
    for _ in range(3):
        assert it.action(np.array([97, 98], np.int32)) == "ab"
        assert it.observation("b", stopped=True).tolist() == [98]
        assert it.observation("b", stopped=False).tolist() == [0, 98]
    assert spelled.asked == ["ab", [97, 98], ("b", True), ("b", False)]


def test_what_is_shared_cannot_be_written_to():
    ids = RememberingDialogue(Spelled()).observation("b", stopped=True)
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 1


def test_ids_of_any_integer_type_are_told_apart_by_their_values():
    it = RememberingDialogue(Spelled())
    assert it.action(np.array([97, 0], np.int64)) == "a\0"
    assert it.action(np.array([97], np.int32)) == "a"
