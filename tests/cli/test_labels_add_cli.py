"""``ramen labels add`` with tables."""

import json
import shutil

import pytest


@pytest.fixture
def run(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "run")


def added(ramen, run):
    return list(map(json.loads, ramen("labels", "list", run, "--added").stdout.splitlines()))


def test_a_table_is_added_like_json_lines(ramen, run, tmp_path):
    (tmp_path / "new.csv").write_bytes("code;was;examples\nB07;Ladegerät;['in the sun']\n".encode("cp1252"))
    done = ramen("labels", "add", run, "new.csv", "--uid", "code", "--text", "was", "--encoding", "cp1252")
    assert (done.returncode, done.stdout) == (0, f"{run}: 1 labels added\n"), done.stderr
    done = ramen("labels", "add", run, "-", "--format", "tsv", stdin=b"label\tdescription\nplum\ta fruit\n")
    assert done.returncode == 0, done.stderr
    assert added(ramen, run) == [{"uid": "B07", "text": "Ladegerät"}, {"uid": "plum", "text": "plum\na fruit"}]


def test_options_of_tables_need_one_and_a_wrong_row_adds_nothing(ramen, run, tmp_path):
    (tmp_path / "new.jsonl").write_text('{"uid": "a", "text": "x"}\n')
    done = ramen("labels", "add", run, "new.jsonl", "--text", "t")
    assert (done.returncode, done.stderr.count("\n")) == (
        2,
        1,
    ) and "--text: found new.jsonl, expected a table" in done.stderr
    (tmp_path / "new.csv").write_text("uid,text\na,x\nlabel-0000003,y\n")
    done = ramen("labels", "add", run, "new.csv")
    assert done.returncode == 2 and "new.csv: label 2: uid 'label-0000003' exists already" in done.stderr
    assert "no such file" in ramen("labels", "add", run, "none.csv").stderr
    assert added(ramen, run) == []
