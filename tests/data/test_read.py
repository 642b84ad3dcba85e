"""Reading a folder: what a sound one gives, and every fault of a broken one by file and line."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.data import bags_of_words, check, load_dataset, write_dataset
from ramen.data.layouts import LAYOUTS
from ramen.errors import InputError


def edit(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))


def drop_json_targets(folder: Path, split: str) -> None:
    records = [json.loads(line) for line in (folder / f"{split}.json").read_text().splitlines()]
    kept = [{key: record[key] for key in ("uid", "title", "content")} for record in records]
    (folder / f"{split}.json").write_text("".join(json.dumps(record) + "\n" for record in kept))


def test_a_sound_folder_is_read_whole(small_set):
    ds = load_dataset(small_set)
    assert (ds.path, ds.n_labels, ds.card.name) == (small_set, 4, "small")
    assert ds.train.uids == ["p0", "p1", "p2"] and ds.labels.titles == ["apple", "pear", "fruit", "stone"]
    assert ds.train.contents == ["a fruit", "", "line one line two"]
    assert ds.train.joined()[:2] == ["red apple\na fruit", "green pear"]
    np.testing.assert_array_equal(ds.train_targets.toarray(), [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(ds.test_targets.toarray(), [[1, 0, 0, 0]])
    assert ds.train_targets.dtype == np.float32 and sp.issparse(ds.train_targets)
    assert ds.train_filter.tolist() == [[0, 3]] and ds.test_filter.tolist() == [[0, 1], [0, 2]]
    assert ds.train_filter.dtype == np.int64
    graph = ds.graphs["colour"]
    assert graph.anchors == ["warm", "cold"]
    np.testing.assert_array_equal(graph.points.toarray(), [[1, 0], [0, 1], [0, 1]])
    np.testing.assert_array_equal(graph.labels.toarray(), [[1, 0], [0, 0], [1, 1], [0, 0]])


def test_gzipped_and_npz_files_read_the_same(small_set):
    plain = load_dataset(small_set)
    for path in [*small_set.glob("*.json"), small_set / "trn_X_Y.txt", small_set / "graphs/colour.raw.txt"]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    (small_set / "tst_X_Y.txt").unlink()
    sp.save_npz(small_set / "tst_X_Y.npz", plain.test_targets)
    (small_set / "graphs/colour_trn_X_Y.txt").unlink()
    sp.save_npz(small_set / "graphs/colour_trn_X_Y.npz", plain.graphs["colour"].points)
    packed = load_dataset(str(small_set))
    assert (packed.train, packed.test, packed.labels) == (plain.train, plain.test, plain.labels)
    np.testing.assert_array_equal(packed.train_targets.toarray(), plain.train_targets.toarray())
    np.testing.assert_array_equal(packed.test_targets.toarray(), plain.test_targets.toarray())
    np.testing.assert_array_equal(packed.graphs["colour"].points.toarray(), plain.graphs["colour"].points.toarray())


def test_targets_may_be_in_the_json_only_or_in_the_matrix_only(small_set):
    both = load_dataset(small_set).train_targets.toarray()
    (small_set / "tst_X_Y.txt").unlink()
    drop_json_targets(small_set, "trn")
    ds = load_dataset(small_set)
    np.testing.assert_array_equal(ds.train_targets.toarray(), both)
    np.testing.assert_array_equal(ds.test_targets.toarray(), [[1, 0, 0, 0]])


def test_target_rel_may_be_left_out_and_means_one(small_set):
    edit(small_set, "trn.json", ', "target_rel": [1.0, 1.0]', "")
    np.testing.assert_array_equal(load_dataset(small_set).train_targets.toarray()[0], [1, 0, 1, 0])


def test_test_split_filters_and_graphs_may_be_missing(small_set):
    for name in ("tst.json", "tst_X_Y.txt", "filter_labels_train.txt", "filter_labels_test.txt"):
        (small_set / name).unlink()
    (small_set / "graphs/colour_lbl_X_Y.txt").unlink()
    ds = load_dataset(small_set)
    assert len(ds.test) == 0 and ds.test_targets.shape == (0, 4)
    assert ds.train_filter.shape == ds.test_filter.shape == (0, 2)
    assert ds.graphs["colour"].labels is None and ds.graphs["colour"].points is not None
    for path in [*(small_set / "graphs").iterdir()]:
        path.unlink()
    (small_set / "graphs").rmdir()
    assert load_dataset(small_set).graphs == {}


def beside(small_set: Path, texts: str) -> None:
    """The graph's files among the rest, its anchors' texts in ``texts``."""
    (small_set / texts).parent.mkdir(exist_ok=True)
    (small_set / "graphs/colour.raw.txt").rename(small_set / texts)
    for side in ("trn", "lbl"):
        (small_set / f"graphs/colour_{side}_X_Y.txt").rename(small_set / f"colour_{side}_X_Y.txt")


@pytest.mark.parametrize("texts", ["colour.raw.txt", "raw_data/colour.raw.txt"])
def test_a_graph_may_lie_beside_the_rest(small_set, texts):
    within = load_dataset(small_set).graphs["colour"]
    beside(small_set, texts)
    found = load_dataset(small_set).graphs
    assert list(found) == ["colour"] and found["colour"].anchors == within.anchors
    np.testing.assert_array_equal(found["colour"].points.toarray(), within.points.toarray())
    np.testing.assert_array_equal(found["colour"].labels.toarray(), within.labels.toarray())
    (small_set / texts).unlink()
    with pytest.raises(InputError, match=r"colour.raw.txt: missing, expected the anchor texts of graph 'colour'"):
        load_dataset(small_set)


def test_a_graph_in_two_places_is_refused(small_set):
    (small_set / "colour_lbl_X_Y.txt").write_text((small_set / "graphs/colour_lbl_X_Y.txt").read_text())
    with pytest.raises(InputError, match="colour_lbl_X_Y.txt: graph 'colour' is in graphs/ too, expected in one"):
        load_dataset(small_set)


def test_bags_of_words_beside_texts_are_read_when_asked_for(small_set):
    for part, rows in (("trn", 3), ("tst", 1), ("lbl", 4)):
        (small_set / f"{part}_X_Xf.txt").write_text(f"{rows} 2\n" + "0:1 1:0.5\n" * rows)
    (small_set / "Xf.txt").write_text("red\nround\n")
    ds = load_dataset(small_set)
    assert ds.features is None and not check(small_set).problems
    features = bags_of_words(ds)
    assert features is ds.features and features.names == ["red", "round"]
    for matrix, rows in ((features.train, 3), (features.test, 1), (features.labels, 4)):
        np.testing.assert_array_equal(matrix.toarray(), [[1, 0.5]] * rows)
    write_dataset(ds, small_set.parent / "again")
    again = load_dataset(small_set.parent / "again")
    assert again.train == ds.train
    np.testing.assert_array_equal(bags_of_words(again).labels.toarray(), features.labels.toarray())


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("trn_X_Xf.txt", "2 2\n0:1\n\n", "trn_X_Xf.txt: 2 rows, expected 3: training points x features"),
        ("tst_X_Xf.txt", "1 3\n0:1\n", "tst_X_Xf.txt: 3 columns, expected 2: test points x features"),
        ("tst_X_Xf.txt", None, "tst_X_Xf.txt: missing, expected next to trn_X_Xf as there are test points"),
        ("lbl_X_Xf.txt", "3 2\n0:1\n\n\n", "lbl_X_Xf.txt: 3 rows, expected 4: labels x features"),
        ("Xf.txt", "red\n", "Xf.txt: 1 lines, expected 2 as there are features"),
    ],
)
def test_bags_of_words_that_do_not_fit_the_texts(small_set, name, text, told):
    for part, rows in (("trn", 3), ("tst", 1), ("lbl", 4)):
        (small_set / f"{part}_X_Xf.txt").write_text(f"{rows} 2\n" + "0:1 1:0.5\n" * rows)
    if text is None:
        (small_set / name).unlink()
    else:
        (small_set / name).write_text(text)
    assert any(told in problem for problem in check(small_set).problems)
    with pytest.raises(InputError, match=told.split(":")[1].strip()[:20]):
        bags_of_words(load_dataset(small_set))


def test_weights_of_a_graph_are_read_as_links(small_set):
    edit(small_set, "graphs/colour_trn_X_Y.txt", "0:1", "0:0.25")
    assert set(load_dataset(small_set).graphs["colour"].points.data) == {1.0}


# file, what is replaced, by what, and the message after "folder/file"
FAULTS = [
    ("trn.json", '"uid": "p1"', '"uid": "p1', "trn.json, line 2: broken json"),
    ("trn.json", '{"uid": "p1"', '\n{"uid": "p1"', "trn.json, line 2: broken json"),
    ("trn.json", '{"uid": "p1"', "[]\n{" + '"uid": "p1"', "trn.json, line 2: found a json list, expected an object"),
    ("trn.json", '"uid": "p1"', '"uid": "p0"', "trn.json, line 2: duplicate uid 'p0', already on line 1"),
    ("trn.json", '"uid": "p1"', '"id": "p1"', "trn.json, line 2: key 'uid' is missing"),
    ("trn.json", '"uid": "p1"', '"uid": 7', "trn.json, line 2: uid is 7, expected a string"),
    ("trn.json", '"uid": "p1"', '"uid": ""', "trn.json, line 2: uid is empty"),
    ("trn.json", '"title": "green pear"', '"name": ""', "trn.json, line 2: key 'title' is missing"),
    ("trn.json", '"green pear"', "null", "trn.json, line 2: title is None, expected a string"),
    ("trn.json", '"green pear"', '"\\ud800"', "trn.json, line 2: title holds half a surrogate pair"),
    (
        "trn.json",
        '"target_ind": [1]',
        '"target_ind": [4]',
        "trn.json, line 2: label 4 in target_ind is out of range, exp",
    ),
    ("trn.json", '"target_ind": [1]', '"target_ind": [-1]', "trn.json, line 2: label -1 in target_ind is out of range"),
    (
        "trn.json",
        '"target_ind": [1]',
        '"target_ind": [1.0]',
        r"trn.json, line 2: target_ind is \[1.0\], expected a list",
    ),
    ("trn.json", '"target_ind": [1]', '"target_ind": [true]', r"trn.json, line 2: target_ind is \[True\], expected"),
    ("trn.json", '"target_ind": [1]', '"target_ind": 1', "trn.json, line 2: target_ind is 1, expected a list"),
    (
        "trn.json",
        '"target_ind": [0, 2]',
        '"target_ind": [2, 2]',
        r"trn.json, line 1: target_ind \[2, 2\] names a label",
    ),
    ("trn.json", '"target_ind": [1], ', "", "trn.json, line 2: target_rel has 1 entries, expected 0"),
    (
        "trn.json",
        '"target_ind": [1], "target_rel": [1.0]',
        '"x": 0',
        "trn.json, line 2: no target_ind, expected in every",
    ),
    (
        "trn.json",
        '"target_rel": [1.0]',
        '"target_rel": [1, 1]',
        "trn.json, line 2: target_rel has 2 entries, expected 1",
    ),
    ("trn.json", '"target_rel": [1.0]', '"target_rel": [NaN]', "trn.json, line 2: broken json .NaN is not a number"),
    (
        "trn.json",
        '"target_rel": [1.0]',
        '"target_rel": [1e99]',
        r"trn.json, line 2: target_rel \[1e\+99\], expected fin",
    ),
    ("trn.json", '"target_rel": [1.0]', '"target_rel": [0]', r"trn.json, line 2: target_rel \[0\], expected finite"),
    ("trn.json", '"target_rel": [1.0]', '"target_rel": null', "trn.json, line 2: target_rel is None, expected a list"),
    ("lbl.json", '"uid": "l3"', '"uid": "l0"', "lbl.json, line 4: duplicate uid 'l0', already on line 1"),
    ("tst.json", '"target_ind": [0]', '"target_ind": [9]', "tst.json, line 1: label 9 in target_ind is out of range"),
    (
        "tst.json",
        '"uid": "q0"',
        '"uid": "p1"',
        "tst.json, line 1: uid 'p1' is a training point too .line 2 of trn.json",
    ),
    ("trn_X_Y.txt", "3 4\n0:1 2:1\n1:1\n\n", "2 4\n0:1 2:1\n1:1\n", "trn_X_Y.txt: 2 rows, expected 3 as in trn.json"),
    ("trn_X_Y.txt", "3 4", "4 4", "trn_X_Y.txt, line 1: header says 4 rows, found 3"),
    ("trn_X_Y.txt", "3 4", "3 5", "trn_X_Y.txt: 5 columns, expected 4 as there are labels"),
    ("trn_X_Y.txt", "1:1\n\n", "1:1\n4:1\n", "trn_X_Y.txt, line 4: column '4' is out of range"),
    ("trn_X_Y.txt", "2:1", "2:nan", "trn_X_Y.txt, line 2: value 'nan' of column 2 is not a finite"),
    ("trn_X_Y.txt", "2:1", "2:0", "trn_X_Y.txt, line 2: a target with a value of 0 or below"),
    (
        "trn_X_Y.txt",
        "1:1\n\n",
        "1:1\n3:1\n",
        r"trn_X_Y.txt, line 4: \['3:1'\] does not agree with \[\] on line 3 of trn",
    ),
    (
        "trn_X_Y.txt",
        "2:1",
        "2:0.5",
        "trn_X_Y.txt, line 2: .*'2:0.5'.* does not agree with .*'2:1'.* on line 1 of trn.json",
    ),
    (
        "tst_X_Y.txt",
        "0:1",
        "1:1",
        r"tst_X_Y.txt, line 2: \['1:1'\] does not agree with \['0:1'\] on line 1 of tst.json",
    ),
    (
        "filter_labels_train.txt",
        "0 3",
        "3 3",
        "filter_labels_train.txt, line 1: row 3 is out of range, expected 0 to 2",
    ),
    (
        "filter_labels_test.txt",
        "0 2",
        "0 4",
        "filter_labels_test.txt, line 2: label 4 is out of range, expected 0 to 3",
    ),
    ("filter_labels_test.txt", "0 2", "0 -2", "filter_labels_test.txt, line 2: label -2 is out of range"),
    ("filter_labels_test.txt", "0 2", "0 x", "filter_labels_test.txt, line 2: found '0 x', expected 'row label'"),
    ("filter_labels_test.txt", "0 2", "0", "filter_labels_test.txt, line 2: found '0', expected 'row label'"),
    ("graphs/colour_trn_X_Y.txt", "3 2\n0:1\n", "2 2\n", "graphs/colour_trn_X_Y.txt: 2 rows, expected 3 .*training"),
    ("graphs/colour_lbl_X_Y.txt", "4 2\n0:1\n", "3 2\n", "graphs/colour_lbl_X_Y.txt: 3 rows, expected 4 .*labels"),
    ("graphs/colour_trn_X_Y.txt", "3 2", "3 3", "graphs/colour_trn_X_Y.txt: 3 columns, expected 2 as colour.raw.txt"),
    (
        "graphs/colour_trn_X_Y.txt",
        "0:1",
        "0:-1",
        "graphs/colour_trn_X_Y.txt, line 2: a link with a value of 0 or below",
    ),
    ("graphs/colour_trn_X_Y.txt", "0:1", "2:1", "graphs/colour_trn_X_Y.txt, line 2: column '2' is out of range"),
    (
        "graphs/colour.raw.txt",
        "cold\n",
        "",
        "graphs/colour_trn_X_Y.txt: 2 columns, expected 1 as colour.raw.txt has line",
    ),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), FAULTS)
def test_a_fault_is_one_line_with_file_and_line(small_set, name, old, new, message):
    edit(small_set, name, old, new)
    with pytest.raises(InputError, match=f"^{small_set}/{message}") as caught:
        load_dataset(small_set)
    assert "\n" not in str(caught.value)
    assert str(caught.value) in check(small_set).problems


def test_text_that_is_not_utf8_is_named(small_set):
    path = small_set / "trn.json"
    path.write_bytes(path.read_bytes().replace(b"green", b"gr\xe9en"))
    with pytest.raises(InputError, match=r"trn\.json, line 2: not UTF-8 \(byte 27 is 0xe9\)"):
        load_dataset(small_set)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-12], "the gzip data ends early"),
        (lambda data: data[:20] + b"\xff" * 20 + data[40:], "corrupt gzip data|the gzip data ends early"),
        (lambda data: b"plain text", "corrupt gzip data"),
        (lambda data: data[:-8] + b"\0" * 8, "corrupt gzip data .CRC"),
    ],
)
@pytest.mark.parametrize("name", ["trn.json", "lbl.json", "tst_X_Y.txt", "graphs/colour.raw.txt"])
def test_damaged_gzip_is_named(small_set, name, damage, message):
    path = small_set / name
    (small_set / f"{name}.gz").write_bytes(damage(gzip.compress(path.read_bytes())))
    path.unlink()
    with pytest.raises(InputError, match=rf"{path}\.gz, line \d+: ({message})"):
        load_dataset(small_set)


def test_what_may_not_be_read_is_named(small_set, unprivileged):
    (small_set / "trn_X_Y.txt").chmod(0)
    with unprivileged(), pytest.raises(InputError, match=r"trn_X_Y\.txt, line 1: cannot be read \(Permission denied\)"):
        load_dataset(small_set)
    (small_set / "graphs").chmod(0)
    with unprivileged():
        assert any(p.endswith("graphs: cannot be read (Permission denied)") for p in check(small_set).problems)
    small_set.chmod(0)
    with unprivileged(), pytest.raises(InputError, match=r"small: cannot be read \(Permission denied\)"):
        load_dataset(small_set)
    small_set.chmod(0o700)


def test_faults_of_whole_files_are_named(small_set):
    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message):
            load_dataset(small_set)

    (small_set / "trn_X_Y.txt.gz").write_bytes(gzip.compress(b"3 4\n\n\n\n"))
    refused(r"trn_X_Y\.txt\.gz: trn_X_Y\.txt also exists, expected one of the two")
    (small_set / "trn_X_Y.txt.gz").unlink()

    (small_set / "graphs/other_trn_X_Y.txt").write_text("3 1\n\n\n\n")
    refused(r"graphs/other\.raw\.txt: missing, expected the anchor texts of graph 'other'")
    (small_set / "graphs/other_trn_X_Y.txt").unlink()
    (small_set / "graphs/other.raw.txt").write_text("x\n")
    refused(r"graphs/other\.raw\.txt: no links, expected other_trn_X_Y or other_lbl_X_Y")
    (small_set / "graphs/other.raw.txt").unlink()

    (small_set / "tst.json").rename(small_set / "kept")
    refused(r"tst_X_Y\.txt: there are test targets but no test texts, expected tst\.json")
    (small_set / "kept").rename(small_set / "tst.json")

    (small_set / "tst_X_Y.txt").unlink()
    drop_json_targets(small_set, "tst")
    refused(r"tst\.json, line 1: no target_ind, and no tst_X_Y\.txt\[\.gz\] or \.npz beside it")


def test_no_labels_no_points_and_no_targets_are_named(small_set):
    (small_set / "trn_X_Y.txt").write_text("3 4\n\n\n\n")
    drop_json_targets(small_set, "trn")
    with pytest.raises(InputError, match=r"trn\.json: no training point has a label"):
        load_dataset(small_set)
    (small_set / "trn.json").write_text("")
    with pytest.raises(InputError, match=r"trn\.json: the training set is empty"):
        load_dataset(small_set)
    (small_set / "lbl.json").write_text("")
    with pytest.raises(InputError, match=r"lbl\.json: no labels, expected at least one row"):
        load_dataset(small_set)


def test_a_path_that_is_no_data_set_is_named(small_set, tmp_path):
    (tmp_path / "empty").mkdir()
    for path, message in [
        (tmp_path / "nowhere", "nowhere: no such folder"),
        (small_set / "trn.json", r"trn\.json: is a file, expected the folder of a data set"),
        (tmp_path / "empty", "empty: the folder is empty, expected a data set"),
    ]:
        with pytest.raises(InputError, match=message):
            load_dataset(path)
    (small_set / "lbl.json").unlink()
    with pytest.raises(InputError, match=r"small: no known layout fits .*label-feature lacks lbl\.json or "):
        load_dataset(small_set)


def test_layouts_cannot_be_changed():
    assert isinstance(LAYOUTS, tuple)
    with pytest.raises(AttributeError):
        LAYOUTS[0].name = "other"


def test_import_is_light():
    code = "import ramen.data, sys; assert not {'torch', 'transformers', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_counts_of_a_real_set_are_those_its_builder_wrote_down(real_data):
    folder = real_data("LF-DebianMini")
    stated = json.loads((folder / "stats.json").read_text())
    report = check(folder)
    assert report.problems == [] and report.warnings == []
    graphs = stated.pop("graphs")
    shared = stated.keys() & report.statistics.keys()
    assert len(shared) >= 8
    assert {key: report.statistics[key] for key in shared} == {key: stated[key] for key in shared}
    for kind, facts in graphs.items():
        assert {key: report.statistics["graphs"][kind][key] for key in facts} == facts
    assert graphs.keys() == report.statistics["graphs"].keys()


def test_eighty_thousand_points_load_in_seconds(real_data):
    folder = real_data("LF-WordNet")
    start = time.perf_counter()
    ds = load_dataset(folder)
    assert (len(ds.train), ds.n_labels) == (80449, 80554)
    assert time.perf_counter() - start < 30  # 3 s on a free core; wide, as machines are shared
