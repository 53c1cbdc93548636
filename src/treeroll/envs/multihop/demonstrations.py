"""Three worked examples for models that have not been trained: a chain, a comparison, and a search that fails.

Written for this project, from common knowledge; their passages are shown as the episodes' own are.
"""

from __future__ import annotations

from treeroll.envs.base import Example
from treeroll.envs.multihop.env import shown
from treeroll.envs.multihop.question import Document

_WORDS = 60
_PASSAGES = {
    title: Document("", title, text)
    for title, text in {
        "Sydney Opera House": "a performing arts centre in Sydney, opened in 1973. Its architect was Jorn Utzon.",
        "Sydney": "the largest city of Australia and the capital of New South Wales.",
        "Jorn Utzon": "an architect, born in 1918 in Copenhagen, Denmark, who died in 2008.",
        "Giuseppe Verdi": "a composer of operas such as Nabucco and Aida, born in 1813 near Busseto in Italy.",
        "Aida": "an opera of 1871 by Giuseppe Verdi, set in Egypt.",
        "Georges Bizet": "a composer best known for the opera Carmen, born in 1838 in Paris, France.",
        "Saint Louis": "a city in Missouri on the Mississippi River, known for the Gateway Arch.",
        "Minnesota": "a state of the United States. Its capital is Saint Paul, its largest city is Minneapolis.",
        "Mayo Clinic": "a hospital with headquarters in Rochester, Minnesota.",
    }.items()
}


def _seen(*titles: str) -> str:
    return shown([_PASSAGES[title] for title in titles], _WORDS)


EXAMPLES = (
    Example(
        "In which country was the architect of the Sydney Opera House born?",
        (
            (
                "First I need the architect, so search[architect of the Sydney Opera House]",
                _seen("Sydney Opera House", "Sydney"),
            ),
            ("Now I need where Utzon was born, so search[Jorn Utzon born]", _seen("Jorn Utzon", "Sydney Opera House")),
            ("He was born in Denmark, so finish[Denmark]", ""),
        ),
    ),
    Example(
        "Were the composers of Aida and Carmen born in the same country?",
        (
            ("First I need the composer of Aida, so search[composer of Aida]", _seen("Aida", "Giuseppe Verdi")),
            ("Verdi was born in Italy. Next, search[composer of Carmen]", _seen("Georges Bizet")),
            ("Bizet was born in France, not in Italy, so finish[no]", ""),
        ),
    ),
    Example(
        "What is the capital of the state where the Mayo Clinic has its headquarters?",
        (
            ("First I need the state, so search[state with the headquarters of the clinic]", _seen("Saint Louis")),
            ("That is something else, so search[Mayo Clinic]", _seen("Mayo Clinic")),
            ("Now I need the capital of Minnesota, so search[capital of Minnesota]", _seen("Minnesota")),
            ("It is Saint Paul, so finish[Saint Paul]", ""),
        ),
    ),
)
