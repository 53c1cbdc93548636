"""reasoning-gym: how its data sets are made, in the trainer and in the judge alike, and how they score."""

from typing import Any

from reasoning_gym.factory import CURRICULA, create_curriculum, create_dataset


def made(family: str, level: int, seed: int, size: int) -> Any:
    """Returns a family's data set at a level of its curriculum; as it comes where it has none."""
    if family not in CURRICULA:
        return create_dataset(family, seed=seed, size=size)
    curriculum = create_curriculum(family)
    curriculum.set_global_level(level)
    return create_dataset(family, **vars(curriculum.generate_configuration({"seed": seed, "size": size})))


def score(place: tuple[str, int, int, int, int], answer: str) -> float:
    """Returns the score of an answer in [0, 1]; 0 where the scorer raises, as many do on what they cannot read.

    Args:
      place: the task: family, level, seed and size of its data set, and its index in it.
      answer: what the policy said.
    """
    family, level, seed, size, index = place
    data = made(family, level, seed, size)
    entry = data[index]
    try:
        return max(0.0, min(1.0, float(data.score_answer(answer, entry))))
    except Exception:
        return 0.0
