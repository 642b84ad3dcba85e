"""An exported folder gives the encoder back: the same vectors, trainable again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from ramen.config import EncoderConfig
from ramen.encoders.folder import LABEL_MAP, load_folder, save_folder, save_label_map
from ramen.encoders.static import build_static_encoder
from ramen.encoders.transformer import TransformerEncoder
from ramen.errors import InputError

TEXTS = ["blue plum\nline one", "red apple", "green pear and more\nof a long content", "", "plum"]


@pytest.fixture
def static(tiny_backbone):
    torch.manual_seed(0)
    settings = EncoderConfig(backbone=str(tiny_backbone), min_count=1, max_tokens=16)
    encoder = build_static_encoder([*TEXTS, "plum\npear"], settings)
    with torch.no_grad():
        encoder.projection.weight.normal_(0, 0.1)
        encoder.raw_field.copy_(torch.tensor([0.2, 0.9]))
        encoder.vectors.add_(torch.randn_like(encoder.vectors) / 5)
    return encoder


def same(folder, encoder, texts=TEXTS):
    loaded = load_folder(folder, encoder.max_tokens)
    ours = loaded.encode(loaded.tokenize(texts)).numpy()
    np.testing.assert_allclose(ours, encoder.encode(encoder.tokenize(texts)).detach().numpy(), atol=2e-6)
    np.testing.assert_allclose(ours, SentenceTransformer(str(folder), device="cpu").encode(texts), atol=2e-6)
    return loaded


def test_static_folder_gives_the_encoder_back(static, tmp_path):
    static.export(tmp_path / "s")
    loaded = same(tmp_path / "s", static)
    assert loaded.vocabulary.words == static.vocabulary.words and loaded.max_tokens == 16
    loaded.export(tmp_path / "again")
    same(tmp_path / "again", static)
    queries = loaded(loaded.tokenize(TEXTS), np.arange(3))
    queries.sum().backward()
    assert all(parameter.grad is not None for parameter in (loaded.raw_weights, loaded.raw_field))


@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_a_folder_gives_the_label_map_back(kind, tiny_backbone, tmp_path, request):
    encoder = (
        request.getfixturevalue("static") if kind == "static" else TransformerEncoder(str(tiny_backbone), "mean", 12)
    )
    torch.manual_seed(2)
    with torch.no_grad():
        encoder.label_map.weight.normal_(0, 0.1)
    save_folder(encoder, tmp_path / "s")
    loaded = same(tmp_path / "s", encoder, TEXTS[:3])
    ours, theirs = (one.eval().encode_labels(one.tokenize(TEXTS[:3])) for one in (loaded, encoder))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_an_identity_is_written_only_on_request(static, tmp_path):
    save_folder(static, tmp_path / "s")
    assert not (tmp_path / "s" / LABEL_MAP).exists()
    save_label_map(static, tmp_path / "s")
    assert not load_file(tmp_path / "s" / LABEL_MAP)["weight"].any()
    same(tmp_path / "s", static)


@pytest.mark.parametrize("dim", [None, 48, 16])
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_transformer_folder_gives_the_encoder_back(tiny_backbone, tmp_path, dim, pooling):
    torch.manual_seed(1)
    encoder = TransformerEncoder(str(tiny_backbone), pooling, 12, dim=dim)
    encoder.export(tmp_path / "t")
    loaded = same(tmp_path / "t", encoder, TEXTS[:3])
    assert (loaded.dim, loaded.pooling, loaded.max_tokens) == (dim or 32, pooling, 12)


def test_folder_of_another_kind_is_one_error(tmp_path, static):
    with pytest.raises(InputError, match="nothing: expected a sentence-transformers folder, found no modules.json"):
        load_folder(tmp_path / "nothing", 8)
    static.export(tmp_path / "s")
    modules = json.loads((tmp_path / "s/modules.json").read_text())
    (tmp_path / "s/modules.json").write_text(json.dumps(modules[:1]))
    with pytest.raises(InputError, match="modules.json: found the modules StaticEmbedding; expected"):
        load_folder(tmp_path / "s", 8)
    (tmp_path / "s/modules.json").write_text("{}x")
    with pytest.raises(InputError, match="modules.json: not the list of a model's modules"):
        load_folder(tmp_path / "s", 8)


def test_damaged_folder_is_one_error(tmp_path, static):
    static.export(tmp_path / "s")
    weights = next((tmp_path / "s").rglob("model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="s: does not load"):
        load_folder(tmp_path / "s", 8)


def test_static_folder_of_other_entries_is_one_error(tmp_path, static):
    static.export(tmp_path / "s")
    tokenizer = next((tmp_path / "s").rglob("tokenizer.json"))
    tree = json.loads(tokenizer.read_text())
    tree["model"]["vocab"] = {word: i for i, word in enumerate(tree["model"]["vocab"]) if i < 50}
    tokenizer.write_text(json.dumps(tree))
    with pytest.raises(InputError, match="tokenizer.json: expected the entries that ramen's static encoder writes"):
        load_folder(tmp_path / "s", 8)
