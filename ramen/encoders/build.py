"""Builds the encoder of the settings."""

from __future__ import annotations

from pathlib import Path

import torch

from ramen.config import Config, EncoderConfig, preset_encoder
from ramen.encoders.backbone import find_backbone
from ramen.encoders.base import Encoder
from ramen.errors import InputError

STUDENT = "student"  # the folder of a distilled encoder in what hlm writes
ENCODER = "encoder"  # the folder of the encoder in a run
_SETTINGS, _MANIFEST = "config.yaml", "manifest.json"  # of a run; the manifest completes it


def build_encoder(config: Config, texts: list[str]) -> Encoder:
    """An encoder of the kind ``config.encoder.kind``, untrained unless ``distilled``; on the GPU if there is one.

    Args:
        config: settings.
        texts: the corpus, ``title\\ncontent`` each, for the static encoder's vocabulary.

    Raises:
        InputError: the backbone cannot be found or loaded, or the preset is for another kind of encoder.
    """
    settings = config.encoder
    encoder: Encoder
    if settings.kind == "distilled":
        from ramen.encoders.folder import load_folder

        dropout, compiles = config.training.dropout, config.training.compile
        encoder = load_folder(student_folder(settings.backbone), settings.max_tokens, dropout, compiles)
        is_static = type(encoder).__name__ == "StaticEncoder"
        refuse_for_static(config, is_static)
        if is_static == (preset_encoder(config.preset) == "transformer"):
            kind = "static" if is_static else "transformer"
            raise InputError(f"{settings.backbone}: its encoder is of the kind {kind}: add --preset {kind}")
    elif settings.kind == "transformer":
        from ramen.encoders.transformer import TransformerEncoder

        parts = settings.backbone, settings.pooling, settings.max_tokens
        dropout, compiles = config.training.dropout, config.training.compile
        encoder = TransformerEncoder(*parts, dropout=dropout, compiles=compiles)
    else:
        from ramen.encoders.static import build_static_encoder

        encoder = build_static_encoder(texts, settings)
    return encoder.to("cuda" if torch.cuda.is_available() else "cpu")


def refuse_for_static(config: Config, is_static: bool) -> None:
    """Refuse settings that only a transformer has.

    Raises:
        InputError: the setting.

    Example:
        ``refuse_for_static(load_config("static"), is_static=True)``
    """
    training = config.training
    given = {"dropout": training.dropout >= 0, "chunk": training.chunk > 0, "compile": training.compile}
    for name in (name for name, is_given in given.items() if is_given and is_static):
        value = str(getattr(training, name)).lower()
        raise InputError(f"training.{name}={value}: only a transformer has it, found the encoder {config.encoder.kind}")


def check_encoder(settings: EncoderConfig) -> None:
    """Check that the pretrained model exists, without loading it.

    Raises:
        InputError: it does not exist.
    """
    if settings.kind == "distilled":
        student_folder(settings.backbone)
    else:
        find_backbone(settings.backbone)


def student_folder(name: str) -> Path:
    """Return the sentence-transformers folder within a finished run or the output of hlm, or ``name`` if it is one.

    Raises:
        InputError: there is no such folder, the run is not finished, or it was trained on bags of words.

    Example:
        ``student_folder("runs/a")`` is ``Path("runs/a/encoder")``.
    """
    path = Path(name).expanduser()
    for folder in (path / STUDENT, path, path / ENCODER):
        if (folder / "modules.json").is_file():
            _refuse_unfinished(folder.parent if folder.name == ENCODER else folder)
            return folder
    _refuse_unfinished(path)
    if (path / _MANIFEST).is_file() and (path / ENCODER).is_dir():
        raise InputError(f"{name}: this run was trained on bags of words, it has no encoder of texts to start from")
    found = "none of them" if path.exists() else "nothing there"
    raise InputError(
        f"{name}: expected the folder of a finished run, one that hlm run wrote (with {STUDENT}/modules.json), or a "
        f"sentence-transformers folder, found {found}"
    )


def run_of(folder: Path) -> Path | None:
    """Return the finished run that an encoder's folder belongs to, or None.

    Args:
        folder: as :func:`student_folder` returns it.

    Example:
        ``run_of(Path("runs/a/encoder"))`` is ``Path("runs/a")``.
    """
    run = folder.resolve().parent
    return folder.parent if folder.name == ENCODER and (run / _MANIFEST).is_file() else None


def _refuse_unfinished(path: Path) -> None:
    if (path / _SETTINGS).is_file() and not (path / _MANIFEST).is_file():
        raise InputError(f"{path}: found an unfinished run, expected a finished one: ramen train --resume finishes it")
