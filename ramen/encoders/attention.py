"""Attention masks in a form that makes no host wait: a model that asks whether all is attended to does."""

from __future__ import annotations

from typing import Any

import torch

FORMS = ("causal", "expanded", "plain")  # in order of preference
_CLOSE = 1e-3


def as_attention(mask: torch.Tensor, form: str) -> torch.Tensor | None:
    """The mask as a model takes it.

    Args:
        mask: bool (B, width), True for the tokens of each text, which is padded on the right.
        form: ``expanded`` is bool (B, 1, width, width), which transformers hands on as it is; ``causal`` is no mask,
            as no token sees the padding after it; ``plain`` int64 (B, width) always works, and makes the host wait.

    Example:
        >>> as_attention(torch.ones(2, 5, dtype=torch.bool), "expanded").shape
        torch.Size([2, 1, 5, 5])
    """
    if form == "causal":
        return None
    return mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1) if form == "expanded" else mask.long()


def avoid_cudnn() -> None:
    """Let torch choose another attention than cuDNN's, which an H100 would get.

    cuDNN builds a graph for every new number of texts, in tens of milliseconds, and keeps it: a training step has
    several new ones.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def mask_form(model: Any) -> str:
    """The first form by which a model gives the states that it gives with a plain mask, on a text and its padding.

    Args:
        model: of Hugging Face; it is run three times on a few tokens.
    """
    device = next(model.parameters()).device
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 0, 0]], device=device)
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]], device=device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            plain = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()
            for form in FORMS[:-1]:
                try:
                    states = model(input_ids=ids, attention_mask=as_attention(mask, form)).last_hidden_state.float()
                except (RuntimeError, ValueError, TypeError, IndexError):
                    continue
                if float((states - plain)[mask].abs().max()) <= _CLOSE * float(plain[mask].abs().max()):
                    return form
    finally:
        model.train(was_training)
    return FORMS[-1]
