"""Labels that come and go: found at once, whole or not at all, and what is refused."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

import ramen
from ramen.errors import InputError, WorkError
from ramen.inference import journal
from ramen.inference import labels as changing
from ramen.inference.build_index import build_index
from ramen.inference.labels import add_labels, live_uids, remove_labels, rename_label

HOLD = """
import sys, time
from pathlib import Path
from ramen.inference.journal import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def run(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "run")


@pytest.fixture
def texts(planted):
    return ramen.load_dataset(planted).test.joined()[:5]


def tagged(run, texts, k=5):
    return [[label["uid"] for label in labels] for labels in ramen.Tagger.load(run).tag(texts, k)]


def test_an_added_label_is_found_by_its_text(run, texts):
    before = tagged(run, texts, 120)
    assert add_labels(run, [{"uid": f"new-{n}", "text": text} for n, text in enumerate(texts)]) == 5
    after = tagged(run, texts)
    assert sum(labels[0] == f"new-{number}" for number, labels in enumerate(after)) >= 4
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        assert f"new-{number}" in new[:2]
        assert len(set(new) & set(old[:8])) >= 3  # the others move little
    found = ramen.Tagger.load(run).tag(texts[1:2], 1)[0][0]
    assert found["text"] == texts[1] and 0 <= found["probability"] <= 1


def test_examples_find_a_label_whose_text_says_nothing(run, texts):
    add_labels(run, [{"uid": "plain", "text": "qqqq"}, {"uid": "shown", "text": "zzzz", "examples": texts[:1]}])
    labels = tagged(run, texts[:1], 10_000)[0]
    assert labels.index("shown") < 3 and labels.index("shown") < labels.index("plain")


def test_labels_are_added_in_steps_and_with_an_index(run, texts):
    for number, text in enumerate(texts):
        add_labels(run, [{"uid": f"new-{number}", "text": text, "examples": ["x"] * (number % 2)}])
    plain = tagged(run, texts)
    build_index(run, always=True, recall=1.0)
    assert [labels[0] for labels in tagged(run, texts)] == [labels[0] for labels in plain]
    assert len(tagged(run, ["x"], 10_000)[0]) == 125


def test_removed_labels_are_gone_and_may_come_again(run, texts):
    first = tagged(run, texts)[0]
    assert remove_labels(run, first[:2]) == 2
    assert tagged(run, texts[:1], 3)[0] == first[2:5]
    assert not set(first[:2]) & set(tagged(run, ["x"], 10_000)[0])
    add_labels(run, [{"uid": first[0], "text": texts[0]}])
    assert first[0] in tagged(run, texts[:1], 2)[0]
    remove_labels(run, first[:1])
    assert first[0] not in set(tagged(run, ["x"], 10_000)[0])
    assert len(list(live_uids(ramen.Tagger.load(run).run))) == 118


def test_a_renamed_label_keeps_its_place(run, texts):
    before = ramen.Tagger.load(run).tag(texts[:1])[0]
    rename_label(run, before[0]["uid"], "another text")
    after = ramen.Tagger.load(run).tag(texts[:1])[0]
    assert after[0] == {**before[0], "text": "another text"} and after[1:] == before[1:]
    remove_labels(run, [before[0]["uid"]])
    add_labels(run, [{"uid": before[0]["uid"], "text": texts[0]}])
    assert ramen.Tagger.load(run).tag(texts[:1])[0][0]["text"] == texts[0]


def test_evaluation_and_pruning_are_of_what_was_trained(run, planted):
    before = ramen.evaluate(run, planted)["test"]
    remove_labels(run, tagged(run, ["x"])[0])
    assert ramen.evaluate(run, planted)["test"] == before


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"uid": "a", "text": "x", "txet": "y"}, "label 1: unknown field 'txet': did you mean 'text'?"),
        ({"uid": "a"}, "label 1: text: expected a string, found NoneType"),
        ({"uid": 3, "text": "x"}, "label 1: uid: expected a string, found int"),
        ({"uid": "a\n", "text": "x"}, "expected printable characters"),
        ({"uid": " ", "text": "x"}, "expected printable characters"),
        ({"uid": "a", "text": " "}, "label 1: text: expected words, found an empty text"),
        ({"uid": "a", "text": "x\ud800"}, "label 1: text: expected Unicode text, found a lone surrogate"),
        ({"uid": "a", "text": "x" * 1_000_001}, "label 1: text: expected at most 1,000,000 characters"),
        ({"uid": "a", "text": "x", "examples": "y"}, "examples: expected a list of texts, found str"),
        ({"uid": "a", "text": "x", "examples": ["y", ""]}, "label 1: example 2: expected words, found an empty text"),
        ({"uid": "label-0000003", "text": "x"}, "label 1: uid 'label-0000003' exists already"),
    ],
)
def test_wrong_labels_are_named_and_nothing_is_added(run, entry, message):
    with pytest.raises(InputError) as caught:
        add_labels(run, [entry, {"uid": "good", "text": "good"}])
    assert message in str(caught.value)
    assert "good" not in tagged(run, ["good"], 10_000)[0]


def test_a_uid_that_comes_twice_or_is_not_there(run):
    with pytest.raises(InputError, match="label 2: uid 'a' exists already"):
        add_labels(run, [{"uid": "a", "text": "x"}] * 2)
    with pytest.raises(InputError, match="has no label 'label-000003': did you mean 'label-0000"):
        remove_labels(run, ["label-000003"])
    with pytest.raises(InputError, match="found twice, expected once"):
        remove_labels(run, ["label-0000003"] * 2)
    with pytest.raises(InputError, match="has no label 'nobody': list them with ramen labels list RUN"):
        rename_label(run, "nobody", "x")
    assert add_labels(run, []) == 0 and remove_labels(run, []) == 0


NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_a_uid_is_one_in_whatever_form_of_unicode(run):
    add_labels(run, [{"uid": NFD, "text": "coffee"}])
    assert NFC in set(live_uids(ramen.Tagger.load(run).run)), "kept as data sets keep names"
    for uid in (NFC, NFD):
        with pytest.raises(InputError, match="label 1: uid 'caf\u00e9' exists already"):
            add_labels(run, [{"uid": uid, "text": "coffee"}])
    with pytest.raises(InputError, match="found twice, expected once"):
        remove_labels(run, [NFC, NFD])
    rename_label(run, NFD, "tea")
    assert ramen.Tagger.load(run).run.texts[-1] == "tea"
    assert remove_labels(run, [NFD]) == 1
    with pytest.raises(InputError, match="label 2: uid 'caf\u00e9' exists already"):
        add_labels(run, [{"uid": NFC, "text": "x"}, {"uid": NFD, "text": "x"}])


@pytest.mark.parametrize("uid", [NFC, NFD])
def test_uids_of_a_run_that_are_apart_stay_addressable(run, monkeypatch, uid):
    monkeypatch.setattr(changing, "composed", lambda text: text)
    add_labels(run, [{"uid": NFD, "text": "coffee"}])
    monkeypatch.undo()
    with pytest.raises(InputError, match="exists already"):
        add_labels(run, [{"uid": uid, "text": "coffee"}])
    rename_label(run, uid, "tea")
    assert ramen.Tagger.load(run).run.texts[-1] == "tea"
    assert remove_labels(run, ["label-0000003", uid]) == 2
    assert NFD not in set(live_uids(ramen.Tagger.load(run).run))


def test_a_killed_command_leaves_the_old_state_or_the_new(run, texts):
    add_labels(run, [{"uid": "first", "text": texts[0]}])
    path = run / "labels/journal.jsonl"
    old = path.read_bytes()
    add_labels(run, [{"uid": "second", "text": texts[1]}])
    new = path.read_bytes()
    for length in [*range(len(old), len(new), 37), len(new) - 1, len(new)]:
        path.write_bytes(new[:length])
        uids = set(live_uids(ramen.Tagger.load(run).run))
        assert "first" in uids and ("second" in uids) == (length == len(new))
    path.write_bytes(new[: len(old) + 9])  # the next command writes over what is left of a line
    add_labels(run, [{"uid": "third", "text": texts[2]}])
    assert {"first", "third"} <= set(live_uids(ramen.Tagger.load(run).run))


@pytest.mark.parametrize("where", ["segment", "journal"])
def test_a_full_disk_adds_nothing(run, texts, monkeypatch, where):
    add_labels(run, [{"uid": "first", "text": texts[0]}])
    before = (run / "labels/journal.jsonl").read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    if where == "segment":
        monkeypatch.setattr(changing, "save_tensors", full)
    else:
        monkeypatch.setattr(journal.os, "fsync", full)
    with pytest.raises(WorkError, match="no space left"):
        add_labels(run, [{"uid": "second", "text": texts[1]}])
    monkeypatch.undo()
    assert (run / "labels/journal.jsonl").read_bytes() == before
    assert "second" not in set(live_uids(ramen.Tagger.load(run).run))
    add_labels(run, [{"uid": "second", "text": texts[1]}])
    assert "second" in set(live_uids(ramen.Tagger.load(run).run))


def test_two_writers_one_waits_or_is_refused(run, texts, monkeypatch):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run), "1.5"], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        monkeypatch.setattr(journal, "_WAIT", 0.1)
        with pytest.raises(InputError, match="another command is changing the labels"):
            add_labels(run, [{"uid": "a", "text": texts[0]}])
        monkeypatch.setattr(journal, "_WAIT", 20.0)
        start = time.monotonic()
        add_labels(run, [{"uid": "a", "text": texts[0]}])
        assert time.monotonic() - start > 0.2
    assert "a" in tagged(run, texts)[0]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "added-000001.safetensors").unlink(), "added-000001.safetensors: missing"),
        (
            lambda folder: (folder / "added-000001.safetensors").write_bytes(b"x" * 99),
            "altered since the labels were added",
        ),
        (
            lambda folder: (folder / "journal.jsonl").write_text('{"format": 9, "of": ""}\n'),
            "found format 9",
        ),
        (lambda folder: (folder / "journal.jsonl").write_text('{"format": 1, "of": ""}\n'), "a journal of another run"),
        (lambda folder: (folder / "journal.jsonl").write_text("[]\n"), "line 1: not a change of labels"),
    ],
)
def test_damaged_changes_are_named(run, damage, message):
    add_labels(run, [{"uid": "a", "text": "x"}])
    damage(run / "labels")
    with pytest.raises(InputError, match=message):
        ramen.Tagger.load(run)
    ramen.Tagger.load(run, labels=False)


def test_ten_thousand_labels(run):
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefg"), 5)) for _ in range(500)]
    entries = [{"uid": f"n{n}", "text": " ".join(rng.choice(words, 4)) + f" only{n}"} for n in range(10_000)]
    add_labels(run, entries)
    assert len(list(live_uids(ramen.Tagger.load(run).run))) == 10_120


def test_the_commands(run, tmp_path, texts, ramen_here):
    def ramen_labels(*arguments, stdin=""):
        return ramen_here("labels", *arguments, stdin=stdin.encode())

    (tmp_path / "new.jsonl").write_text(json.dumps({"uid": "a", "text": texts[0]}) + "\n\n")
    assert ramen_labels("add", run, "new.jsonl").stdout == f"{run}: 1 labels added\n"
    assert ramen_labels("add", run, "-", stdin=json.dumps({"uid": "b", "text": "ü"})).returncode == 0
    assert ramen_labels("rename", run, "b", "ö").returncode == 0
    assert ramen_labels("remove", run, "a").returncode == 0
    listed = ramen_labels("list", run, "--added").stdout
    assert [json.loads(line) for line in listed.splitlines()] == [{"uid": "b", "text": "ö"}]
    assert len(ramen_labels("list", run).stdout.splitlines()) == 121
    for text, message in (("{", "line 1: not JSON"), ("[1]\n", "line 1: expected an object")):
        done = ramen_labels("add", run, "-", stdin=text)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    assert "found nothing there" in ramen_labels("add", run, "none.jsonl").stderr


def test_a_byte_order_mark_before_the_labels_is_dropped(run, tmp_path, ramen_here):
    line = b'\xef\xbb\xbf{"uid": "a", "text": "an apple"}\n'
    (tmp_path / "new.jsonl").write_bytes(line)
    assert ramen_here("labels", "add", run, "new.jsonl").stdout == f"{run}: 1 labels added\n"
    done = ramen_here("labels", "add", run, "-", stdin=line.replace(b"a", b"b", 1) + line)
    assert done.returncode == 2 and "-, line 2: not JSON" in done.stderr  # within the text it is not one
