"""A run's encoder as an ONNX model: built by hand for the static encoder, traced by torch for transformers."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ramen.errors import InputError, WorkError
from ramen.extras import needing
from ramen.inference.onnx_folder import FACTS, MODEL, TOKENIZER, OnnxEncoder
from ramen.inference.static_folder import StaticFolder
from ramen.inference.tagger import load_encoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_OPSET = 18
_TOLERANCE = 1e-4
_PROBES = ["", "x", "lead acid battery\nwith a charger", "电池 Ünïcode", "long " * 1000]


def export_onnx(run: Path, out: Path, int8: bool = False) -> float:
    """Write ``model.onnx``, ``tokenizer.json`` and ``encoder.json`` into a new folder and compare vectors.

    Args:
        run: finished run folder.
        out: folder, which is made.
        int8: weights in a byte each: of the static encoder the token vectors with a scale each; of transformers the
            linear layers, quantised dynamically by onnxruntime.

    Returns:
        The lowest cosine between vectors of the model and of the encoder, over some texts with tokens.

    Raises:
        InputError: a run without encoder; onnx, onnxruntime or for transformers onnxscript or torch is not installed.
        WorkError: without ``int8``, vectors that differ by more than 1e-4.

    Example:
        ``export_onnx(Path("runs/a"), Path("exported"), int8=True)``
    """
    with needing("onnx", "an ONNX model"):
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    if not (run / "encoder").is_dir():
        raise InputError(f"{run}: a run over given bags of words, which has no encoder to export")
    out.mkdir(parents=True)
    encoder: StaticFolder | SentenceTransformer | None = StaticFolder.open(run / "encoder")
    if isinstance(encoder, StaticFolder):
        encoder.tokenizer.save(str(out / TOKENIZER))
        _write_static(encoder.table, out / MODEL, int8)
        facts: dict[str, Any] = {"special_tokens": False, "max_tokens": None, "dim": encoder.table.shape[1]}
    else:
        encoder = load_encoder(run).to("cpu")
        encoder.tokenizer.backend_tokenizer.save(str(out / TOKENIZER))
        _trace(encoder, out / MODEL, int8)
        dim = encoder.get_embedding_dimension()
        facts = {"special_tokens": True, "max_tokens": encoder.max_seq_length, "dim": dim}
    (out / FACTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")
    return _compare(encoder, OnnxEncoder(out), int8)


def _compare(encoder: StaticFolder | SentenceTransformer, model: OnnxEncoder, int8: bool) -> float:
    if isinstance(encoder, StaticFolder):
        expected = encoder.encode(_PROBES)
    else:
        expected = encoder.encode(_PROBES, show_progress_bar=False, convert_to_numpy=True)
    found = model.encode(_PROBES, batch_size=2)
    difference = float(np.abs(found - expected).max())
    if not int8 and not difference <= _TOLERANCE:
        raise WorkError(f"the ONNX vectors differ by {difference:.1e} from the encoder's, expected {_TOLERANCE}")
    known = np.linalg.norm(expected, axis=1) > 0
    return float((found * expected).sum(1)[known].min(initial=1.0))


def _write_static(table: np.ndarray, path: Path, int8: bool) -> None:
    """Sum of the rows of a text's tokens, divided by its length."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    dim = table.shape[1]
    weights = [numpy_helper.from_array(np.array([1e-12], np.float32), "least")]
    weights.append(numpy_helper.from_array(np.array([1], np.int64), "sequence"))
    weights.append(numpy_helper.from_array(np.array([2], np.int64), "last"))
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["counts"]),
    ]
    if int8:
        scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-30) / 127.0
        weights.append(numpy_helper.from_array(np.rint(table / scales).astype(np.int8), "table"))
        weights.append(numpy_helper.from_array(scales.astype(np.float32), "scales"))
        nodes += [
            helper.make_node("Gather", ["table", "input_ids"], ["codes"]),
            helper.make_node("Cast", ["codes"], ["whole"], to=TensorProto.FLOAT),
            helper.make_node("Gather", ["scales", "input_ids"], ["scale"]),
            helper.make_node("Mul", ["whole", "scale"], ["rows"]),
        ]
    else:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(table, np.float32), "table"))
        nodes.append(helper.make_node("Gather", ["table", "input_ids"], ["rows"]))
    nodes += [
        helper.make_node("Mul", ["rows", "counts"], ["counted"]),
        helper.make_node("ReduceSum", ["counted", "sequence"], ["sums"], keepdims=0),
        helper.make_node("ReduceL2", ["sums", "sequence"], ["lengths"], keepdims=1),
        helper.make_node("Max", ["lengths", "least"], ["divisors"]),
        helper.make_node("Div", ["sums", "divisors"], ["sentence_embedding"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", dim])]
    graph = helper.make_graph(nodes, "ramen-static-encoder", inputs, outputs, weights)
    # An intermediate representation that runtimes of the last years read.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _trace(encoder: SentenceTransformer, path: Path, int8: bool) -> None:
    import torch

    with needing("onnx", "an ONNX model of a transformer"):
        import onnxscript  # noqa: F401  # torch writes with it

    class Whole(torch.nn.Module):
        """From ids to the sentence's vector, by position."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.encoder({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]

    # Two rows of three tokens, one padded: sizes of 1 would be taken for constants.
    example = torch.tensor([[1, 2, 3], [3, 2, 1]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence", max=encoder.max_seq_length)
    shape = {0: batch, 1: sequence}
    whole = path.with_name("whole.onnx") if int8 else path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Whole().eval(), example, str(whole), input_names=["input_ids", "attention_mask"],
            output_names=["sentence_embedding"], dynamic_shapes={"input_ids": shape, "attention_mask": shape},
            opset_version=_OPSET, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    if int8:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(str(whole), str(path), weight_type=QuantType.QInt8)
        whole.unlink()


def export_sentence_transformers(run: Path, out: Path) -> None:
    """Copy the encoder: a folder that ``SentenceTransformer(folder)`` loads.

    Raises:
        InputError: a run without encoder.

    Example:
        ``export_sentence_transformers(Path("runs/a"), Path("exported"))``
    """
    if not (run / "encoder").is_dir():
        raise InputError(f"{run}: a run over given bags of words, which has no encoder to export")
    shutil.copytree(run / "encoder", out)
