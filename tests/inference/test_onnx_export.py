"""The encoder as ONNX and as sentence-transformers: the same vectors, any shape, and wrong calls."""

import json
import shutil
import sys

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import ramen
from ramen.encoders.transformer import TransformerEncoder
from ramen.errors import InputError, WorkError
from ramen.files import digest
from ramen.inference import onnx_export
from ramen.inference.export import export_encoder
from ramen.inference.onnx_folder import OnnxEncoder

pytest.importorskip("onnxruntime")

TEXTS = ["lead acid battery\na charger", "x", "", "lead " * 300, "Ünïcode 电池", *[f"text {n}" for n in range(70)]]


@pytest.fixture(scope="module", params=["mean", pytest.param("last", marks=pytest.mark.slow)])
def transformer_run(request, finished_run, tiny_backbone, tmp_path_factory):
    """The finished run with a transformer for an encoder: enough of a run for an export."""
    run = without_encoder(finished_run, tmp_path_factory.mktemp("transformer") / "run")
    TransformerEncoder(str(tiny_backbone), request.param, max_tokens=24).export(run / "encoder")
    manifest = json.loads((run / "manifest.json").read_text())
    files = {str(path.relative_to(run)): digest(path) for path in (run / "encoder").rglob("*") if path.is_file()}
    (run / "manifest.json").write_text(json.dumps(manifest | {"blake2b": manifest["blake2b"] | files}))
    return run


def without_encoder(run, out):
    shutil.copytree(run, out)
    shutil.rmtree(out / "encoder")
    manifest = json.loads((run / "manifest.json").read_text())
    kept = {name: known for name, known in manifest["blake2b"].items() if not name.startswith("encoder/")}
    (out / "manifest.json").write_text(json.dumps(manifest | {"blake2b": kept}))
    return out


def expected(run):
    return SentenceTransformer(str(run / "encoder"), device="cpu").encode(TEXTS)


def test_the_static_encoder(finished_run, tmp_path):
    assert export_encoder(finished_run, tmp_path / "onnx", "onnx") > 0.99999
    found = OnnxEncoder(tmp_path / "onnx").encode(TEXTS)
    np.testing.assert_allclose(found, expected(finished_run), atol=1e-4)
    assert export_encoder(finished_run, tmp_path / "small", "onnx", int8=True) > 0.99
    small = OnnxEncoder(tmp_path / "small").encode(TEXTS)
    assert (found * small).sum(1)[np.linalg.norm(found, axis=1) > 0].min() > 0.99
    sizes = [(tmp_path / name / "model.onnx").stat().st_size for name in ("onnx", "small")]
    assert sizes[1] < 0.4 * sizes[0]


def test_a_transformer(transformer_run, tmp_path):
    export_encoder(transformer_run, tmp_path / "onnx", "onnx")
    found = OnnxEncoder.open(tmp_path / "onnx").encode(TEXTS)
    np.testing.assert_allclose(found, expected(transformer_run), atol=1e-4)


@pytest.mark.slow  # torch takes five seconds to trace the smallest model
def test_a_transformer_in_int8(transformer_run, tmp_path):
    assert export_encoder(transformer_run, tmp_path / "small", "onnx", int8=True) > 0.9
    found = OnnxEncoder(tmp_path / "small").encode(TEXTS)
    assert (found * expected(transformer_run)).sum(1).min() > 0.9
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == [
        "encoder.json", "model.onnx", "tokenizer.json",
    ]  # fmt: skip


def test_sentence_transformers(finished_run, tmp_path):
    export_encoder(finished_run, tmp_path / "copy", "sentence-transformers")
    found = SentenceTransformer(str(tmp_path / "copy"), device="cpu").encode(TEXTS)
    np.testing.assert_array_equal(found, expected(finished_run))


@pytest.mark.parametrize("kind", ["onnx", "sentence-transformers"])
def test_folders_on_the_way_are_made(finished_run, tmp_path, kind):
    export_encoder(finished_run, tmp_path / "a/b", kind)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


@pytest.mark.parametrize("kind", ["onnx", "sentence-transformers"])
def test_a_run_without_encoder_is_named(finished_run, tmp_path, kind):
    run = without_encoder(finished_run, tmp_path / "run")
    with pytest.raises(InputError, match="has no encoder to export"):
        export_encoder(run, tmp_path / "out", kind)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_a_missing_library_is_named_with_its_extra(finished_run, tmp_path, monkeypatch, library):
    missing(monkeypatch, library)
    with pytest.raises(InputError, match=rf"needs {library}, .* pip install 'ramen-xc\[onnx\]'"):
        export_encoder(finished_run, tmp_path / "out", "onnx")
    assert not list(tmp_path.iterdir())


def test_transformers_need_onnxscript(transformer_run, tmp_path, monkeypatch):
    missing(monkeypatch, "onnxscript")
    with pytest.raises(InputError, match="a transformer needs onnxscript, .* 'ramen-xc\\[onnx\\]'"):
        export_encoder(transformer_run, tmp_path / "out", "onnx")
    assert not list(tmp_path.iterdir())


def missing(monkeypatch, library):
    """As ``import library`` finds it where it is not installed: None there raises ModuleNotFoundError."""
    monkeypatch.setitem(sys.modules, library, None)


def test_other_vectors_are_refused_and_nothing_is_left(finished_run, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export.OnnxEncoder, "encode", lambda self, texts, batch_size: np.zeros((5, self.dim)))
    with pytest.raises(WorkError, match="vectors differ by"):
        export_encoder(finished_run, tmp_path / "onnx", "onnx")
    assert not list(tmp_path.iterdir())


def test_wrong_calls(finished_run, tmp_path):
    with pytest.raises(InputError, match="--to onx: did you mean 'onnx'?"):
        export_encoder(finished_run, tmp_path / "a", "onx")
    with pytest.raises(InputError, match="expected with --to onnx"):
        export_encoder(finished_run, tmp_path / "a", "sentence-transformers", int8=True)
    with pytest.raises(InputError, match="already exists"):
        export_encoder(finished_run, tmp_path, "onnx")
    with pytest.raises(InputError, match="expected a run folder"):
        export_encoder(tmp_path / "none", tmp_path / "a", "onnx")
    with pytest.raises(InputError, match="found no encoder.json"):
        OnnxEncoder(tmp_path)


def test_the_command(finished_run, ramen_here):
    def export(*options):
        return ramen_here("export", finished_run, *options)

    done = export("--to", "onnx", "--int8", "--out", "small")
    assert done.returncode == 0 and "small: onnx int8, " in done.stdout and "lowest cosine" in done.stdout
    assert ramen.load_encoder(finished_run).encode(["x"]).shape[0] == 1
