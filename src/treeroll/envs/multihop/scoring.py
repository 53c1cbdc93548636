"""Exact match and token F1 of short answers, as SQuAD defined them and HotpotQA, 2WikiMultiHopQA and MuSiQue use them.

Where their scripts differ, this is HotpotQA's: an answer `yes`, `no` or `noanswer` has F1 0 with any other. Its script
gives F1 0 to two answers of which nothing is left after normalisation (and exact match 1); here both are 1, as in
SQuAD 2.0 and MuSiQue.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
WHOLE = frozenset({"yes", "no", "noanswer"})
"""Answers that are right or wrong as a whole."""


def normalise(answer: str) -> str:
    """Returns an answer in lower case without ASCII punctuation, articles and extra blanks, in SQuAD's order."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, gold: str) -> float:
    """Returns 1 where two answers are equal after `normalise`, else 0."""
    return float(normalise(answer) == normalise(gold))


def token_f1(answer: str, gold: str) -> float:
    """Returns the F1 of the normalised words as multisets, in [0, 1]."""
    said, meant = normalise(answer), normalise(gold)
    if said == meant:
        return 1.0
    if said in WHOLE or meant in WHOLE:
        return 0.0
    words, wanted = said.split(), meant.split()
    common = sum((Counter(words) & Counter(wanted)).values())
    return 2 * common / (len(words) + len(wanted))


SCORES: dict[str, Callable[[str, str], float]] = {"f1": token_f1, "em": exact_match}


def best(score: str, answer: str, golds: Iterable[str]) -> float:
    """Returns the largest score of an answer over the gold answer and its aliases; `score` is a key of `SCORES`."""
    return max(SCORES[score](answer, gold) for gold in golds)
