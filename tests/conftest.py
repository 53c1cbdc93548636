"""Shared by all tests; being here also lets them import `handmade` and `tiny`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest


@pytest.fixture(params=["waves", "stream"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lets every engine of a test play in waves, then as a stream."""
    from treeroll.engine import Engine

    monkeypatch.setitem(Engine.__init__.__kwdefaults__, "playing", request.param)
    return request.param


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory; see `tiny`. Tests only read it."""
    import tiny

    return tiny.make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task file; see `tiny`. Tests only read it."""
    import tiny

    return tiny.write_tasks(tmp_path_factory.mktemp("tasks") / "own.jsonl")


@pytest.fixture(scope="session")
def small(model: Path, tasks: Path) -> Callable[..., list[str]]:
    """`tiny.words` for this model and these tasks: the command line of a small run."""
    import tiny

    return partial(tiny.words, model, tasks)
