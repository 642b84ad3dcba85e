"""Phase 1: decoders and encoders, LoRA, gradient caching, what the teacher reads, resuming."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

from hlm_bridge.chain import Chain
from hlm_bridge.config import TeacherConfig
from hlm_bridge.retrieval import percent, retrieve
from hlm_bridge.run import run
from hlm_bridge.teacher import Teacher, add_lora, train_teacher
from ramen.encoders.transformer import TransformerEncoder
from ramen.errors import InputError

TEXTS = ["kado bele", "a", "title of some words and more"]


def test_last_token_of_a_left_padded_batch_is_that_of_the_text_alone(tiny_qwen3):
    encoder = TransformerEncoder(str(tiny_qwen3), "last", 32)
    ours = encoder.encode(encoder.tokenize(TEXTS)).numpy()
    model, tokenizer = AutoModel.from_pretrained(tiny_qwen3).eval(), AutoTokenizer.from_pretrained(tiny_qwen3)
    assert tokenizer.padding_side == "left"
    with torch.no_grad():
        padded = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).last_hidden_state[:, -1]
        alone = torch.cat([model(**tokenizer(t, return_tensors="pt")).last_hidden_state[:, -1] for t in TEXTS])
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=0)
    np.testing.assert_allclose(ours, torch.nn.functional.normalize(alone, dim=1).numpy(), atol=1e-5)


def test_lora_merges_exactly(tiny_qwen3):
    pytest.importorskip("peft", reason="pip install 'ramen-xc[hlm]'")
    encoder = TransformerEncoder(str(tiny_qwen3), "last", 32).eval()
    tokens = encoder.tokenize(TEXTS)
    plain = encoder.encode(tokens)
    encoder.model = add_lora(encoder.model, TeacherConfig(lora_rank=4))
    trained = [name for name, parameter in encoder.model.named_parameters() if parameter.requires_grad]
    assert trained and all("lora_" in name for name in trained)
    torch.testing.assert_close(encoder.encode(tokens), plain, atol=1e-6, rtol=0)
    with torch.no_grad():
        for name, parameter in encoder.model.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.1)
    adapted = encoder.encode(tokens)
    assert (adapted - plain).abs().max() > 1e-3
    encoder.model = encoder.model.merge_and_unload()
    torch.testing.assert_close(encoder.encode(tokens), adapted, atol=1e-5, rtol=0)


def test_a_decoder_runs_every_phase(chain_config, tiny_qwen3):
    pytest.importorskip("peft", reason="pip install 'ramen-xc[hlm]'")
    words = [
        f"teacher.backbone={tiny_qwen3}", "teacher.pooling=last", "teacher.tuning=lora", "teacher.lora_rank=4",
        "teacher.prompt=Instruct: find\nQuery: ", "teacher.max_tokens=32", "teacher.chunk=8",
        "align.student=transformer", "align.nested=8,16", "prune.ladder=layers:2+units:32",
    ]  # fmt: skip
    out = run(chain_config(*words))
    rows = json.loads((out / "report.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["teacher", "align", "prune", "refine"]
    model = SentenceTransformer(str(out / "teacher"), device="cpu")
    asked = Teacher(out / "teacher", 32, native=False).encode(["Instruct: find\nQuery: bele"])
    np.testing.assert_allclose(model.encode_query(["bele"]), asked, atol=1e-5)
    assert SentenceTransformer(str(out / "student"), device="cpu").encode(["bele"]).shape == (1, 32)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["qwen3", "infonce"])
def test_training_helps_a_random_teacher(chain_config, loss):
    chain = Chain(chain_config("teacher.epochs=12", "teacher.max_pairs=400", f"teacher.loss={loss}"))
    gate = train_teacher(chain)["gate"]
    assert gate["figures"]["R@10"] > gate["reference"]["R@10"]


@pytest.mark.parametrize("loss", ["qwen3", "infonce"])
def test_a_teacher_learns_its_pairs(chain_config, loss):
    """On the points it is trained on; what that helps with others takes the longer training above to tell."""
    chain = Chain(chain_config("teacher.epochs=4", "teacher.max_pairs=400", f"teacher.loss={loss}"))
    before = _recall_of_trained(chain, TransformerEncoder(chain.config.teacher.backbone, "mean", 16).eval())
    train_teacher(chain)
    assert _recall_of_trained(chain, Teacher(chain.out / "teacher", 16, native=False).encoder) > before + 8


def _recall_of_trained(chain, encoder):
    rows = chain.split.train_rows
    queries = encoder.encode(encoder.tokenize([chain.teacher_queries[row] for row in rows])).numpy()
    index = encoder.encode_labels(encoder.tokenize(chain.teacher_labels)).numpy()
    targets = chain.split.targets[rows]
    return percent(retrieve(queries, index, targets, sp.csr_matrix(targets.shape)))["R@10"]


def test_chunks_change_nothing(chain_config, tmp_path):
    found = []
    for chunk in (0, 5):
        config = chain_config(f"teacher.chunk={chunk}", f"out={tmp_path / str(chunk)}", "teacher.epochs=1")
        train_teacher(Chain(config))
        # dropout draws by chunk: the figures agree, not the bits
        found.append(Teacher(tmp_path / str(chunk) / "teacher", 16, native=False).encode(TEXTS))
    assert (found[0] * found[1]).sum(1).min() > 0.9


def test_a_stopped_phase_goes_on_to_the_same_result(chain_config, tmp_path, monkeypatch):
    monkeypatch.setattr("ramen.checkpoint._EVERY_SECONDS", 0.0)
    import hlm_bridge.teacher as phase

    whole = chain_config(f"out={tmp_path / 'whole'}")
    train_teacher(Chain(whole))
    plain, calls = phase.contrast, []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(phase, "contrast", stopping)
    stopped = chain_config(f"out={tmp_path / 'stopped'}")
    with pytest.raises(KeyboardInterrupt):
        train_teacher(Chain(stopped))
    assert not (tmp_path / "stopped/teacher").exists()
    train_teacher(Chain(stopped))
    steps = len(calls) - 1
    wanted = Teacher(tmp_path / "whole/teacher", 16, native=False).encode(TEXTS)
    found = Teacher(tmp_path / "stopped/teacher", 16, native=False).encode(TEXTS)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert steps == 8  # none was taken twice
    assert not list((tmp_path / "stopped/phases").glob("*.safetensors*"))


def test_held_out_points_are_read_plain(chain_config):
    chain = Chain(chain_config("teacher.reads=text+anchors", "teacher.prompt=q: "))
    held_out = chain.split.held_out_rows
    assert all(chain.teacher_queries[row] == "q: " + chain.points[row] for row in held_out)
    longer = [read != "q: " + text for read, text in zip(chain.teacher_queries, chain.points, strict=True)]
    assert np.mean(longer) > 0.5
    assert any(read.startswith(text + "; ") for read, text in zip(chain.teacher_labels, chain.labels, strict=True))


def test_bad_input_is_one_error(chain_config, planted, tmp_path):
    with pytest.raises(InputError, match="expected a folder with config.json"):
        train_teacher(Chain(chain_config("teacher.backbone=no such")))
    with pytest.raises(InputError, match="unknown graph kind 'linsk'"):
        Chain(chain_config("teacher.reads=text+anchors", "teacher.graphs=linsk")).teacher_labels  # noqa: B018
