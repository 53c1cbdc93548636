"""A model is checked as far as its files tell; each message names the path, what is missing and the fix."""

import pytest

from treeroll import models
from treeroll.errors import ConfigError
from treeroll.models import TINY, check_model

WHOLE = ("config.json", "model.safetensors", "tokenizer.json")


def folder(path, *names):
    path.mkdir(exist_ok=True)
    for name in names:
        (path / name).touch()
    return path


def test_the_packaged_model_is_whole():
    assert check_model("tiny") == str(TINY)
    assert all((TINY / name).is_file() for name in WHOLE)


@pytest.mark.parametrize("weights", ["model.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("tokenizer", ["tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt"])
def test_a_whole_directory_is_returned(tmp_path, weights, tokenizer):
    assert check_model(str(folder(tmp_path, "config.json", weights, tokenizer))) == str(tmp_path)


def test_a_directory_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder(tmp_path / "mine", *WHOLE)
    assert check_model("~/mine") == str(tmp_path / "mine")
    with pytest.raises(ConfigError, match=f"^model '~/gone': {tmp_path}/gone is not a directory"):
        check_model("~/gone")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "holds no config.json, so config.json is missing"),
        ("model.safetensors", "holds no *.safetensors or pytorch_model*.bin, so a weights file is missing"),
        (
            "tokenizer.json",
            "holds no tokenizer.json or tokenizer.model or vocab.json or vocab.txt, so a tokenizer is missing",
        ),
    ],
)
def test_what_a_directory_lacks_is_named(tmp_path, missing, message):
    folder(tmp_path, *(name for name in WHOLE if name != missing))
    with pytest.raises(ConfigError) as caught:
        check_model(str(tmp_path))
    advice = "Save the model and its tokenizer there with save_pretrained"
    assert str(caught.value) == f"model {str(tmp_path)!r}: {tmp_path} {message}. {advice}"


@pytest.mark.parametrize("name", ["./none", "../none/at/all", "none/at/all"])
def test_a_path_that_is_not_there_is_no_hub_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        check_model(name)
    path = name.removeprefix("./")
    assert str(caught.value) == f"model {name!r}: {path} is not a directory. Name a model directory or a hub model"


def test_a_file_is_no_model(tmp_path):
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ConfigError, match="is not a directory"):
        check_model(str(file))


def test_a_package_without_its_model_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "TINY", tmp_path / "tiny")
    with pytest.raises(ConfigError, match=f"^model 'tiny': {tmp_path}/tiny is not a directory"):
        check_model("tiny")


@pytest.mark.parametrize("name", ["gpt2", "some-maker/some-model"])
def test_any_other_name_is_one_of_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert check_model(name) == name
