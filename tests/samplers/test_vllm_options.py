"""Options of vLLM samplers: one that the backend has no use for is refused, and the rest before torch is imported."""

from pathlib import Path

import pytest

from fake_vllm import Table, running
from treeroll import preflight
from treeroll.config import Config
from treeroll.errors import ConfigError

SERVER = "http://127.0.0.1:8000"
OTHER = {"memory": 0.5, "weights": "here", "patience": 9.0, "tolerance": 0.5}
"""A value of each option that is not its default."""


@pytest.mark.parametrize(
    ("backend", "name", "fix"),
    [
        ("local", "memory", "give sampling.backend=vllm"),
        ("local", "weights", "give the address of a server in sampling.backend"),
        ("local", "patience", "give the address of a server in sampling.backend"),
        ("local", "tolerance", "give sampling.backend=vllm or the address of a server in sampling.backend"),
        ("vllm", "weights", "give the address of a server in sampling.backend"),
        ("vllm", "patience", "give the address of a server in sampling.backend"),
        (SERVER, "memory", "give sampling.backend=vllm"),
    ],
)
def test_an_option_that_the_backend_has_no_use_for(backend, name, fix):
    with pytest.raises(ConfigError) as caught:
        Config.resolve([f"sampling.backend={backend}", f"sampling.{name}={OTHER[name]}"])
    assert (
        f"sampling.{name}={OTHER[name]}, but sampling.backend={backend} has no use for it. Leave it out, or {fix}"
        in (str(caught.value))
    )


@pytest.mark.parametrize(
    ("backend", "names"),
    [("local", []), ("vllm", ["memory", "tolerance"]), (SERVER, ["weights", "patience", "tolerance"])],
)
def test_an_option_that_it_uses(backend, names):
    given = Config.resolve([f"sampling.backend={backend}", *(f"sampling.{name}={OTHER[name]}" for name in names)])
    assert {name for name in OTHER if getattr(given.sampling, name) == OTHER[name]} == set(names)


def test_vllm_in_this_process_takes_the_first_gpu():
    with pytest.raises(ConfigError, match=r"device=cuda:1 with sampling.backend=vllm: .*choose with CUDA_VISIBLE_DEVI"):
        Config.resolve(["sampling.backend=vllm", "device=cuda:1"])
    for words in (["sampling.backend=vllm", "device=cuda:0"], ["device=cuda:1"]):
        assert Config.resolve(words).device == words[-1].removeprefix("device=")


def test_the_folder_of_weights_is_tried_before_anything_is_loaded(tmp_path):
    with running(Table()) as (_, url):

        def check(folder):
            preflight.check(
                Config.resolve([f"sampling.backend={url}", f"sampling.weights={folder}", f"out={tmp_path / 'run'}"])
            )

        with pytest.raises(ConfigError, match=r"sampling.weights=.*none: no such folder"):
            check(tmp_path / "none")
        (tmp_path / "there").mkdir()
        check(tmp_path / "there")
        assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that nobody can write")
def test_a_folder_of_weights_that_cannot_be_written():
    with running(Table()) as (_, url):
        given = Config.resolve([f"sampling.backend={url}", "sampling.weights=/proc/self"])
        with pytest.raises(ConfigError, match=r"sampling.weights=/proc/self: nothing can be written there"):
            preflight.check(given)


def test_a_server_elsewhere_without_a_folder_is_refused(monkeypatch):
    monkeypatch.setattr("treeroll.samplers.vllm.folder.NEARBY", ("far",))
    with running(Table()) as (_, url):
        given = Config.resolve([f"sampling.backend={url}"])
        with pytest.raises(ConfigError, match=r"is on another machine, .*in sampling.weights"):
            preflight.check(given)
