"""Prune layers and feed-forward units of a transformer by their effect on calibration text."""

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
    """Importance scores of a model's parts; higher is more important.

    Attributes:
        layers: float64 (layers,), 1 - mean cosine of a token's state before and after the layer.
        units: for each layer float64 (units,), mean |activation| of each feed-forward unit.
    """

    layers: np.ndarray
    units: list[np.ndarray]


@dataclass
class _Family:
    """Accessors for the parts of one kind of model."""

    layers: Callable[[Any], nn.ModuleList]
    set_layers: Callable[[Any, nn.ModuleList], None]
    down: Callable[[Any], nn.Linear]  # of a layer; takes the activated units
    up: Callable[[Any], list[nn.Linear]]  # of a layer; compute the units


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
    """Score all layers and units on the tokens of calibration texts, without padding.

    Source: HARNESS-LM (arXiv 2605.23572) scores layers by the change of the representation and units by the magnitude
    of their activation; Ministral 3 (arXiv 2601.08584) likewise.

    Args:
        model: a BertModel or Qwen3Model; not changed.
        tokenizer: of the model.
        texts: for calibration.
        max_tokens: longer texts are truncated.
        batch_size: texts in a batch.

    Raises:
        InputError: the model is of another family, or there is no text.
    """
    family, layers = _family(model)
    if not any(text.strip() for text in texts):
        raise InputError("prune: found no calibration text, expected one or more")
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
            for first in range(0, len(texts), batch_size):
                batch = tokenizer(
                    texts[first : first + batch_size], truncation=True, max_length=max_tokens, padding=True,
                    return_tensors="pt",
                ).to(model.device)  # fmt: skip
                real = batch["attention_mask"].bool()
                model(**batch)
                count += int(real.sum())
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return Scores(change / max(1, count), [activations / max(1, count) for activations in units])


def cut_layers(model: Any, scores: Scores, layers: int) -> Scores:
    """Keep the layers that change the representation most, in their order; returns their scores.

    Args:
        model: modified in place.
        scores: of its current layers and units.
        layers: number to keep.

    Raises:
        InputError: the model has fewer layers.
    """
    family, all_layers = _family(model)
    _check("layers", layers, len(all_layers))
    keep = np.sort(np.argsort(-scores.layers, kind="stable")[:layers])
    family.set_layers(model, nn.ModuleList([all_layers[number] for number in keep]))
    config = model.config
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[number] for number in keep]
    part: Any
    for number, layer in enumerate(family.layers(model)):
        for part in layer.modules():
            if hasattr(part, "layer_idx"):
                part.layer_idx = number  # the layer's slot in a key-value cache
    return Scores(scores.layers[keep], [scores.units[number] for number in keep])


def cut_units(model: Any, scores: Scores, units: int) -> Scores:
    """Keep the feed-forward units of each layer with the highest activation; returns their scores.

    Args:
        model: modified in place.
        scores: of its current layers and units.
        units: number to keep in each layer.

    Raises:
        InputError: the layers have fewer units.
    """
    family, layers = _family(model)
    _check("units", units, model.config.intermediate_size)
    remaining = []
    part: Any
    for layer, of_layer in zip(layers, scores.units, strict=True):
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
        remaining.append(of_layer[keep])
    model.config.intermediate_size = units
    return Scores(scores.layers, remaining)


def _family(model: Any) -> tuple[_Family, nn.ModuleList]:
    name = type(model).__name__
    if name not in _FAMILIES:
        raise InputError(f"prune: cannot cut a {name}, expected one of {', '.join(_FAMILIES)}")
    return _FAMILIES[name], _FAMILIES[name].layers(model)


def _check(part: str, wanted: int, available: int) -> None:
    if not 1 <= wanted <= available:
        raise InputError(f"prune.ladder: {part}:{wanted}, expected 1 to {available} (as many as are left)")
