"""Questions of 1 to 4 hops over the facts, in three tiers of difficulty, divided without leakage.

A question is a chain of distinct entities start -> e1 -> ... -> answer. Each hop is worded with one of the four
aliases of its relation; how rare the aliases are makes the tier:

    easy      1-2 hops, all alias 0
    frontier  1-3 hops, exactly one alias 2 or 3, the others 0 or 1
    hard      2-4 hops, all alias 3
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from treeroll.envs.atlas.facts import RELATION, Facts
from treeroll.errors import ConfigError
from treeroll.seeding import derive

Tier = Literal["easy", "frontier", "hard"]
Split = Literal["train", "test"]
TIERS: tuple[Tier, ...] = ("easy", "frontier", "hard")
HOPS: Mapping[Tier, tuple[int, int]] = {"easy": (1, 2), "frontier": (1, 3), "hard": (2, 4)}
"""Fewest and most hops of a tier, equally often where there are enough questions."""
STARTS: Mapping[str, float] = {"city": 0.35, "country": 0.3, "person": 0.2, "mountain": 0.15}
"""How often a question starts at an entity of each type."""
MAX_ANSWER_SHARE = 0.02
MAX_MISSES = 50_000
"""Draws in a row that give no new question, after which the facts are taken to hold no more."""
TEST_SHARE = 0.15
"""Share of the keys (see `split_key`) that belong to the test questions."""


@dataclass(frozen=True)
class Mix:
    """Shares of the tiers among the questions; they add up to 1."""

    easy: float = 0.4
    frontier: float = 0.3
    hard: float = 0.3

    def __post_init__(self) -> None:
        shares = asdict(self)
        if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-9:
            raise ConfigError(f"Mix{tuple(shares.values())}: shares must be >= 0 and add up to 1")

    def counts(self, total: int) -> dict[Tier, int]:
        """Returns how many of `total` questions each tier has; the rounding error goes to the easy ones."""
        counts: dict[Tier, int] = {
            "easy": 0,
            "frontier": round(total * self.frontier),
            "hard": round(total * self.hard),
        }
        counts["easy"] = total - sum(counts.values())
        return counts


@dataclass(frozen=True)
class Question:
    """A chain through the facts and how it is worded."""

    tier: Tier
    chain: tuple[str, ...]
    """H + 1 distinct entities, from the start to the answer."""
    hops: tuple[tuple[str, int], ...]
    """H times (relation, alias 0..3)."""

    @property
    def start(self) -> str:
        return self.chain[0]

    @property
    def answer(self) -> str:
        return self.chain[-1]

    @property
    def aliases(self) -> tuple[str, ...]:
        """H words, in the order in which the hops are taken."""
        return tuple(RELATION[relation].aliases[alias] for relation, alias in self.hops)

    def to_data(self) -> dict[str, Any]:
        """Returns JSON values for `Task.data`: tier, start, hops, chain, answer."""
        return {
            "tier": self.tier,
            "start": self.start,
            "hops": [list(hop) for hop in self.hops],
            "chain": list(self.chain),
            "answer": self.answer,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Question:
        """Returns the question that `to_data` wrote."""
        return cls(data["tier"], tuple(data["chain"]), tuple((str(name), int(alias)) for name, alias in data["hops"]))


def split_key(facts: Facts, question: Question) -> tuple[str, ...]:
    """Returns what may not be both in train and in test: entities of the chain, then the last relation.

    The entities are those from the first country up to the last but one, or the last but one alone where no
    country comes before the answer. So the key does not depend on the start (a city, a leader, a mountain) nor
    on the wording: every question that takes the same way through countries is on the same side.
    """
    asked = question.chain[:-1]
    first = next((i for i, entity in enumerate(asked) if facts.kinds[entity] == "country"), len(asked) - 1)
    return (*asked[first:], question.hops[-1][0])


def split_by_key(facts: Facts, question: Question) -> Split:
    """Returns the side of a question by the hash of its key. It depends on no seed: other seeds leak nothing."""
    return "test" if derive(0, "atlas split", *split_key(facts, question)) < TEST_SHARE * 2**64 else "train"


def generate(
    facts: Facts,
    sizes: Mapping[Split, int],
    *,
    seed: int,
    mix: Mix,
    split: Callable[[Facts, Question], Split | None] = split_by_key,
    relations: Sequence[str] = tuple(RELATION),
    hops: Mapping[Tier, tuple[int, int]] = HOPS,
) -> dict[Split, list[Question]]:
    """Returns distinct questions for both splits, in random order, with no answer above `MAX_ANSWER_SHARE`.

    Args:
      sizes: number of questions of each split.
      seed: equal seeds (and arguments) give equal questions.
      split: the side of a question, or None where it belongs to neither.
      relations: the relations that questions may use.
      hops: fewest and most hops of each tier.

    Raises:
      ConfigError: the facts do not hold that many questions.
    """
    draw = random.Random(derive(seed, "atlas questions"))
    moves = _moves(facts, relations)
    starts = {kind: sorted(word for word in facts.names[kind] if word in moves) for kind in STARTS}
    starts = {kind: words for kind, words in starts.items() if words}
    quotas = {side: mix.counts(size) for side, size in sizes.items()}
    caps = {side: max(1, int(MAX_ANSWER_SHARE * size)) for side, size in sizes.items()}
    answers: dict[Split, Counter[str]] = {side: Counter() for side in sizes}
    found: dict[Split, list[Question]] = {side: [] for side in sizes}
    seen: set[tuple[str, tuple[tuple[str, int], ...]]] = set()
    misses = 0
    for tier in TIERS:
        while any(quota[tier] for quota in quotas.values()):
            if misses == MAX_MISSES:
                missing = {side: quota[tier] for side, quota in quotas.items()}
                raise ConfigError(f"atlas: no more {tier} questions, {missing} missing of {dict(sizes)}; ask for fewer")
            misses += 1
            question = _draw_question(draw, tier, hops[tier], moves, starts)
            side = None if question is None else split(facts, question)
            if question is None or side is None or not quotas[side][tier]:
                continue
            if answers[side][question.answer] >= caps[side] or (question.start, question.hops) in seen:
                continue
            misses = 0
            seen.add((question.start, question.hops))
            answers[side][question.answer] += 1
            quotas[side][tier] -= 1
            found[side].append(question)
    for questions in found.values():
        draw.shuffle(questions)
    return found


Moves = Mapping[str, Sequence[tuple[str, str]]]
"""Entity -> the (relation, value) pairs that a chain can go on with."""


def _moves(facts: Facts, relations: Sequence[str]) -> Moves:
    wanted = set(relations)
    return {
        entity: [(name, facts.values[name][entity]) for name in names if name in wanted]
        for entity, names in facts.relations_of.items()
        if wanted.intersection(names)
    }


def _draw_question(
    draw: random.Random, tier: Tier, lengths: tuple[int, int], moves: Moves, starts: Mapping[str, Sequence[str]]
) -> Question | None:
    """Returns a random walk of fewest to most hops with the tier's aliases; None where it gets stuck."""
    hops = draw.randint(*lengths)
    kind = draw.choices(list(starts), weights=[STARTS[kind] for kind in starts])[0]
    chain, relations = [draw.choice(starts[kind])], []
    for left in range(hops - 1, -1, -1):
        options = [
            (name, value) for name, value in moves[chain[-1]] if value not in chain and (left == 0 or value in moves)
        ]
        if not options:
            return None
        name, value = draw.choice(options)
        relations.append(name)
        chain.append(value)
    return Question(tier, tuple(chain), tuple(zip(relations, draw_aliases(draw, tier, hops), strict=True)))


def draw_aliases(draw: random.Random, tier: Tier, hops: int) -> list[int]:
    """Returns one alias 0..3 for each hop, as the tier wants them."""
    if tier == "easy":
        return [0] * hops
    if tier == "hard":
        return [3] * hops
    aliases = [draw.randrange(2) for _ in range(hops)]
    aliases[draw.randrange(hops)] = 2 + draw.randrange(2)
    return aliases
