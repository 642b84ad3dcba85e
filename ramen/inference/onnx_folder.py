"""Encode with a folder that ``ramen export --to onnx`` wrote: onnxruntime and tokenizers, no torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from ramen.errors import InputError
from ramen.extras import needing

MODEL, TOKENIZER, FACTS = "model.onnx", "tokenizer.json", "encoder.json"
_BATCH = 64


class OnnxEncoder:
    """Texts to unit vectors.

    Args:
        folder: of ``model.onnx`` (inputs ``input_ids`` and ``attention_mask``, int64 (batch, sequence); output
            ``sentence_embedding``, float32 (batch, d)), ``tokenizer.json`` and ``encoder.json``.

    Raises:
        InputError: onnxruntime is not installed, or no such folder.

    Example:
        ``OnnxEncoder.open("exported").encode(["lead acid battery"]).shape``
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        with needing("onnx", "an ONNX model"):
            import onnxruntime
        if not (folder / FACTS).is_file():
            raise InputError(f"{folder}: expected a folder of ramen export --to onnx, found no {FACTS}")
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self.special_tokens, self.dim = bool(facts["special_tokens"]), int(facts["dim"])
        self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        if facts["max_tokens"]:
            self.tokenizer.no_padding()
            self.tokenizer.enable_truncation(facts["max_tokens"])
        self.session = onnxruntime.InferenceSession(str(folder / MODEL), providers=["CPUExecutionProvider"])

    @classmethod
    def open(cls, folder: str | Path) -> OnnxEncoder:
        """The folder's encoder; what the class itself gives, named as :meth:`StaticFolder.open` is."""
        return cls(folder)

    def encode(self, texts: list[str], batch_size: int = _BATCH) -> np.ndarray:
        """Unit vectors, float32 (n, d); the zero vector for a text without a known token."""
        out = np.empty((len(texts), self.dim), dtype=np.float32)
        order = np.argsort([-len(text) for text in texts], kind="stable")  # texts of a batch are of like lengths
        for start in range(0, len(texts), batch_size):
            rows = order[start : start + batch_size]
            batch = [texts[row] for row in rows]
            lists = [one.ids for one in self.tokenizer.encode_batch(batch, add_special_tokens=self.special_tokens)]
            ids = np.zeros((len(lists), max(1, *map(len, lists))), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, found in enumerate(lists):
                ids[row, : len(found)], mask[row, : len(found)] = found, 1
            (out[rows],) = self.session.run(["sentence_embedding"], {"input_ids": ids, "attention_mask": mask})
        return out
