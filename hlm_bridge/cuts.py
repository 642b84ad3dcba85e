"""Cut layers and feed-forward units of a transformer by what they do to calibration text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ramen.errors import InputError


@dataclass
class Scores:
    """How much each part matters, the more the higher.

    Attributes:
        layers: float64 (layers,), 1 - mean cosine of a token's state before and after the layer.
        units: for each layer float64 (units,), mean |activation| of each feed-forward unit.
    """

    layers: np.ndarray
    units: list[np.ndarray]


@dataclass
class _Family:
    """Where a kind of model keeps its parts."""

    layers: Callable[[Any], nn.ModuleList]
    set_layers: Callable[[Any, nn.ModuleList], None]
    down: Callable[[Any], nn.Linear]  # of a layer; its input are the activated units
    up: Callable[[Any], list[nn.Linear]]  # of a layer; their outputs make the units


def _set_bert(model: Any, layers: nn.ModuleList) -> None:
    model.encoder.layer = layers


def _set_qwen3(model: Any, layers: nn.ModuleList) -> None:
    model.layers = layers


_FAMILIES = {
    "BertModel": _Family(
        lambda model: model.encoder.layer, _set_bert, lambda layer: layer.output.dense,
        lambda layer: [layer.intermediate.dense],
    ),
    "Qwen3Model": _Family(
        lambda model: model.layers, _set_qwen3, lambda layer: layer.mlp.down_proj,
        lambda layer: [layer.mlp.gate_proj, layer.mlp.up_proj],
    ),
}  # fmt: skip


def score(model: Any, tokenizer: Any, texts: list[str], max_tokens: int, batch_size: int = 64) -> Scores:
    """Scores of all layers and units over the tokens of calibration texts; padding does not count.

    Source: HARNESS-LM (arXiv 2605.23572) scores layers by the change of the representation and units by the magnitude
    of their activation; Ministral 3 (arXiv 2601.08584) likewise.

    Args:
        model: a BertModel or Qwen3Model, left as it was.
        tokenizer: its own.
        texts: calibration.
        max_tokens: a text is cut there.
        batch_size: texts at once.

    Raises:
        InputError: a model of another family, or no text.
    """
    family, layers = _family(model)
    if not any(text.strip() for text in texts):
        raise InputError("prune: no calibration text, expected some")
    real = torch.empty(0, dtype=torch.bool)
    change, count = np.zeros(len(layers)), 0
    units = [np.zeros(family.down(layer).in_features) for layer in layers]

    def watch_layer(number: int) -> Any:
        def hook(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
            before = args[0] if args else kwargs["hidden_states"]
            after = output[0] if isinstance(output, tuple) else output
            cosines = F.cosine_similarity(before.float(), after.float(), dim=-1)
            change[number] += float((1 - cosines)[real].double().sum())

        return hook

    def watch_units(number: int) -> Any:
        def hook(module: nn.Module, args: tuple) -> None:
            units[number][:] += args[0].float().abs()[real].double().sum(0).cpu().numpy()

        return hook

    hooks = []
    for number, layer in enumerate(layers):
        hooks.append(layer.register_forward_hook(watch_layer(number), with_kwargs=True))
        hooks.append(family.down(layer).register_forward_pre_hook(watch_units(number)))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for start in range(0, len(texts), batch_size):
                batch = tokenizer(
                    texts[start : start + batch_size], truncation=True, max_length=max_tokens, padding=True,
                    return_tensors="pt",
                ).to(model.device)  # fmt: skip
                real = batch["attention_mask"].bool()
                model(**batch)
                count += int(real.sum())
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return Scores(change / max(1, count), [found / max(1, count) for found in units])


def cut_layers(model: Any, scores: Scores, layers: int) -> Scores:
    """Keep the layers that change the representation most, in their order; returns the scores of those.

    Args:
        model: cut in place.
        scores: of its layers and units as they are.
        layers: how many to keep.

    Raises:
        InputError: more than there are.
    """
    family, found = _family(model)
    _check("layers", layers, len(found))
    keep = np.sort(np.argsort(-scores.layers, kind="stable")[:layers])
    family.set_layers(model, nn.ModuleList([found[number] for number in keep]))
    config = model.config
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[number] for number in keep]
    part: Any
    for number, layer in enumerate(family.layers(model)):
        for part in layer.modules():
            if hasattr(part, "layer_idx"):
                part.layer_idx = number  # where a cache would keep its keys
    return Scores(scores.layers[keep], [scores.units[number] for number in keep])


def cut_units(model: Any, scores: Scores, units: int) -> Scores:
    """Keep in every layer the feed-forward units of the highest activation; returns the scores of those.

    Args:
        model: cut in place.
        scores: of its layers and units as they are.
        units: how many to keep in each layer.

    Raises:
        InputError: more than there are.
    """
    family, found = _family(model)
    _check("units", units, model.config.intermediate_size)
    kept = []
    part: Any
    for layer, of_layer in zip(found, scores.units, strict=True):
        keep = np.sort(np.argsort(-of_layer, kind="stable")[:units])
        rows = torch.from_numpy(keep).to(model.device)
        for linear in family.up(layer):
            linear.weight = nn.Parameter(linear.weight.detach()[rows].clone())
            if linear.bias is not None:
                linear.bias = nn.Parameter(linear.bias.detach()[rows].clone())
            linear.out_features = units
        down = family.down(layer)
        down.weight = nn.Parameter(down.weight.detach()[:, rows].clone())
        down.in_features = units
        for part in layer.modules():
            if hasattr(part, "intermediate_size"):
                part.intermediate_size = units
        kept.append(of_layer[keep])
    model.config.intermediate_size = units
    return Scores(scores.layers, kept)


def _family(model: Any) -> tuple[_Family, nn.ModuleList]:
    name = type(model).__name__
    if name not in _FAMILIES:
        raise InputError(f"prune: cannot cut a {name}, expected one of {', '.join(_FAMILIES)}")
    return _FAMILIES[name], _FAMILIES[name].layers(model)


def _check(what: str, wanted: int, there: int) -> None:
    if not 1 <= wanted <= there:
        raise InputError(f"prune.ladder: {what}:{wanted}, expected 1 to {there} (as many as are left)")
