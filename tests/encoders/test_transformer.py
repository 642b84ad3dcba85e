"""The transformer encoder and its folder."""

import copy
import json

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import ramen
from ramen.encoders.transformer import TransformerEncoder

TEXTS = ["lead acid battery\na charger", "x", "", "lead " * 300, "Ünïcode 电池"]


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_sentence_transformers_gives_the_same_vectors(tmp_path, tiny_backbone, pooling):
    encoder = TransformerEncoder(str(tiny_backbone), pooling, max_tokens=20)
    expected = encoder.encode(encoder.tokenize(TEXTS)).numpy()
    encoder.export(tmp_path / "encoder")
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]
    modules = json.loads((tmp_path / "encoder" / "modules.json").read_text())
    assert all(module["type"].startswith("sentence_transformers.") for module in modules)
    found = SentenceTransformer(str(tmp_path / "encoder"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1.0, atol=1e-5)


def test_poolings_differ(tiny_backbone):
    vectors = []
    for pooling in ("mean", "cls", "last"):
        encoder = TransformerEncoder(str(tiny_backbone), pooling, max_tokens=20)
        vectors.append(encoder.encode(encoder.tokenize(TEXTS[:1])))
    assert not torch.allclose(vectors[0], vectors[1]) and not torch.allclose(vectors[1], vectors[2])


def test_padding_does_not_change_vectors(tiny_backbone):
    encoder = TransformerEncoder(str(tiny_backbone), "mean", max_tokens=20)
    tokens = encoder.tokenize(TEXTS)
    together = encoder.encode(tokens)
    alone = torch.cat([encoder.encode(encoder.tokenize([text])) for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_texts_are_cut_at_what_the_backbone_can_read(tiny_backbone):
    assert np.diff(TransformerEncoder(str(tiny_backbone), "mean", 20).tokenize(TEXTS).offsets).max() == 20
    encoder = TransformerEncoder(str(tiny_backbone), "mean", 9999)
    assert encoder.max_tokens == 128
    assert encoder.encode(encoder.tokenize(TEXTS)).isfinite().all()


def test_a_copy_trains_apart(tiny_backbone):
    encoder = TransformerEncoder(str(tiny_backbone), "mean", 20)
    before = encoder.encode(encoder.tokenize(TEXTS))
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    torch.testing.assert_close(encoder.encode(encoder.tokenize(TEXTS)), before)
    assert not torch.allclose(other.encode(other.tokenize(TEXTS)), before)


def test_a_training_run_finishes(tmp_path, planted, tiny_backbone):
    run = ramen.train(
        planted, preset="transformer", out=tmp_path / "run",
        overrides=[
            f"encoder.backbone={tiny_backbone}", "stage1.epochs=1", "stage1.min_steps=2", "stage1.batch_size=120",
            "head.epochs=1", "encoder.max_tokens=16",
        ],
    )  # fmt: skip
    tagger = ramen.Tagger.load(run)
    assert len(tagger.tag(["a text"], k=3)[0]) == 3
    expected = SentenceTransformer(str(run / "encoder"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(tagger.encode(TEXTS), expected, atol=1e-5)
