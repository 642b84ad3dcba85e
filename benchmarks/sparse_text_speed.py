"""Reading sparse text: a million rows of 20 pairs, beside scikit-learn's reader and a parser line by line.

    python benchmarks/sparse_text_speed.py [--rows N] [--out FOLDER]

Needs `pip install scikit-learn`. Each reading is a process of its own, for its peak of memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from reference_sets import _commit, machine

from ramen.data.files import strict
from ramen.data.sparse_text import read_sparse_text

ROOT = Path(__file__).resolve().parents[1]
A_ROW, COLUMNS = 20, 1_000_000
READERS = ("ramen", "scikit-learn", "line by line")


def main() -> int:
    """Measure and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--read", nargs=2, metavar=("READER", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(json.dumps(measure(options.read[0], Path(options.read[1]))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "m.txt"
        write(file, options.rows)
        facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
        facts |= {"rows": options.rows, "pairs": options.rows * A_ROW, "file_bytes": file.stat().st_size}
        for reader in READERS:
            command = [sys.executable, __file__, "--read", reader, str(file)]
            runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout)]
            while len(runs) < (options.times if reader != READERS[2] else 2):  # the slow one twice
                runs.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
            facts[reader] = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    fastest = min(facts[reader]["seconds"] for reader in READERS[1:])
    facts["ratio_to_the_faster_peer"] = fastest / facts["ramen"]["seconds"]
    print(json.dumps(facts, indent=1))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "sparse_text_speed.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def write(file: Path, rows: int) -> None:
    """A header, then rows of ascending columns with values of six digits."""
    rng = np.random.default_rng(0)
    with file.open("w") as out:
        out.write(f"{rows} {COLUMNS}\n")
        for start in range(0, rows, 10_000):
            n = min(10_000, rows - start)
            columns = np.sort(rng.integers(0, COLUMNS - A_ROW, (n, A_ROW)), axis=1) + np.arange(A_ROW)
            values = rng.random((n, A_ROW))
            for c, v in zip(columns.tolist(), values.tolist(), strict=True):
                out.write(" ".join(f"{column}:{value:.6f}" for column, value in zip(c, v, strict=True)) + "\n")


def measure(reader: str, file: Path) -> dict[str, float]:
    """Seconds, and the peak of memory over what the process had before, as a multiple of the result."""
    if reader == "ramen":
        small = file.with_suffix(".small.txt")
        small.write_text("1 2\n0:1\n")
        strict(read_sparse_text(small))  # compiles, or loads what is compiled
    else:
        import sklearn.datasets  # noqa: F401
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    found = {"ramen": ours, "scikit-learn": theirs, "line by line": plainly}[reader](file)
    seconds = time.perf_counter() - start
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    result = found.data.nbytes + found.indices.nbytes + found.indptr.nbytes
    return {"seconds": seconds, "peak_bytes": peak, "result_bytes": result, "peak_to_result": peak / result}


def ours(file: Path) -> sp.csr_matrix:
    """The reader of ramen, with all its checks."""
    matrix = strict(read_sparse_text(file))
    assert matrix is not None
    return matrix


def theirs(file: Path) -> sp.csr_matrix:
    """scikit-learn's reader of rows without labels; it wants a file without the header."""
    from sklearn.datasets import load_svmlight_file

    class Rows:
        """The rows as scikit-learn reads them: a label before the pairs."""

        def __init__(self) -> None:
            self.stream = file.open("rb")
            self.stream.readline()

        def __iter__(self) -> Any:
            return (b"0 " + line for line in self.stream)

        def read(self) -> bytes:  # its mark of a file
            return b""

    return load_svmlight_file(Rows(), n_features=COLUMNS, dtype=np.float32, zero_based=True)[0]


def plainly(file: Path) -> sp.csr_matrix:
    """A loop over lines and pairs."""
    columns, values, indptr = [], [], [0]
    with file.open() as stream:
        stream.readline()
        for line in stream:
            for pair in line.split():
                column, value = pair.split(":")
                columns.append(int(column))
                values.append(float(value))
            indptr.append(len(columns))
    data = np.array(values, dtype=np.float32)
    return sp.csr_matrix((data, np.array(columns), np.array(indptr)), shape=(len(indptr) - 1, COLUMNS))


if __name__ == "__main__":
    sys.exit(main())
