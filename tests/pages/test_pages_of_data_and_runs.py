"""The pages: whole, without a network, saying what was measure; whatever the texts hold."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest

import ramen
from ramen.data import check
from ramen.inference.evaluation import measure, rankings
from ramen.inference.f1_figures import table_of_labels, worst_texts
from ramen.pages import write_data_page, write_report_page
from ramen.pages.page import Example, Page, Part, write_page
from ramen.pages.plots import lines
from ramen.pages.training_plot import training_part

pytest.importorskip("matplotlib", reason="pages need the extra plot")


class Parsed(html.parser.HTMLParser):
    """Tags with their attributes, text, and whether every tag was closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + "\n"


def parsed(path: Path) -> Parsed:
    page = path.read_text(encoding="utf-8")
    found = Parsed(page)
    assert not found.open and not re.search(r"(?:src|href)=.(?!data:)", page), "closed, and nothing from elsewhere"
    assert all(attributes["alt"] for tag, attributes in found.tags if tag == "img")
    return found


def test_the_page_of_a_data_set(planted, tmp_path):
    page = tmp_path / "page.html"
    write_data_page(page, check(planted), ["graph links: tells"])
    found = parsed(page)
    for said in ("n labels", "120", "Graph links", "Graph noise", "graph links: tells", "label edges", "A 0."):
        assert said in found.text
    assert sum(tag == "img" for tag, _ in found.tags) == 2 + len(ramen.load_dataset(planted).graphs)
    again = tmp_path / "again.html"
    write_data_page(again, check(planted), ["graph links: tells"])
    assert again.read_bytes() == page.read_bytes()


def test_a_broken_folder_has_a_page_of_its_problems(small_set, tmp_path, ramen_here):
    (small_set / "tst.json").write_text("<b>\n")
    done = ramen_here("data", "check", small_set, "--html", "p.html")
    assert done.returncode == 2
    found = parsed(tmp_path / "p.html")
    assert "tst.json, line 1" in found.text and "cannot be used" in found.text
    assert "b" not in [tag for tag, _ in found.tags]


def test_the_page_of_a_run_beside_another(planted, finished_run, tmp_path, ramen_here):
    data = ramen.load_dataset(planted)
    np.save(tmp_path / "other.npy", np.tile(np.arange(20), (len(data.test), 1)))
    done = ramen_here("eval", finished_run, "--data", planted, "--against", "other.npy", "--html", "p.html")
    assert done.returncode == 0, done.stderr
    found, figures = parsed(tmp_path / "p.html"), ramen.evaluate(finished_run, data)
    low, high = figures["intervals"]["P@1"]
    assert f"{figures['test']['P@1']:.2f}  ({low:.1f} to {high:.1f})" in found.text
    for name, one in figures["scorers"].items():
        assert name in found.text and f"{one['PSP@5']:.2f}" in found.text
    for name, size in figures["ranking"].items():
        assert f"{name}" in found.text and f"{size:.3f}" in found.text
    assert "other.npy" in found.text and "Training" in found.text
    assert sum(tag == "img" for tag, _ in found.tags) == 4
    assert f"calibration error {figures['calibration']['ECE']:.2f} points" in found.text
    ranked = rankings(finished_run, data)[""]
    text = (tmp_path / "p.html").read_text()
    marks = re.findall(r'class="(label [a-z]+)"', text[text.index("<h2>Ten texts</h2>") :])
    asked = np.flatnonzero(np.diff(data.test_targets.indptr))
    shown = asked[np.linspace(0, len(asked) - 1, 10).astype(int)]
    right = sum(int(data.test_targets[row, ranked[row, :5]].astype(bool).sum()) for row in shown)
    assert marks.count("label right") == right and marks.count("label wrong") == 50 - right
    assert all(data.test.titles[row][:40] in found.text for row in shown)


def test_the_page_has_f1_labels_and_the_worst_texts(planted, finished_run, tmp_path, monkeypatch):
    monkeypatch.setattr("ramen.pages.f1_parts._ENOUGH", 2)
    data = ramen.load_dataset(planted)
    ranked = rankings(finished_run, data)
    figures = measure(ranked, data)
    write_report_page(tmp_path / "p.html", "run", ranked, figures, data)
    found, page = parsed(tmp_path / "p.html"), (tmp_path / "p.html").read_text()
    sections = dict(re.findall(r"<h2>(.*?)</h2>(.*?)</section>", page, re.DOTALL))
    for kind in ("auto", "labels"):
        assert f"{figures['f1'][kind]['micro-F1']:.2f}" in sections["F1, precision and recall"]
    table = table_of_labels(ranked, data, "auto")
    assert sections["The most frequent labels"].count("<tr>") == 1 + min(50, int((table["support"] > 0).sum()))
    most = int(np.argmax(table["support"]))
    assert data.labels.titles[most] in sections["The most frequent labels"]
    worst = sections["The labels with the lowest F1"]
    assert worst.count("<tr>") == 1 + min(20, int((table["support"] >= 2).sum()))
    assert f"{table['F1'][table['support'] >= 2].min():.1f}" in worst
    rows, f1 = worst_texts(ranked, data, 10)
    texts = sections["The texts that are tagged worst"]
    assert all(f"F1 {f1[row]:.0f}: {data.test.titles[row]}"[:40] in texts for row in rows)
    assert texts.count('class="example"') == 10 and "ranked" in found.text


def test_the_training_plot_has_a_curve_for_each_training(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "ramen.pages.training_plot.lines", lambda *arguments: seen.append(arguments) or lines(*arguments)
    )
    log = tmp_path / "log.jsonl"
    one, other = {"stage": "encoder", "training": "without graphs"}, {"stage": "encoder", "training": "on all points"}
    validated = {"stage": "validate", "training": "without graphs"}
    written = [
        {**one, "epoch": 1, "loss": 3.0},
        {**one, "epoch": 2, "loss": 2.5},
        {**one, "epoch": 2, "loss": 2.0},  # resumed
        {**other, "epoch": 1, "loss": 1.5},
        {**other, "epoch": 2, "loss": None},
        {**validated, "step": 20, "P@1": 30.0},
        {**validated, "step": 40, "P@1": 40.0},
        {"stage": "search", "P@1": 50.0, "step": 1},
    ]
    log.write_text("\n".join(map(json.dumps, written)) + '\n{"stage": "enco')
    part = training_part(log)
    assert seen == [
        ({"without graphs": ([1, 2], [3.0, 2.0]), "on all points": ([1], [1.5])}, "epoch", "loss"),
        ({"without graphs": ([20, 40], [30.0, 40.0])}, "step", "P@1, %"),
    ]
    assert part.plot.startswith("data:image/svg+xml") and part.alt.endswith("loss by epoch, P@1 by step.")


def test_a_log_without_training_has_no_plot(tmp_path):
    assert training_part(tmp_path / "none.jsonl") is None
    (tmp_path / "log.jsonl").write_text('[1]\n{"stage": "prepare"}\n')
    assert training_part(tmp_path / "log.jsonl") is None


def test_points_without_text_are_shown_by_their_names(small_set, tmp_path):
    for name, text in (("train", "4 4 3\n0,2 0:1 3:0.5\n 1:2\n2 \n1\n"), ("test", "2 4 3\n1 2:1.5\n0,1 0:1 1:1\n")):
        (tmp_path / f"{name}.txt").write_text(text)
    data = ramen.load_dataset(tmp_path)
    ranked = {"": np.array([[1, 0, 2, *[-1] * 97], [2, 1, 0, *[-1] * 97]])}
    write_report_page(tmp_path / "p.html", "ours", ranked, measure(ranked, data), data)
    write_data_page(tmp_path / "d.html", check(tmp_path))
    assert "tst:1" in parsed(tmp_path / "p.html").text and parsed(tmp_path / "d.html").text


def test_what_texts_hold_is_never_read_as_html(tmp_path):
    ugly = "<script>alert(1)</script> & \"'\u202e \ud800"
    page = Page(
        ugly, ugly, [Part(ugly, ugly, [ugly], [ugly], [[ugly]], examples=[Example(ugly, [(ugly, True)], [ugly])])]
    )
    write_page(tmp_path / "p.html", page)
    assert "script" not in [tag for tag, _ in parsed(tmp_path / "p.html").tags]


@pytest.mark.parametrize("verb", [["data", "check"], ["eval", "--predictions", "x.npy", "--data"]])
def test_a_page_that_cannot_be_written_is_refused_before_the_work(planted, tmp_path, verb, ramen_here):
    for path, told in ((tmp_path / "no/p.html", "is missing"), (tmp_path, "found a folder, expected a file to write")):
        done = ramen_here(*verb, planted, "--html", path)
        assert done.returncode == 2 and told in done.stderr and not done.stdout
