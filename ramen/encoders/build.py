"""The encoder that the settings name."""

from __future__ import annotations

import torch

from ramen.config import Config
from ramen.encoders.base import Encoder


def build_encoder(config: Config, texts: list[str]) -> Encoder:
    """An untrained encoder of the kind ``config.encoder.kind``, on the GPU where there is one.

    Args:
        config: settings.
        texts: the corpus, ``title\\ncontent`` each, for the static encoder's vocabulary.

    Raises:
        InputError: the backbone cannot be found or loaded.
    """
    settings = config.encoder
    encoder: Encoder
    if settings.kind == "transformer":
        from ramen.encoders.transformer import TransformerEncoder

        encoder = TransformerEncoder(settings.backbone, settings.pooling, settings.max_tokens, settings.autocast)
    else:
        from ramen.encoders.static import build_static_encoder

        encoder = build_static_encoder(texts, settings)
    return encoder.to("cuda" if torch.cuda.is_available() else "cpu")
