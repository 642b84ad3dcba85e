"""Tag a folder of Parquet files with Ray Data: every row once, and a stopped job goes on where it was.

    python examples/bulk_ray.py RUN IN_FOLDER OUT_FOLDER --text-column text --k 5 --workers 2

Needs ``pip install 'ramen-xc[ray]'``. With ``RAY_ADDRESS`` set the workers are those of that cluster, whose machines
must all see the three folders. A unit of work is one row group of one file; its output, OUT_FOLDER/FILE-GROUP.parquet,
is written beside and renamed, so it is there whole or not at all, and a unit whose output is there is not done again.
The output has all input columns, ``labels`` (a list of uid, text, score and probability) and ``error`` (why a row has
no labels). Let one job at a time write to a folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

import ramen
from ramen.errors import InputError, WorkError
from ramen.files import replacing
from ramen.inference.run import check_run
from ramen.inference.tagger import MAX_CHARACTERS

ROWS = 4096  # texts tagged at once: bounds memory where row groups are large
LABEL = {"uid": pa.string(), "text": pa.string(), "score": pa.float32(), "probability": pa.float32()}
LABELS = pa.list_(pa.struct(LABEL))


class Unit(NamedTuple):
    """One row group of one file, and where its output goes."""

    file: str
    group: int
    rows: int
    output: str


def units(source: Path, out: Path, column: str) -> list[Unit]:
    """All units of a folder; InputError for one without Parquet files, or with some that do not fit."""
    found = []
    for file in sorted(source.glob("*.parquet")):
        meta = _metadata(file)
        schema = meta.schema.to_arrow_schema()
        if column not in schema.names:
            raise InputError(f"{file}: no column {column!r}, found {', '.join(schema.names) or 'none'}")
        if (kind := schema.field(column).type) not in (pa.string(), pa.large_string()):
            raise InputError(f"{file}: column {column!r} holds {kind}, expected strings")
        if twice := {"labels", "error"} & {*schema.names}:
            raise InputError(f"{file}: has a column {min(twice)!r} already")
        for group in range(meta.num_row_groups):
            output = str(out / f"{file.stem}-{group}.parquet")
            found.append(Unit(str(file), group, meta.row_group(group).num_rows, output))
    if not found:
        raise InputError(f"{source}: no Parquet files with rows there")
    return found


def _metadata(file: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(file)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file}: not a Parquet file: {str(error).splitlines()[0]}") from error


def is_done(unit: Unit, settings: str) -> bool:
    """Whether the unit's output is there; InputError where it is of other settings or of another input."""
    if not Path(unit.output).exists():
        return False
    found = _metadata(Path(unit.output))
    if (found.metadata or {}).get(b"ramen") != settings.encode() or found.num_rows != unit.rows:
        raise InputError(f"{unit.output}: made by another run, of other settings or input: name another folder")
    return True


class TagUnit:
    """What one worker does: load the run once, then tag unit after unit."""

    def __init__(self, run: str, column: str, k: int, settings: str) -> None:
        self.tagger = ramen.Tagger.load(run)
        self.column, self.k, self.settings = column, k, settings

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Tag a unit and write its output, unless a worker that was killed had done so."""
        unit = Unit(**row)
        if not is_done(unit, self.settings):
            table = pq.ParquetFile(unit.file).read_row_group(unit.group)
            table = pa.concat_tables(self._tagged(table.slice(at, ROWS)) for at in range(0, len(table) or 1, ROWS))
            notes = {**(table.schema.metadata or {}), "ramen": self.settings}
            with replacing(Path(unit.output)) as part:
                pq.write_table(table.replace_schema_metadata(notes), part)
        return {"rows": unit.rows}

    def _tagged(self, table: pa.Table) -> pa.Table:
        read = [_read(raw) for raw in table[self.column].cast(pa.large_binary()).to_pylist()]
        answers = iter(self.tagger.tag([text for text, error in read if not error], k=self.k))
        labels = [[] if error else next(answers) for _, error in read]
        table = table.append_column("labels", pa.array(labels, LABELS))
        return table.append_column("error", pa.array([error for _, error in read], pa.string()))


def _read(raw: bytes | None) -> tuple[str, str | None]:
    """A text, or why it is none."""
    try:
        text = (raw or b"").decode()
    except UnicodeDecodeError:
        return "", "not UTF-8"
    if len(text) > MAX_CHARACTERS:
        return "", f"more than {MAX_CHARACTERS:,} characters"
    return text, None if text.strip() else "empty text"


def work(todo: list[Unit], workers: int, *arguments: Any) -> None:
    """Tag the units on ``workers`` actors; one that dies is started again and its unit done again.

    Ray Data's own default does that, without end: a unit that always kills its worker holds the job up.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray.data  # here, as finding out what is to do needs no Ray

    ray.init(logging_level="ERROR", **({} if "RAY_ADDRESS" in os.environ else {"num_cpus": workers}))
    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = min(len(todo), 100 * workers)  # small, so that no worker is left with a long rest
    results = ray.data.from_items([unit._asdict() for unit in todo], override_num_blocks=blocks).map(
        TagUnit,
        fn_constructor_args=arguments,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    )
    start, rows = time.perf_counter(), 0
    for number, result in enumerate(results.iter_rows(), 1):
        rows += result["rows"]
        print(f"{number}/{len(todo)} units, {rows / (time.perf_counter() - start):,.0f} rows/s", flush=True)


def main() -> None:
    """Find what is to do, do it, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["run", "source", "out"]:
        parser.add_argument(name, type=Path)
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--k", type=int, default=5, help="labels a text (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default %(default)s)")
    options = parser.parse_args()
    run, source, out = (path.resolve() for path in (options.run, options.source, options.out))
    try:
        if min(options.k, options.workers) < 1 or out == source:
            raise InputError("expected --k and --workers of at least 1, and another folder for the output")
        check_run(run)
        states = [run / name for name in ("manifest.json", "labels/journal.jsonl")]
        state = zlib.crc32(b"".join(path.read_bytes() for path in states if path.exists()))
        settings = f"{state:08x} {options.text_column} {options.k}"
        every = units(source, out, options.text_column)
        todo = [unit for unit in every if not is_done(unit, settings)]
        out.mkdir(parents=True, exist_ok=True)
        for part in out.glob("*.part-*"):
            part.unlink()  # of a killed worker
        print(f"{len(every)} units, {len(every) - len(todo)} done before")
        if todo:
            work(todo, options.workers, str(run), options.text_column, options.k, settings)
        print(f"{sum(unit.rows for unit in every if is_done(unit, settings)):,} rows are in {out}")
    except (InputError, WorkError) as error:
        print(f"bulk_ray: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)


if __name__ == "__main__":
    main()
