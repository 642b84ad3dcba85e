"""The transformer encoder and its folder."""

import copy
import json
import shutil

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer, GPT2Config, GPT2Model

import ramen
from ramen.encoders import precision
from ramen.encoders.transformer import TransformerEncoder, buckets

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
            f"encoder.backbone={tiny_backbone}", "training.epochs=1", "training.min_steps=2", "training.batch_size=120",
            "graph.min_steps=2", "dense.epochs=1", "encoder.max_tokens=16",
        ],
    )  # fmt: skip
    tagger = ramen.Tagger.load(run)
    assert len(tagger.tag(["a text"], k=3)[0]) == 3
    expected = SentenceTransformer(str(run / "encoder"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(tagger.encode(TEXTS), expected, atol=1e-5)


MIXED = ["lead acid battery " * count for count in (30, 1, 0, 7, 2)] * 12


def test_buckets_are_all_rows_in_order_and_save_padding():
    counts = np.sort(np.random.default_rng(0).integers(0, 200, 128))
    parts = buckets(counts, worth=256, most=1_000)
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(128))
    assert 2 <= len(parts) <= 12
    padded = sum((part.stop - part.start) * counts[part.stop - 1] for part in parts)
    assert padded - counts.sum() < 0.2 * (128 * counts[-1] - counts.sum())
    assert buckets(counts[:1], 256, 9) == [slice(0, 1)] and buckets(np.full(500, 9), 256, 9) == [slice(0, 500)]
    assert len(buckets(counts, worth=0, most=4)) == 4 and buckets(counts[:0], 256, 9) == []


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_buckets_change_neither_vectors_nor_gradients(tiny_backbone, monkeypatch, pooling):
    encoder = TransformerEncoder(str(tiny_backbone), pooling, max_tokens=64)
    encoder.eval()  # no dropout, which would differ
    tokens = encoder.tokenize(MIXED)
    rows = np.random.default_rng(0).permutation(len(MIXED))[:40]
    found, gradients = [], []
    for worth in (64, 10**9):
        monkeypatch.setattr("ramen.encoders.transformer._WORTH", {True: (worth, 1_000)})
        encoder.zero_grad()
        vectors = encoder(tokens, rows)
        vectors.mul(torch.arange(encoder.dim)).sin().sum().backward()
        found.append(vectors.detach())
        gradients.append([p.grad.clone() for p in encoder.model.parameters() if p.grad is not None])
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[0], encoder.encode(tokens)[torch.from_numpy(rows)], atol=1e-5, rtol=0)
    assert len(gradients[0]) > 10
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_no_rows_give_no_vectors(tiny_backbone):
    encoder = TransformerEncoder(str(tiny_backbone), "mean", 20)
    assert encoder(encoder.tokenize(TEXTS), np.empty(0, dtype=np.int64)).shape == (0, 32)


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_for_training_where_it_is_native(tiny_backbone, monkeypatch, native):
    monkeypatch.setattr("ramen.encoders.transformer.computes_bfloat16", lambda device: native)
    encoder = TransformerEncoder(str(tiny_backbone), "mean", 20)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    kinds = []
    linear = next(m for m in encoder.model.modules() if isinstance(m, torch.nn.Linear))
    linear.register_forward_hook(lambda module, inputs, output: kinds.append(output.dtype))
    tokens, rows = encoder.tokenize(TEXTS), np.arange(len(TEXTS))
    encoder.train()
    trained = encoder(tokens, rows)
    encoded = encoder.encode(tokens)
    wanted = torch.bfloat16 if native else torch.float32
    assert kinds == [wanted, torch.float32] and encoder.training
    assert trained.dtype == encoded.dtype == torch.float32
    torch.testing.assert_close(trained.norm(dim=1), torch.ones(len(TEXTS)))
    assert ((trained * encoded).sum(1) > 0.999).all()
    trained.sum().backward()
    assert linear.weight.grad.dtype == torch.float32 and linear.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("text", "expected"), [("flags : fpu avx512_bf16\n", True), ("flags : amx_bf16", True), ("flags : avx512f", False)]
)
def test_a_processor_is_asked_for_its_flags(tmp_path, monkeypatch, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(precision, "_CPUINFO", tmp_path / "cpuinfo")
    assert precision.computes_bfloat16.__wrapped__(torch.device("cpu")) is expected
    monkeypatch.setattr(precision, "_CPUINFO", tmp_path / "none")
    assert not precision.computes_bfloat16.__wrapped__(torch.device("cpu"))
    assert not precision.computes_bfloat16.__wrapped__(torch.device("meta"))


@pytest.fixture
def tiny_decoder(tmp_path, tiny_backbone):
    """A GPT-2 of one layer with random weights, whose tokenizer pads on the left."""
    names = ["input_ids", "attention_mask"]  # GPT-2 would add token types as if they were words
    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone, padding_side="left", model_input_names=names)
    tokenizer.save_pretrained(tmp_path / "decoder")
    torch.manual_seed(0)
    size = {"vocab_size": len(tokenizer), "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 128}
    GPT2Model(GPT2Config(**size, bos_token_id=2, eos_token_id=3)).save_pretrained(tmp_path / "decoder")
    assert AutoTokenizer.from_pretrained(tmp_path / "decoder").padding_side == "left"
    return tmp_path / "decoder"


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_decoder_that_pads_on_the_left(tmp_path, tiny_decoder, pooling):
    encoder = TransformerEncoder(str(tiny_decoder), pooling, max_tokens=20).eval()
    tokens = encoder.tokenize(TEXTS)
    together = encoder.encode(tokens)
    for row, text in enumerate(TEXTS):
        ids = torch.tensor([encoder.tokenizer(text, truncation=True, max_length=20)["input_ids"]])
        states = encoder.model(input_ids=ids).last_hidden_state[0]
        alone = states[-1] if pooling == "last" else states.mean(0)
        torch.testing.assert_close(together[row], alone / alone.norm(), atol=1e-5, rtol=0)
    encoder.export(tmp_path / "encoder")
    found = SentenceTransformer(str(tmp_path / "encoder"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(found, together.numpy(), atol=1e-5)


def test_a_checkpoint_in_half_precision_is_trained_in_float32(tmp_path, tiny_backbone):
    shutil.copytree(tiny_backbone, tmp_path / "half")
    AutoModel.from_pretrained(tiny_backbone).to(torch.bfloat16).save_pretrained(tmp_path / "half")
    assert AutoModel.from_pretrained(tmp_path / "half").dtype == torch.bfloat16
    encoder = TransformerEncoder(str(tmp_path / "half"), "mean", max_tokens=20)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def test_attention_builds_no_graph_for_each_shape(tiny_backbone):
    torch.backends.cuda.enable_cudnn_sdp(True)
    TransformerEncoder(str(tiny_backbone), "mean", max_tokens=20)
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_padding_on_a_gpu_ends_where_the_positions_do(tiny_backbone, monkeypatch):
    encoder = TransformerEncoder(str(tiny_backbone), "mean", max_tokens=20)
    monkeypatch.setattr(TransformerEncoder, "device", torch.device("meta"))
    tokens = encoder.tokenize(["lead " * 300, "x"])
    widths = {}
    for most in (20, 22, 128):
        encoder._most_positions = most
        widths[most] = [part.ids.shape[1] for part in encoder.prepare(tokens, np.array([1, 0]))]
    assert widths == {20: [20], 22: [22], 128: [24]}


def test_exact_vectors_are_not_computed_by_the_compiled_model(tiny_backbone):
    encoder = TransformerEncoder(str(tiny_backbone), "mean", max_tokens=20, compiles=True)
    assert torch._dynamo.config.recompile_limit >= 16
    calls = []

    def compiled(**inputs):
        calls.append(1)
        return encoder.model(**inputs)

    encoder._compiled = [compiled]
    tokens = encoder.tokenize(TEXTS)
    expected = encoder.encode(tokens)
    assert not calls
    torch.testing.assert_close(encoder.encode(tokens, exact=False), expected, atol=0.02, rtol=0)
    assert calls


def test_label_vectors_in_parts_are_the_same(tiny_backbone, monkeypatch):
    encoder = TransformerEncoder(str(tiny_backbone), "mean", max_tokens=20).eval()
    torch.nn.init.normal_(encoder.label_map.weight)
    vectors = encoder.encode(encoder.tokenize(TEXTS))
    expected = encoder.labels_of(vectors)
    monkeypatch.setattr("ramen.encoders.base._ROWS", 2)
    torch.testing.assert_close(encoder.labels_of(vectors), expected)
    assert encoder.labels_of(vectors[:0]).shape == (0, encoder.dim)
