"""The static encoder, and that its folder gives the same vectors through stock libraries."""

import copy
import importlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sentence_transformers import SentenceTransformer

from ramen.config import EncoderConfig
from ramen.encoders.static import StaticEncoder, build_static_encoder
from ramen.encoders.vocabulary import assemble
from ramen.inference.static_folder import StaticFolder

TEXTS = [
    "Lead acid battery\na charger for lead batteries",
    "lead acid battery",
    "",
    "ĐÀ NẴNG — 电池 ჯ\n🙂 naïve",
    "one\ntwo\nthree",
    "word " * 400,
    "title\n" + "long content " * 300,
]


@pytest.fixture(scope="module")
def encoder(tiny_backbone):
    """Built as training builds it, then moved off its start so that every part of it matters."""
    settings = EncoderConfig(backbone=str(tiny_backbone), max_tokens=300)
    built = build_static_encoder(TEXTS * 2, settings)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return built


@pytest.fixture(scope="module")
def folder(encoder, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "encoder"
    encoder.export(path)
    return path


@pytest.fixture(scope="module")
def expected(encoder):
    return encoder.encode(encoder.tokenize(TEXTS)).numpy()


def test_vectors_follow_the_formula():
    vocabulary = assemble(["[PAD]", "[UNK]", "lead", "acid"])
    vectors = np.array([[0, 0], [0, 0], [1, 0], [0, 1]], np.float32)
    encoder = StaticEncoder(vocabulary, vectors, np.array([1, 1, 2, 3], np.float32), 5.0, max_tokens=10)
    found = encoder.encode(encoder.tokenize(["lead acid", "lead\nacid acid", "acid"])).numpy()
    expected = np.array([[2, 3], [5 * 2, 6], [0, 3]], np.float32)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-5)


def test_vectors_are_of_unit_length_and_zero_for_no_text(encoder, expected):
    lengths = np.linalg.norm(expected, axis=1)
    assert lengths[2] == 0.0
    np.testing.assert_allclose(np.delete(lengths, 2), 1.0, atol=1e-5)


def test_batches_do_not_change_vectors(encoder, expected, monkeypatch):
    monkeypatch.setattr("ramen.encoders.base._BULK", 2)
    np.testing.assert_allclose(encoder.encode(encoder.tokenize(TEXTS)).numpy(), expected, atol=1e-6)
    assert encoder.encode(encoder.tokenize([])).shape == (0, encoder.dim)


def test_sentence_transformers_gives_the_same_vectors(folder, expected):
    found = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_numpy_gives_the_same_vectors(folder, expected):
    found = StaticFolder.open(folder).encode(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found[2] == 0).all()


def test_the_folder_needs_no_ramen(folder, expected, monkeypatch):
    modules = json.loads((folder / "modules.json").read_text())
    assert all(module["type"].startswith("sentence_transformers.") for module in modules)
    for name in [name for name in sys.modules if name.partition(".")[0] == "ramen"]:
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
    with pytest.raises(ImportError):
        importlib.import_module("ramen.encoders.static")
    np.testing.assert_allclose(SentenceTransformer(str(folder), device="cpu").encode(TEXTS), expected, atol=1e-5)


@pytest.mark.slow
def test_the_folder_needs_no_ramen_in_a_new_process(folder, expected):
    code = (
        "import json, sys\nsys.modules['ramen'] = None\n"
        "from sentence_transformers import SentenceTransformer\n"
        "print(json.dumps(SentenceTransformer(sys.argv[1], device='cpu').encode(json.loads(sys.argv[2])).tolist()))\n"
    )
    command = [sys.executable, "-c", code, str(folder), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-5)


def test_export_holds_no_pickle(folder):
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {".json", ".safetensors"}


def test_long_texts_are_cut(encoder):
    tokens = encoder.tokenize(TEXTS)
    lengths = np.diff(tokens.offsets)
    assert lengths[5] == lengths[6] == 300
    assert lengths[2] == 0
    cut, longer = (encoder.encode(encoder.tokenize(["word " * count])).numpy() for count in (300, 500))
    np.testing.assert_allclose(cut, longer)


def test_weights_stay_above_zero(encoder):
    trained = copy.deepcopy(encoder)
    tokens = trained.tokenize(["lead acid", "lead charger"])
    optimiser = torch.optim.SGD([trained.raw_weights], lr=100.0)
    lead = trained.vocabulary.tokenizer.token_to_id("lead")
    for _ in range(20):  # the texts part when the word they share weighs nothing
        optimiser.zero_grad()
        vectors = trained(tokens, np.arange(2))
        (vectors[0] @ vectors[1]).backward()
        optimiser.step()
    weights, before = F.softplus(trained.raw_weights), F.softplus(encoder.raw_weights)
    assert (weights > 0).all() and weights[lead] < 0.5 * before[lead]


def test_rare_words_start_heavier_than_frequent_ones(tiny_backbone):
    texts = ["common rare", "common rare", *["common"] * 30]
    built = build_static_encoder(texts, EncoderConfig(backbone=str(tiny_backbone)))
    weights = dict(zip(built.vocabulary.words, F.softplus(built.raw_weights).tolist(), strict=True))
    assert weights["rare"] > 2 * weights["common"] > 0


def test_title_words_start_with_their_weight(tiny_backbone):
    built = build_static_encoder(TEXTS, EncoderConfig(backbone=str(tiny_backbone)))
    table = built.folded()
    size = built.vocabulary.size
    np.testing.assert_allclose(table[size:], 2.0 * table[built.vocabulary.title_of], rtol=1e-5)


def test_title_and_content_learn_apart(encoder):
    tokens = encoder.tokenize(["lead acid\nbattery charger", "battery charger"])
    encoder.zero_grad()
    encoder(tokens, np.arange(2))[:, 0].sum().backward()
    for name, parameter in encoder.named_parameters():
        if name == "label_map.weight":  # label vectors only
            continue
        gradient = parameter.grad.to_dense()
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0
    encoder.zero_grad()


def test_label_vectors_start_as_the_texts_own_and_are_mapped_apart(tiny_backbone, monkeypatch):
    monkeypatch.setattr("ramen.encoders.product.computes_bfloat16", lambda device: False)
    built = build_static_encoder(TEXTS, EncoderConfig(backbone=str(tiny_backbone)))
    tokens = built.tokenize(TEXTS)
    vectors = built.encode(tokens)
    torch.testing.assert_close(built.encode_labels(tokens), vectors)
    with torch.no_grad():
        built.label_map.weight.copy_(torch.randn(built.dim, built.dim, generator=torch.Generator().manual_seed(1)))
        expected = F.normalize(vectors @ (torch.eye(built.dim) + built.label_map.weight).T, dim=1)
    torch.testing.assert_close(built.encode_labels(tokens), expected)
    torch.testing.assert_close(built.encode(tokens), vectors)


def test_what_a_gpu_computes_has_the_same_sums_and_gradients(encoder):
    model = copy.deepcopy(encoder)
    ids, starts = model.tokenize(TEXTS).take(np.arange(len(TEXTS)))
    parameters, found = [model.vectors, model.raw_weights, model.raw_field], []
    torch.manual_seed(0)
    pull = torch.randn(len(TEXTS), model.dim)
    for sums in (model._sums(ids, starts), model._sums_by_torch(ids, starts)):
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)  # as in training
        (sums * pull).sum().backward()
        found.append([sums.detach(), *(parameter.grad for parameter in parameters)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
