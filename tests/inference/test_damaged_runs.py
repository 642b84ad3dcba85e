"""Runs whose hashes fit and whose files do not: one clear error at load, never a traceback, never a crash."""

import gzip
import json
import os
import shutil

import numpy as np
import pytest
from damage import damaged_json, damaged_tensors, mend
from safetensors.numpy import load_file, save_file

import ramen
from ramen.errors import InputError
from ramen.inference.build_index import build_index
from ramen.inference.check import check_folder
from ramen.inference.labels import add_labels
from ramen.scorers.dense.label_weights import BFloat16Weights
from ramen.scorers.dense.scorer import DenseScorer
from ramen.stored import Tensors

TENSORS = [
    "encoder/model.safetensors",
    "encoder/label_map.safetensors",
    "scorers/encoder/vectors.safetensors",
    "scorers/neighbours/names.safetensors",
    "scorers/neighbours/points.safetensors",
    "scorers/sparse/weights.safetensors",
    "words/words.safetensors",
]
OF_TRAINING = {"encoder/search.json", "encoder/seen.safetensors"}  # tests/training/test_going_on.py damages them
OF_INDEX = [f"index/{name}.safetensors" for name in ("encoder", "neighbours", "texts", "uids", "words")]
# A run that takes no new labels, and one from before there were thresholds.
SOUND = {"extension_map: missing"} | {
    f"{name}: {what}" for name in ("level", "thresholds") for what in ("missing", "null")
}
SEGMENT = "labels/added-000001.safetensors"
TOKENIZER = {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor"}
JSON = {  # and the keys that may be missing or hold anything
    "encoder/modules.json": {"idx", "name"},
    "encoder/tokenizer.json": TOKENIZER | {"decoder"},
    "encoder/config_sentence_transformers.json": {"__version__", "default_prompt_name", "model_type", "prompts"}
    | {"similarity_fn_name"},
    "encoder/1_Normalize/config.json": {"module_input_name", "module_output_name"},
    "ranking/ranking.json": {"calibration"},
    "scorers/neighbours/votes.json": set(),
    "scorers/sparse/params.json": set(),
    "words/words.json": set(),
}


@pytest.fixture(scope="module")
def whole(finished_run, tmp_path_factory):
    run = shutil.copytree(finished_run, tmp_path_factory.mktemp("damaged") / "run")
    build_index(run, always=True)
    add_labels(run, [{"uid": "new", "text": "a new label", "examples": ["one", "another"]}])
    ramen.Tagger.load(run).tag(["a text"])
    return run


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def assert_refused(run, name, damages, **options):
    """Every damage ends in one line that names the file."""
    count, passed = 0, []
    for what in damages:
        count += 1
        mend(run)
        try:
            ramen.Tagger.load(run, **options)
            passed += [] if what in SOUND else [what]
        except InputError as error:
            where = name.rpartition("/")[0] if what.endswith("shorter") else name  # files that differ are both named
            assert where in str(error) and "\n" not in str(error) and len(str(error)) < 600, (what, str(error))
    assert not passed
    assert count > 4
    mend(run)
    ramen.Tagger.load(run, **options)


def test_every_file_is_damaged_below(whole):
    found = {str(path.relative_to(whole)) for path in whole.rglob("*")}
    assert found >= OF_TRAINING
    found -= OF_TRAINING
    assert {name for name in found if name.endswith(".safetensors")} == {*TENSORS, *OF_INDEX, SEGMENT}
    beside = {"index/index.json", "manifest.json", "metrics.json"}
    assert {name for name in found if name.endswith(".json")} == {*JSON, *beside}


@pytest.mark.parametrize("name", TENSORS)
def test_damaged_arrays(run, name):
    assert_refused(run, name, damaged_tensors(run / name), index=False, labels=False)


@pytest.mark.parametrize("name", OF_INDEX)
def test_damaged_arrays_of_an_index(run, name):
    shutil.rmtree(run / "labels")
    assert_refused(run, name, damaged_tensors(run / name))


def test_damaged_arrays_of_added_labels(run):
    assert_refused(run, SEGMENT, damaged_tensors(run / SEGMENT), index=False)


@pytest.mark.parametrize("name", JSON)
def test_damaged_json(run, name):
    assert_refused(run, name, damaged_json(run / name, JSON[name]), index=False, labels=False)


@pytest.mark.parametrize("key", ["format", "of", "scorers", "files", None])
def test_a_damaged_index(run, key):
    path = run / "index/index.json"
    facts = json.loads(path.read_text())
    for wrong in (None, [[1]], {"a": 1}, "half"):
        path.write_text(json.dumps({**facts, key: wrong} if key else wrong))
        with pytest.raises(InputError, match=r"index(\.json)?: "):
            ramen.Tagger.load(run)
    path.write_text(json.dumps(facts)[:-20])
    with pytest.raises(InputError, match=r"index\.json: not an index of this version"):
        ramen.Tagger.load(run)
    measured = {**facts["scorers"]["encoder"], "candidates": "many"}
    for scorers in ({"encoder": measured}, {"sparse": facts["scorers"]["encoder"]}, {"encoder": None}):
        path.write_text(json.dumps({**facts, "scorers": scorers}))
        with pytest.raises(InputError, match=r"index\.json: scorers: "):
            ramen.Tagger.load(run)


@pytest.mark.parametrize(
    "line",
    [
        b'{"uid": "a"}',
        b'{"uid": "a", "text": 5}',
        b'{"uid": null, "text": "b"}',
        b'{"uid": "a", "text": "b", "more": 1}',
        b"null",
        b"{",
        b"\xff",
        b"",
    ],
)
def test_a_damaged_line_of_labels(run, line):
    path = run / "labels.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines()
    path.write_bytes(gzip.compress(b"\n".join([*lines[:7], line, *lines[8:]])))
    mend(run)
    with pytest.raises(InputError, match=r"labels\.jsonl\.gz, line 8: "):
        ramen.Tagger.load(run, index=False, labels=False)


@pytest.mark.parametrize("damage", [lambda whole: whole[:-40], lambda whole: b"x" + whole, lambda whole: b""])
def test_a_damaged_file_of_labels(run, damage):
    path = run / "labels.jsonl.gz"
    path.write_bytes(damage(path.read_bytes()))
    mend(run)
    with pytest.raises(InputError, match="labels"):
        ramen.Tagger.load(run, index=False, labels=False)


@pytest.mark.parametrize(
    "line",
    [
        None,
        [],
        {"op": "move"},
        {"op": []},
        {"op": "remove", "uids": "a"},
        {"op": "remove", "uids": ["nobody"]},
        {"op": "rename", "uid": "nobody", "text": "x"},
        {"op": "rename", "uid": "new"},
        {"op": "add", "segment": "../../x.safetensors", "blake2b": "", "labels": []},
        {"op": "add", "segment": "x.safetensors", "blake2b": "", "labels": [{"uid": 1, "text": ""}]},
        {"op": "add", "segment": "x.safetensors", "blake2b": "", "labels": None},
    ],
)
def test_a_damaged_journal(run, line):
    with (run / "labels/journal.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(InputError, match=r"journal\.jsonl"):
        ramen.Tagger.load(run)


def test_files_that_do_not_fit_each_other(run):
    """Each is sound by itself."""
    points, names = run / "scorers/neighbours/points.safetensors", run / "words/words.json"
    stored, words = load_file(points), json.loads(names.read_text())
    save_file({**stored, "vectors": np.ascontiguousarray(stored["vectors"][:, :-1])}, points)
    mend(run)
    with pytest.raises(InputError, match="found vectors of 31 dimensions, expected 32 as in scorers/encoder"):
        ramen.Tagger.load(run, index=False, labels=False)
    save_file(stored, points)
    names.write_text(json.dumps({**words, "names": words["names"][:-1]}))
    idf = load_file(run / "words/words.safetensors")["idf"]
    save_file({"idf": idf[:-1].copy()}, run / "words/words.safetensors")
    mend(run)
    with pytest.raises(InputError, match="sparse: found .* word features, but .* words in"):
        ramen.Tagger.load(run, index=False, labels=False)


def test_code_in_a_run_is_not_run(run):
    (run / "encoder/custom.py").write_text("raise SystemExit('ran')\nclass Module: pass\n")
    with pytest.raises(InputError, match=r"custom\.py: found a file that manifest\.json does not list"):
        ramen.Tagger.load(run, index=False)
    path, manifest = run / "encoder/modules.json", json.loads((run / "manifest.json").read_text())
    listed = {**manifest, "blake2b": {**manifest["blake2b"], "encoder/custom.py": ""}}
    (run / "manifest.json").write_text(json.dumps(listed))
    mend(run)
    with pytest.raises(InputError, match=r"custom\.py: found a file of this kind"):
        ramen.Tagger.load(run, index=False, labels=False)
    (run / "encoder/custom.py").rename(run.parent / "custom.py")  # where a working directory could have it
    (run / "manifest.json").write_text(json.dumps(manifest))
    modules = json.loads(path.read_text())
    for change in ({"type": "custom.Module"}, {"path": "../other"}, {"path": "/tmp"}):
        path.write_text(json.dumps([{**modules[0], **change}, *modules[1:]]))
        mend(run)
        for load in (lambda: ramen.Tagger.load(run, index=False, labels=False), lambda: ramen.load_encoder(run)):
            with pytest.raises(InputError, match=r"modules\.json"):
                load()


def test_a_token_without_a_row_is_found(run):
    path = run / "encoder/tokenizer.json"
    stored = json.loads(path.read_text())
    word = list(stored["model"]["vocab"])[9]
    stored["model"]["vocab"][word] = 10**9
    path.write_text(json.dumps(stored))
    mend(run)
    with pytest.raises(InputError, match=r"tokenizer\.json: found the token 1000000000, expected 0 to "):
        ramen.Tagger.load(run, index=False, labels=False)


@pytest.mark.parametrize("bits", [0x7F80, 0xFF80, 0x7FC0])
def test_bfloat16_that_is_no_number(tmp_path, bits):
    weights = np.full((5, 3), 0x3F80, np.uint16)
    DenseScorer(BFloat16Weights(weights)).save(tmp_path)
    assert DenseScorer.load(tmp_path).n_labels == 5
    weights[4, 1] = bits
    DenseScorer(BFloat16Weights(weights)).save(tmp_path)
    with pytest.raises(InputError, match=rf"bf16: found {bits} at position 13, expected bits of finite numbers"):
        DenseScorer.load(tmp_path)
    assert DenseScorer.load(tmp_path, full=False).n_labels == 5


@pytest.fixture
def looked(monkeypatch):
    """The files whose values were all looked at."""
    files, check = set(), Tensors._check_all

    def note(self, *arguments):
        files.update([self.path.name] if self.full else [])
        check(self, *arguments)

    monkeypatch.setattr(Tensors, "_check_all", note)
    return files


def test_the_values_of_a_content_are_checked_once(run, looked, monkeypatch, tmp_path):
    monkeypatch.setenv("RAMEN_CACHE", str(tmp_path / "cache"))
    shutil.rmtree(run / "labels")
    for expected in ({"vectors", "points", "weights", "words", "model", "label_map", "encoder", "neighbours"}, set()):
        ramen.Tagger.load(run)
        assert {name.removesuffix(".safetensors") for name in looked} >= expected and bool(looked) == bool(expected)
        looked.clear()
    ramen.Tagger.load(shutil.copytree(run, tmp_path / "copy"))  # the same content
    assert not looked
    with (run / "scorers/neighbours/votes.json").open("a") as file:
        file.write(" ")
    mend(run)
    ramen.Tagger.load(run)
    assert "vectors.safetensors" in looked


@pytest.mark.parametrize("cache", ["/dev/null/cache", "file"])
def test_without_a_cache_every_load_checks(run, looked, monkeypatch, tmp_path, cache):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RAMEN_CACHE", str(tmp_path / cache))
    for _ in range(2):
        ramen.Tagger.load(run)
        assert "vectors.safetensors" in looked
        looked.clear()


def test_check_looks_at_everything_anew(run, looked, ramen_here):
    ramen.Tagger.load(run)
    looked.clear()
    done = ramen_here("check", run)
    assert done.returncode == 0, done.stderr
    names = ["encoder", "labels.jsonl.gz", "ranking", "scorers/encoder", "scorers/neighbours", "scorers/sparse"]
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [*names, "words", "index", "labels"]
    assert lines[5].endswith("bytes, ok") and lines[5].startswith("scorers/sparse: 2 files, ")
    assert {"vectors.safetensors", "encoder.safetensors", "added-000001.safetensors", "model.safetensors"} <= looked
    path = run / "scorers/sparse/weights.safetensors"
    stored, times = path.read_bytes(), path.stat()
    path.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    ramen.Tagger.load(run)  # an index lets it skip what has the same size and time
    done = ramen_here("check", run)
    assert (done.returncode, done.stdout) == (2, "")
    assert "scorers/sparse/weights.safetensors: altered since training" in done.stderr


def test_check_compares_the_names_of_an_index_with_those_of_the_run(run):
    shutil.copy(run / "index/uids.safetensors", run / "index/texts.safetensors")
    mend(run)
    ramen.Tagger.load(run)
    with pytest.raises(InputError, match=r"texts\.safetensors: found other strings than the run has"):
        check_folder(run)


def test_a_folder_that_cannot_be_written_is_checked(run, unprivileged, ramen_here):
    for path in (run, *run.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with unprivileged():
        parts = check_folder(run)
    assert len(parts) == 9
    for path in (run, *run.rglob("*")):
        path.chmod(0o755)


def test_a_run_that_takes_no_new_labels_says_so(run):
    path = run / "scorers/encoder/vectors.safetensors"
    save_file({"vectors": load_file(path)["vectors"]}, path)
    shutil.rmtree(run / "index")
    shutil.rmtree(run / "labels")
    mend(run)
    ramen.Tagger.load(run)
    with pytest.raises(InputError, match="scorers/encoder: found no array extension_map, expected one to add labels"):
        add_labels(run, [{"uid": "other", "text": "x"}])


def test_modules_that_training_does_not_export_are_refused(finished_run, tmp_path):
    """Other modules of the library import what their settings name."""
    run = shutil.copytree(finished_run, tmp_path / "run")
    path = run / "encoder/modules.json"
    modules = json.loads(path.read_text())
    modules[0]["type"] = "sentence_transformers.sentence_transformer.modules.WordEmbeddings"
    path.write_text(json.dumps(modules))
    mend(run)
    with pytest.raises(InputError, match=r"modules.json: found the module 'WordEmbeddings', expected only Transformer"):
        ramen.Tagger.load(run)
