"""Cuts of BERT and Qwen3: what is kept, and that a cut model loads again as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModel

from hlm_bridge.cuts import cut_layers, cut_units, score
from ramen.errors import InputError

TEXTS = ["kado bele", "a", "title of some words and more", "mo no pe", "sol"]


@pytest.fixture(params=["bert", "qwen3"])
def model(request, three_layers, tiny_qwen3):
    torch.manual_seed(0)
    return AutoModel.from_pretrained(three_layers if request.param == "bert" else tiny_qwen3).eval()


@pytest.fixture
def tokenizer(model, three_layers, tiny_qwen3):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(three_layers if type(model).__name__ == "BertModel" else tiny_qwen3)


def outputs(model, tokenizer, texts=TEXTS):
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model(**batch).last_hidden_state[batch["attention_mask"].bool()]


def test_scores_do_not_see_padding(model, tokenizer):
    batched = score(model, tokenizer, TEXTS, 16)
    alone = score(model, tokenizer, TEXTS, 16, batch_size=1)
    np.testing.assert_allclose(batched.layers, alone.layers, rtol=1e-3, atol=1e-6)  # 1 - cosine, in float32
    for ours, theirs in zip(batched.units, alone.units, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)
    assert (batched.layers > 0).all() and not model.training


@pytest.mark.parametrize("model", ["qwen3"], indirect=True)  # BERT normalises: no layer of it is without effect
def test_a_layer_that_changes_nothing_goes_first(model, tokenizer):
    layers = model.layers
    for linear in (layers[1].self_attn.o_proj, layers[1].mlp.down_proj):
        torch.nn.init.zeros_(linear.weight)
    before = outputs(model, tokenizer)
    scores = score(model, tokenizer, TEXTS, 16)
    assert scores.layers.argmin() == 1
    left = cut_layers(model, scores, len(layers) - 1)
    torch.testing.assert_close(outputs(model, tokenizer), before, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(left.layers, np.delete(scores.layers, 1))


def test_cut_layers_load_again(model, tokenizer, tmp_path):
    cut_layers(model, score(model, tokenizer, TEXTS, 16), 2)
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert again.config.num_hidden_layers == 2
    torch.testing.assert_close(outputs(again, tokenizer), outputs(model, tokenizer), atol=1e-6, rtol=0)


def test_cut_units_are_as_if_they_were_silent(model, tokenizer, tmp_path):
    scores = score(model, tokenizer, TEXTS, 16)
    layers = model.encoder.layer if hasattr(model, "encoder") else model.layers
    kept = [np.sort(np.argsort(-units, kind="stable")[:20]) for units in scores.units]
    hooks = []
    for layer, keep in zip(layers, kept, strict=True):
        down = layer.output.dense if hasattr(layer, "output") else layer.mlp.down_proj
        mask = torch.zeros(down.in_features)
        mask[torch.from_numpy(keep)] = 1
        hooks.append(down.register_forward_pre_hook(lambda module, args, mask=mask: (args[0] * mask,)))
    silent = outputs(model, tokenizer)
    for hook in hooks:
        hook.remove()
    left = cut_units(model, scores, 20)
    torch.testing.assert_close(outputs(model, tokenizer), silent, atol=1e-5, rtol=0)
    assert [len(units) for units in left.units] == [20] * len(layers)
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert again.config.intermediate_size == 20
    torch.testing.assert_close(outputs(again, tokenizer), silent, atol=1e-5, rtol=0)


def test_keeping_all_changes_nothing(model, tokenizer):
    before, scores = outputs(model, tokenizer), score(model, tokenizer, TEXTS, 16)
    cut_units(model, cut_layers(model, scores, len(scores.layers)), len(scores.units[0]))
    assert torch.equal(outputs(model, tokenizer), before)


def test_bad_cuts_are_one_error(model, tokenizer, tiny_qwen3):
    scores = score(model, tokenizer, TEXTS, 16)
    with pytest.raises(InputError, match=r"layers:9, expected 1 to \d"):
        cut_layers(model, scores, 9)
    with pytest.raises(InputError, match="units:0, expected 1 to 64"):
        cut_units(model, scores, 0)
    with pytest.raises(InputError, match="cannot cut a Linear, expected one of BertModel, Qwen3Model"):
        score(torch.nn.Linear(2, 2), tokenizer, TEXTS, 16)
    with pytest.raises(InputError, match="no calibration text"):
        score(model, tokenizer, [" "], 16)


def test_the_geometry_of_qwen3_0_6b_is_cut_as_in_the_paper():
    """Shapes alone, on the meta device: 28 layers of 3,072 units to 4 of 768."""
    from transformers import Qwen3Config, Qwen3Model

    from hlm_bridge.cuts import Scores

    config = Qwen3Config(
        vocab_size=151_669, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
        num_key_value_heads=8, head_dim=128,
    )  # fmt: skip
    with torch.device("meta"):
        model = Qwen3Model(config)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(595.8e6, rel=0.01)
    rng = np.random.default_rng(0)
    scores = Scores(rng.random(28), [rng.random(3072) for _ in range(28)])
    cut_units(model, cut_layers(model, scores, 4), 768)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(189.9e6, rel=0.005)
