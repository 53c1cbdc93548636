"""What a retriever is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from treeroll.envs.multihop.question import Document


class Retriever(Protocol):
    """Finds passages. Equal queries give equal passages; threads may search at the same time."""

    def search(self, queries: Sequence[str], top: int) -> list[list[Document]]:
        """Returns for each query at most `top` documents, best first; none where nothing matches.

        Raises:
          EnvError: the search failed (a server that does not answer).
        """
