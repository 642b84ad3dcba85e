"""A snapshot of a run: it outlives what is done to the original, holds what loading needs, and is never left behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

import ramen
from ramen.errors import InputError, WorkError
from ramen.inference.build_index import build_index
from ramen.inference.labels import add_labels
from ramen.serve import snapshot as snapshots
from ramen.serve.snapshot import serve_in_place, take_snapshot

TEXTS = ["lead acid battery\nwith a charger", "solar charger", "x y z"]
LABEL = {"uid": "new", "text": "a solar charger for phones"}

# Loads a run (a snapshot of it, if there is a second argument), spoils the original as the third says, and tags again.
ATTACK = """
import os, sys
from pathlib import Path
from ramen.inference.tagger import Tagger
from ramen.serve.snapshot import serve_in_place, take_snapshot
run, folder, how = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
snapshot = take_snapshot(run, folder) if folder else serve_in_place(run)
tagger = Tagger.load(snapshot.path, check="none" if folder else "changed")
texts = ["lead acid battery", "solar charger"]
before = tagger.tag(texts) if folder else None  # else no page is in memory yet
for path in [path for path in run.rglob("*") if path.is_file()]:
    with path.open("r+b") as file:  # the same inode, as cp and rsync --inplace have it
        size = os.path.getsize(path)
        file.truncate(0)
        if how == "overwrite":
            file.write(os.urandom(size))
print("spoiled", flush=True)
after = tagger.tag(texts)
sys.exit(0 if after == before else 3)
"""


def attack(run, folder, how):
    command = [sys.executable, "-c", ATTACK, str(run), str(folder), how]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def changed_run(finished_run, tmp_path_factory):
    """A run with an index and an added label."""
    run = shutil.copytree(finished_run, tmp_path_factory.mktemp("changed") / "run")
    build_index(run, always=True)
    add_labels(run, [LABEL])
    return run


@pytest.fixture
def run(changed_run, tmp_path):
    return shutil.copytree(changed_run, tmp_path / "run")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "snapshots"
    path.mkdir()
    return path


@pytest.mark.parametrize("how", ["truncate", "overwrite"])
def test_a_served_run_survives_what_is_written_over_the_original(run, folder, how):
    done = attack(run, folder, how)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "spoiled\n" and not list(folder.iterdir())  # removed at exit


def test_without_a_snapshot_the_process_dies(run):
    done = attack(run, "", "truncate")
    assert done.stdout == "spoiled\n" and done.returncode == -signal.SIGBUS


def test_the_copy_holds_what_loading_needs_and_no_more(run, folder):
    (run / "labels/added-000009.safetensors").write_bytes(b"of a command that was killed")
    with (run / "labels/journal.jsonl").open("a") as file:
        file.write('{"op": "remo')  # being written
    with take_snapshot(run, folder) as snapshot:
        copied = {path.relative_to(snapshot.path) for path in snapshot.path.rglob("*") if path.is_file()}
        original = {path.relative_to(run) for path in run.rglob("*") if path.is_file()}
        missing = {"README.md", "config.yaml", "log.jsonl", "metrics.json"}
        missing |= {"labels/added-000009.safetensors", "labels/lock"}
        assert {str(path) for path in original - copied} - missing == set() and copied <= original
        for path in copied - {Path("labels/journal.jsonl")}:
            assert (snapshot.path / path).stat().st_mtime_ns == (run / path).stat().st_mtime_ns
        tagger = ramen.Tagger.load(snapshot.path, check="none")
        assert tagger.tag(TEXTS) == ramen.Tagger.load(run).tag(TEXTS)
        assert "new" in list(tagger.run.uids) and tagger.run.path == snapshot.path
        assert snapshot.path != snapshot.source == run
    assert not list(folder.iterdir())
    snapshot.remove()  # twice does nothing
    assert tagger.tag(TEXTS)[0]  # what is loaded stays


def test_a_link_is_followed_once(run, folder, tmp_path):
    (tmp_path / "current").symlink_to(run)
    with take_snapshot(tmp_path / "current", folder) as snapshot:
        assert snapshot.source == run and not snapshot.path.is_symlink()


def test_the_id_tells_runs_and_changes_of_labels(run, folder):
    with take_snapshot(run, folder) as first, take_snapshot(run, folder) as second:
        assert re.fullmatch("[0-9a-f]{12}", first.id) and first.id == second.id and first.path != second.path
    with serve_in_place(run) as in_place:
        assert in_place.id == first.id and in_place.path == run
    add_labels(run, [{"uid": "newer", "text": "a lamp"}])
    with take_snapshot(run, folder) as third:
        assert third.id != first.id


def test_the_copy_is_hashed_and_only_once(run, folder, monkeypatch):
    hashed = []
    with take_snapshot(run, folder) as snapshot:
        monkeypatch.setattr("ramen.inference.run.digest", lambda path: hashed.append(path.name) or "x")
        monkeypatch.setattr("ramen.inference.run.Index.open", lambda *_: None)
        monkeypatch.setattr("ramen.inference.run.read_changes", lambda *_: snapshots.journal.Changes())
        ramen.Tagger.load(snapshot.path, check="none")
        assert set(hashed) == {"manifest.json"}
    monkeypatch.undo()
    path = run / "scorers/encoder/vectors.safetensors"
    times, whole = path.stat(), path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # the index alone takes it for unchanged
    with pytest.raises(InputError, match=f"^{path}: altered"):
        take_snapshot(run, folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("change", ["append", "replace", "remove"])
def test_a_run_that_changes_meanwhile_is_refused(run, folder, monkeypatch, change):
    copy, name = snapshots._copy, "scorers/encoder/vectors.safetensors"

    def copy_and_change(source, target, stamped):
        shares = copy(source, target, stamped)
        if target.name == "manifest.json" and change == "remove":
            (run / name).unlink()
        elif source == run / name and change == "append":
            with source.open("ab") as file:
                file.write(b"more")
        elif source == run / name:
            shutil.copy2(source, run / "beside")
            (run / "beside").rename(source)
        return shares

    monkeypatch.setattr(snapshots, "_copy", copy_and_change)
    expected = "vectors.safetensors: missing" if change == "remove" else "changed while it was copied; publish a run"
    with pytest.raises(InputError, match=expected):
        take_snapshot(run, folder)
    assert not list(folder.iterdir())


def test_errors_name_the_original(run, folder, tmp_path):
    for path, expected in [(tmp_path / "none", "expected a run folder"), (folder, "expected a finished run")]:
        with pytest.raises(InputError, match=f"^{path}: {expected}"):
            take_snapshot(path, folder)
    (run / "labels/added-000001.safetensors").rename(run / "labels/away")
    with pytest.raises(InputError, match=f"^{run}/labels/added-000001.safetensors: missing"):
        take_snapshot(run, folder)
    (run / "labels/journal.jsonl").write_text("[]\n")
    with pytest.raises(InputError, match=f"^{run}/labels/journal.jsonl, line 1: not a change of labels"):
        take_snapshot(run, folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname"])
def test_a_file_outside_the_run_is_refused(run, folder, tmp_path, name):
    (tmp_path / "outside").write_text("x")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["blake2b"][name] = "0" * 32
    (run / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(run / "index")
    shutil.rmtree(run / "labels")
    with pytest.raises(InputError, match=f"found '{name}', expected hashes of files of the run"):
        take_snapshot(run, folder)
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_take_the_copy(run, folder, tmp_path, unprivileged, monkeypatch):
    with pytest.raises(InputError, match="none: expected a folder, found nothing; name another.*--no-snapshot"):
        take_snapshot(run, tmp_path / "none")
    with unprivileged(), pytest.raises(InputError, match=f"^{folder}: no permission.*--snapshot FOLDER"):
        folder.chmod(0o555) if os.geteuid() == os.stat(folder).st_uid else None
        take_snapshot(run, folder)
    folder.chmod(0o755)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("usage", "free")(1000))
    with pytest.raises(WorkError, match=rf"^{folder}: a snapshot of {run} needs \S+ MB, found 0.0 MB free; name"):
        take_snapshot(run, folder)
    assert not list(folder.iterdir())


def test_a_disk_that_fills_up_says_the_way_out(run, monkeypatch):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("the system has no /dev/full")
    error = pytest.raises(OSError, full.write_text, "x").value
    monkeypatch.setattr(snapshots, "_copy", lambda *_: (_ for _ in ()).throw(error))
    folder = run.parent / "full"
    folder.mkdir()
    with pytest.raises(WorkError, match=f"^{folder}: no space left for a snapshot; name another"):
        take_snapshot(run, folder)
    assert not list(folder.iterdir())


def test_a_file_that_may_not_be_read_is_named(run, folder, unprivileged):
    path = run / "scorers/encoder/vectors.safetensors"
    path.chmod(0)
    folder.chmod(0o777)
    with unprivileged(), pytest.raises(InputError, match=f"^{path}: no permission to read it"):
        take_snapshot(run, folder)


def test_what_a_killed_server_left_is_removed_and_what_lives_is_not(run, folder):
    code = f"""
import os, signal
from ramen.serve.snapshot import take_snapshot
snapshot = take_snapshot({str(run)!r}, {str(folder)!r})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == -signal.SIGKILL
    (left,) = folder.iterdir()
    (folder / "ramen-snapshot-of-mine").mkdir()
    (folder / "ramen-snapshot-december").mkdir()
    (folder / "ramen-snapshot-december/notes").write_text("a folder of the user")
    with take_snapshot(run, folder) as first:
        assert not left.exists()
        with take_snapshot(run, folder) as second:
            assert first.path.exists() and second.path.exists()
    assert sorted(path.name for path in folder.iterdir()) == ["ramen-snapshot-december", "ramen-snapshot-of-mine"]


def test_a_forked_worker_leaves_the_snapshot(run, folder):
    snapshot = take_snapshot(run, folder)
    child = os.fork()
    if not child:
        snapshot.remove()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0 and (snapshot.path / "manifest.json").exists()
    snapshot.remove()
    assert not list(folder.iterdir())


def test_the_cache_folder_is_used_else_the_temporary_one(run, tmp_path, monkeypatch):
    monkeypatch.setenv("RAMEN_CACHE", str(tmp_path / "cache"))
    with take_snapshot(run) as snapshot:
        assert snapshot.path.is_relative_to(tmp_path / "cache/snapshots")
        assert (tmp_path / "cache/snapshots").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("RAMEN_CACHE", str(tmp_path / "run/manifest.json"))  # no folder can be made there
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with take_snapshot(run) as snapshot:
        assert snapshot.path.is_relative_to(tmp_path / f"ramen-snapshots-{os.getuid()}")


def test_training_leaves_a_folder_in_use_alone(finished_run, planted, tmp_path, folder, quick):
    run = shutil.copytree(finished_run, tmp_path / "run")
    with serve_in_place(run), serve_in_place(run):
        (run / "manifest.json").unlink()  # else the folder is refused as that of a finished run
        with pytest.raises(InputError, match=f"^{run}: in use by a server or another ramen train"):
            ramen.train(planted, out=run, overrides=quick, resume=True)
        assert (run / "scorers/encoder").exists()
    shutil.copy(finished_run / "manifest.json", run)
    with snapshots.locked(run, exclusive=True, busy="busy"):
        for use in (serve_in_place, lambda run: take_snapshot(run, folder)):
            with pytest.raises(InputError, match=f"^{run}: being written by ramen train"):
                use(run)
    assert not list(folder.iterdir())
