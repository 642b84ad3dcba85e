"""The report: all problems at once, warnings for what is odd, statistics."""

from __future__ import annotations

import sys

import pytest

from ramen.data import Texts, check, from_lists, write_dataset
from ramen.data.check import statistics


def test_a_sound_folder_has_statistics(small_set):
    report = check(small_set)
    assert report.problems == []
    assert report.statistics == {
        "n_train": 3,
        "n_test": 1,
        "n_labels": 4,
        "avg_labels_per_train_point": 1.0,
        "avg_labels_per_test_point": 1.0,
        "avg_train_points_per_label": 0.75,
        "labels_with_at_most_2_train_points": 4,
        "tail_share": 1.0,
        "filter_train_pairs": 1,
        "filter_test_pairs": 2,
        "scripts": {"Latin": 1.0},
        "graphs": {
            "colour": {
                "nodes": 2,
                "train_edges": 3,
                "label_edges": 3,
                "train_points_covered": 3,
                "train_share": 1.0,
                "labels_covered": 2,
                "label_share": 0.5,
            }
        },
    }
    assert report.warnings == ["1 labels have no training point", "1 training points have no label"]
    lines = report.lines()
    assert "n labels: 4" in lines and lines[-1] == f"{small_set}: no problems, 2 warnings"
    assert any(line.startswith("graph colour: nodes 2, train edges 3") for line in lines)


def test_all_problems_come_at_once(small_set):
    (small_set / "trn.json").write_text('{"uid": 1}\n{\n' + (small_set / "trn.json").read_text().splitlines()[2] + "\n")
    (small_set / "trn_X_Y.txt").write_text("3 4\n9:1\nx\n\n")
    (small_set / "filter_labels_test.txt").write_text("5 0\n0 5\n")
    (small_set / "graphs/colour_lbl_X_Y.txt").write_text("1 1\n\n")
    (small_set / "card.yaml").write_text("a: 1\n")
    report = check(small_set)
    for start in (
        "trn.json, line 1: key 'title' is missing",
        "trn.json, line 2: broken json",
        "trn_X_Y.txt, line 2: column '9' is out of range",
        "trn_X_Y.txt, line 3: found 'x', expected 'column:value'",
        "filter_labels_test.txt, line 1: row 5 is out of range",
        "filter_labels_test.txt, line 2: label 5 is out of range",
        "graphs/colour_lbl_X_Y.txt: 1 rows, expected 4",
        "graphs/colour_lbl_X_Y.txt: 1 columns, expected 2",
        "card.yaml: unknown key 'a'",
    ):
        assert any(problem.startswith(f"{small_set}/{start}") for problem in report.problems), start
    assert len(report.problems) == 9
    assert report.statistics == {}
    assert report.lines()[-1] == f"{small_set}: 9 problems, no warnings"


def test_many_problems_of_one_file_are_counted(small_set):
    (small_set / "filter_labels_train.txt").write_text("7 0\n" * 100)
    problems = check(small_set).problems
    assert len(problems) == 21
    assert problems[-1] == f"{small_set}/filter_labels_train.txt: and 80 more problems"


@pytest.mark.parametrize(
    ("name", "old", "new", "warning"),
    [
        ("tst.json", '"title": "yellow apple"', '"title": ""', "1 test points have no text"),
        ("lbl.json", '"title": "stone"', '"title": ""', "1 labels have no text"),
        ("lbl.json", '"uid": "l1"', '"uid": "p1"', "1 training pairs name the point itself as its label"),
        ("lbl.json", '"uid": "l0"', '"uid": "q0"', "1 test pairs name the point itself as its label"),
    ],
)
def test_what_is_odd_is_a_warning(small_set, name, old, new, warning):
    text = (small_set / name).read_text()
    assert old in text
    (small_set / name).write_text(text.replace(old, new))
    report = check(small_set)
    assert report.problems == []
    assert any(line.startswith(warning) for line in report.warnings)


def test_a_mirrored_pair_is_a_warning_unless_filtered(small_set):
    # training point p0 has label l2; with l2 named q0 and l0 named p0, test pair (q0, p0) is its reverse
    text = (small_set / "lbl.json").read_text()
    (small_set / "lbl.json").write_text(text.replace('"l2"', '"q0"').replace('"l0"', '"p0"'))
    mirrored = "1 test pairs are the reverse of a training pair and not in filter_labels_test.txt"
    assert mirrored in check(small_set).warnings
    (small_set / "filter_labels_test.txt").write_text("0 0\n")
    assert mirrored not in check(small_set).warnings


def test_a_file_of_no_graph_and_a_card_of_another_set_are_warnings(small_set):
    (small_set / "graphs/colour_tst_X_Y.npz").write_bytes(b"")
    (small_set / "card.yaml").write_text("labels: 99\ngraphs: [colour]\n")
    warnings = check(small_set).warnings
    assert f"{small_set}/graphs/colour_tst_X_Y.npz: not a graph file, ignored" in warnings
    assert "card of small: labels is 99, found 4: is it the card of this set?" in warnings


def test_a_missing_folder_is_a_problem(tmp_path):
    assert check(tmp_path / "nowhere").problems == [f"{tmp_path}/nowhere: no such folder"]


def test_the_scripts_of_a_set_and_what_reads_them(tmp_path):
    texts = ["我喜欢红茶", "red tea", "ที่ดี"]
    write_dataset(from_lists(texts, [["tea"]] * 3, test=0.0), tmp_path / "set")
    report = check(tmp_path / "set")
    assert report.statistics["scripts"] == {"Latin": 0.5625, "Han": 0.3125, "Thai": 0.125}
    lines = report.lines()
    assert "scripts: Latin 56.2%, Han 31.2%, Thai 12.5%" in lines
    assert "Han, Thai: written without spaces, so its words are pairs of characters" in lines
    assert any(line.startswith("Han, Thai: the default backbone knows English") for line in lines)


def test_scripts_of_a_large_set_are_of_sampled_rows(monkeypatch):
    monkeypatch.setattr(sys.modules["ramen.data.check"], "_SAMPLE", 20)
    joined, sizes = Texts.joined, []
    monkeypatch.setattr(Texts, "joined", lambda texts: sizes.append(len(texts)) or joined(texts))
    texts = ["tea", "tea", "\u8336", "\u8336"] * 25
    assert statistics(from_lists(texts, [["a"]] * 100, test=0.0))["scripts"] == {"Latin": 0.7778, "Han": 0.2222}
    assert sizes == [17, 1], "rows of points and labels, not all texts"


def test_texts_repeated_in_another_form_are_found(tmp_path):
    texts = ["caf\u00e9 bar", "CAFE\u0301  bar", "tea"]
    write_dataset(from_lists(texts, [["a"], ["a"], ["a"]], test=[False, True, False]), tmp_path / "set")
    assert "1 test points have the same text as a training point" in check(tmp_path / "set").warnings


def test_labels_of_one_point_each_are_a_warning(tmp_path):
    joined = [[f"a{n},b{n % 3}"] for n in range(30)]
    with pytest.warns(UserWarning, match="30 of 30 labels have one training point"):
        write_dataset(from_lists([f"text {n}" for n in range(30)], joined, test=0.0), tmp_path / "d")
    warning = (
        "30 of 30 labels have one training point: do their names hold several labels? (ramen data import --separator)"
    )
    assert check(tmp_path / "d").warnings == [warning]
    apart = [row[0].split(",") * 2 for row in joined[:4]] + [["b0"]] * 26
    write_dataset(from_lists([f"text {n}" for n in range(30)], apart, test=0.0), tmp_path / "e")
    assert not any("one training point" in line for line in check(tmp_path / "e").warnings)
