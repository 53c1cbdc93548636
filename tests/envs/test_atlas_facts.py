"""The committed facts: types, names, and samples checked against what everybody knows."""

import re

import pytest

from treeroll.envs.atlas import facts
from treeroll.envs.atlas.facts import RELATION, RELATIONS

FACTS = facts.load()


@pytest.mark.parametrize(
    ("entity", "relation", "value"),
    [
        ("france", "CAPITAL", "paris"),
        ("japan", "CURRENCY", "yen"),
        ("brazil", "LANGUAGE", "portuguese"),
        ("portugal", "LONGEST_BORDER", "spain"),
        ("tanzania", "HIGHEST_POINT", "kilimanjaro"),
        ("kilimanjaro", "HIGHEST_POINT_OF", "tanzania"),
        ("canada", "EXPORTS_TO", "united_states"),
        ("mongolia", "IMPORTS_FROM", "china"),
        ("lyon", "CITY_OF", "france"),
        ("australia", "LARGEST_OTHER_CITY", "melbourne"),
        ("mumbai", "UTC_OFFSET", "utc+5:30"),
        ("narendra_modi", "GOVERNS", "india"),
        ("narendra_modi", "SINCE", "2014"),
        ("saudi_arabia", "TOP_EXPORT", "crude_petroleum"),
    ],
)
def test_known_facts(entity: str, relation: str, value: str) -> None:
    assert FACTS.value(entity, relation) == value


def test_what_is_disputed_or_shared_is_left_out() -> None:
    assert FACTS.value("south_africa", "CAPITAL") is None
    assert FACTS.value("nepal", "HIGHEST_POINT") is None
    assert FACTS.value("france", "no such relation") is None


def test_words_are_single_ascii_and_unique() -> None:
    words = [word for names in FACTS.names.values() for word in names]
    assert len(words) == len(set(words)) == len(FACTS.kinds)
    assert all(re.fullmatch(r"[a-z0-9+:\-_]+", word) for word in words)


def test_size_of_the_world() -> None:
    assert 150 <= len(FACTS.names["country"]) <= 190
    assert len(FACTS.names["city"]) > 300


def test_cities_leaders_and_mountains_belong_to_one_country() -> None:
    for kind in ("country", "city", "person", "mountain"):
        for word in FACTS.names[kind]:
            home = FACTS.country(word)
            assert home is not None
            assert FACTS.kinds[home] == "country"
    assert FACTS.country("yen") is None


def test_inverse_relations_agree() -> None:
    for there, back in (("CAPITAL", "CITY_OF"), ("LEADER", "GOVERNS"), ("HIGHEST_POINT", "HIGHEST_POINT_OF")):
        for subject, value in FACTS.values[there].items():
            assert FACTS.value(value, back) == subject


def test_nearest_city_is_abroad_and_next_mountain_is_higher() -> None:
    for city, nearest in FACTS.values["NEAREST_ABROAD"].items():
        assert FACTS.country(city) != FACTS.country(nearest)
    for mountain, higher in FACTS.values["NEXT_HIGHER"].items():
        assert FACTS.about[mountain]["height_m"] < FACTS.about[higher]["height_m"]


def test_aliases_are_distinct_lower_case_words() -> None:
    aliases = [alias for relation in RELATIONS for alias in relation.aliases]
    assert len(aliases) == len(set(aliases)) == 4 * len(RELATIONS)
    assert all(re.fullmatch("[a-z]+", alias) for alias in aliases)
    assert not {*aliases} & {*FACTS.kinds}
    assert set(RELATION) == set(FACTS.values)
