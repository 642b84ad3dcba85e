"""Fuzzes the readers by coverage: one file of a sound folder at a time is replaced by bytes that atheris makes.

    pip install atheris
    python tests/fuzz_readers.py --seconds 3600 --out build/fuzz

Everything but an InputError is a crash. Crashes do not stop the run: each place in the code is kept once, with its
input, and ``summary.json`` counts what was tried. docs/reliability.md has the record.
"""

from __future__ import annotations

import argparse
import atexit
import gzip
import io
import json
import os
import resource
import shutil
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np
import scipy.sparse as sp

with atheris.instrument_imports(include=["ramen.data", "ramen.inference.comparison"]):
    from ramen.data import check, load_dataset
    from ramen.data.delimited import Format
    from ramen.data.get import unpack
    from ramen.data.own import Columns, read_own
    from ramen.inference.comparison import evaluate_predictions
from ramen.errors import InputError

SLOW = 10.0  # seconds for an input of a few kilobytes

JSON = {
    "trn.json": b'{"uid": "p0", "title": "red apple", "content": "", "target_ind": [0, 2], "target_rel": [1, 0.5]}\n'
    b'{"uid": "p1", "title": "pear", "target_ind": [1]}\n{"uid": "p2", "title": "plum", "target_ind": []}\n',
    "tst.json": b'{"uid": "q0", "title": "apple", "target_ind": [0]}\n',
    "lbl.json": b'{"uid": "l0", "title": "apple"}\n{"uid": "l1", "title": "pear"}\n{"uid": "l2", "title": "fruit"}\n',
    "trn_X_Y.txt": b"3 3\n0:1 2:0.5\n1:1\n\n",
    "filter_labels_train.txt": b"0 1\n",
    "filter_labels_test.txt": b"0 2\n",
    "graphs/colour.raw.txt": b"warm\ncold\n",
    "graphs/colour_trn_X_Y.txt": b"3 2\n0:1\n1:1\n\n",
    "card.yaml": b"title: Fruit\nA: 0.55\nB: 1.5\nsource: mine\n",
}
LINES = {
    "trn_X.txt": b"p0->red apple\np1->pear\n",
    "tst_X.txt": b"q0->apple\n",
    "lbl_X.txt": b"apple\tround\npear\t\nfruit\tsweet\n",
    "trn_X_Y.txt": b"2 3\n0:1 2:1\n1:1\n",
    "tst_X_Y.txt": b"1 3\n0:1\n",
}
WORDS = {"train.txt": b"3 4 3\n0,2 0:1 3:0.5\n 1:2\n1\n", "test.txt": b"1 4 3\n1 2:1.5\n"}
MATRICES = {"trn_X_Xf.txt": b"2 2\n0:1\n1:0.5\n", "trn_X_Y.txt": b"2 3\n0:1\n1:1 2:1\n", "Y.txt": b"a\nb\nc\n"}
ONE_FILE = {"x_data.txt": b"3 2 3\n0 0:1\n1,2 1:1\n2 0:2\n", "x_trSplit.txt": b"1\n2\n", "x_tstSplit.txt": b"3\n"}


def _npz(matrix: list[list[float]]) -> bytes:
    out = io.BytesIO()
    sp.save_npz(out, sp.csr_matrix(np.array(matrix, np.float32)))
    return out.getvalue()


def _archives() -> tuple[bytes, bytes]:
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("x/trn.json", JSON["trn.json"])
    with tarfile.open(fileobj=tarred, mode="w:gz") as tar:
        member = tarfile.TarInfo("x/trn.json")
        member.size = len(JSON["trn.json"])
        tar.addfile(member, io.BytesIO(JSON["trn.json"]))
    return zipped.getvalue(), tarred.getvalue()


def _folder(files: dict[str, bytes], name: str) -> Callable[[Path, bytes], None]:
    """Reads a folder whose file ``name`` is the input."""

    def read(folder: Path, data: bytes) -> None:
        for each, content in {**files, name: data}.items():
            (folder / each).parent.mkdir(exist_ok=True)
            (folder / each).write_bytes(content)
        problems = check(folder).problems
        load_dataset(folder)
        assert not problems, "check has problems and load_dataset none"

    return read


def _archive(name: str) -> Callable[[Path, bytes], None]:
    def read(folder: Path, data: bytes) -> None:
        (folder / name).write_bytes(data)
        unpack(folder / name, folder / "out")
        for path in folder.rglob("*"):
            assert not path.is_symlink(), "a link came out of an archive"

    return read


def _table(name: str, text: str = "text", labels: str = "labels", **options: object) -> Callable[[Path, bytes], None]:
    form = Format(**options)

    def read(folder: Path, data: bytes) -> None:
        (folder / name).write_bytes(data)
        read_own(folder / name, Columns(text, labels), form=form)

    return read


def _predictions(name: str) -> Callable[[Path, bytes], None]:
    def read(folder: Path, data: bytes) -> None:
        (folder / name).write_bytes(data)
        for each, content in JSON.items():
            (folder / each).parent.mkdir(exist_ok=True)
            (folder / each).write_bytes(content)
        evaluate_predictions(folder / name, load_dataset(folder))

    return read


def targets() -> list[tuple[str, bytes, Callable[[Path, bytes], None]]]:
    """Name, a sound input, and what reads it."""
    found = []
    for files in (JSON, LINES, WORDS, MATRICES, ONE_FILE):
        found += [(name, content, _folder(files, name)) for name, content in files.items()]
    packed = {name: content for name, content in JSON.items() if name != "trn.json"}
    found.append(("trn.json.gz", gzip.compress(JSON["trn.json"]), _folder(packed, "trn.json.gz")))
    matrix = {name: content for name, content in JSON.items() if name != "trn_X_Y.txt"}
    found.append(("trn_X_Y.npz", _npz([[1, 0, 0.5], [0, 1, 0], [0, 0, 0]]), _folder(matrix, "trn_X_Y.npz")))
    zipped, tarred = _archives()
    found += [("x.zip", zipped, _archive("x.zip")), ("x.tar.gz", tarred, _archive("x.tar.gz"))]
    rows = b'{"text": "red apple", "labels": ["apple"]}\n{"text": "pear", "labels": ["pear"]}\n'
    found += [("a.csv", b"text,labels\nred apple,apple;fruit\npear,pear\n", _table("a.csv"))]
    found += [("a.jsonl", rows, _table("a.jsonl"))]
    array = b'[{"text": "red apple", "labels": [0, 1.5, null]}, {"text": "pear", "labels": "[\'a\', \\"b\\"]"}]'
    found += [("a.json", array, _table("a.json"))]
    found += [("a.tsv", b'text\tlabels\nred "apple"\tapple,fruit\npear\tfruit\n', _table("a.tsv"))]
    found += [("q.tsv", b'text\tlabels\n"red\napple"\tapple\n', _table("q.tsv", quote=True))]
    latin = "a;1;0\ncaf\u00e9;0;1\n".encode("cp1252")
    bare = _table("n.csv", "1", "2,3", delimiter=";", header=False, encoding="cp1252")
    found += [("n.csv", latin, bare)]
    scores = b"1 3\n0:0.5 1:0.25\n"
    found += [("s.txt", scores, _predictions("s.txt")), ("s.npz", _npz([[0, 1, 2]]), _predictions("s.npz"))]
    return found


class Fuzz:
    """Counts inputs by target and keeps what crashed or was slow."""

    def __init__(self, out: Path, only: list[str]) -> None:
        chosen = [target for target in targets() if target[0] in only or not only]
        self.out, self.targets, self.start = out, chosen, time.time()
        self.tried: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.found: dict[str, dict[str, object]] = {}
        self.slowest = 0.0
        self.last = self.start
        self.room = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))

    def one(self, data: bytes) -> None:
        """One input: the first byte says which target reads the rest."""
        if not data:
            return
        name, _, read = self.targets[data[0] % len(self.targets)]
        folder = self.room / "set"
        folder.mkdir()
        start = time.perf_counter()
        try:
            read(folder, data[1:])
        except InputError:
            self.refused[name] += 1
        except Exception as error:
            self._keep(name, data, "".join(traceback.format_exception(error)), error)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        seconds = time.perf_counter() - start
        if self.tried[name] and seconds > SLOW:
            self._keep(name, data, f"{seconds:.1f} s\n", None)
        self.slowest = max(self.slowest, seconds if self.tried[name] else 0.0)
        self.tried[name] += 1
        if time.time() > self.last + 30:
            self.last = time.time()
            self.summary()

    def _keep(self, name: str, data: bytes, text: str, error: Exception | None) -> None:
        frames = (
            [frame for frame in traceback.extract_tb(error.__traceback__) if "ramen" in frame.filename] if error else []
        )
        place = f"{type(error).__name__} {frames[-1].name if frames else name}" if error else f"slow {name}"
        if place not in self.found:
            file = self.out / f"crash-{len(self.found)}"
            file.write_bytes(data)
            self.found[place] = {"target": name, "file": file.name, "times": 0, "text": text}
            self.summary()
        self.found[place]["times"] = int(str(self.found[place]["times"])) + 1

    def summary(self) -> None:
        """What was tried so far."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        facts = {
            "seconds": round(time.time() - self.start),
            "inputs": sum(self.tried.values()),
            "tried": dict(self.tried),
            "refused": dict(self.refused),
            "slowest_seconds": round(self.slowest, 2),
            "peak_mib": peak,
            "crashes": self.found,
        }
        (self.out / "summary.json").write_text(json.dumps(facts, indent=1))


def main() -> None:
    """Runs until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"))
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="FILE", help="some of the targets, such as a.csv n.csv"
    )
    options = parser.parse_args()
    corpus = options.out / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    fuzz = Fuzz(options.out, options.only)
    for number, (name, content, _) in enumerate(fuzz.targets):
        fuzz.one(bytes([number]) + content)
        assert not fuzz.refused[name] and not fuzz.found, f"the sound {name} is refused: {fuzz.found}"
        (corpus / f"seed-{number}").write_bytes(bytes([number]) + content)
    atexit.register(fuzz.summary)
    flags = [
        f"-max_total_time={options.seconds}",
        "-max_len=4096",
        "-timeout=60",
        "-rss_limit_mb=4096",
        f"-artifact_prefix={options.out}/",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], fuzz.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
