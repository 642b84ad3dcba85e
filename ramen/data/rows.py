"""Reads the rows of a file: JSON Lines, a JSON array, CSV, TSV or Parquet."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ramen.data.delimited import Format, Rows, column_names, read_delimited
from ramen.errors import InputError

FLAT = (".csv", ".tsv")
KINDS = (".jsonl", ".ndjson", ".json", *FLAT, ".parquet")
ENCODINGS = "cp1252 (Western), cp1251 (Cyrillic), gb18030 (Chinese) or shift_jis (Japanese)"
SHEETS = (".xlsx", ".xlsm", ".xls", ".ods")


def kind_of(path: Path) -> str:
    """Return the ending that says how a file is read, ``.gz`` aside; "" if it has none."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def read_rows(
    path: Path,
    form: Format,
    report: Callable[[str], None],
    kind: str | None = None,
    content: bytes | None = None,
) -> Rows:
    """Return the rows of a file.

    Args:
        path: see :class:`ramen.data.tables.Table`.
        form: of files of text.
        report: called with one line for each thing that was noticed rather than told.
        kind: the ending that says how to read the file; None: its own.
        content: of a file of text, if it has been read; the path is then a name for errors.

    Raises:
        InputError: the file is missing, of another kind, broken or empty, or Parquet and pyarrow is not installed.
    """
    kind = kind or kind_of(path)
    if kind not in KINDS:
        hint = "; save the sheet as CSV UTF-8" if kind in SHEETS else ""
        raise InputError(f"{path}: found the ending {kind or 'none'}, expected one of {', '.join(KINDS)}{hint}")
    if content is None and not path.is_file():
        raise InputError(f"{path}: {'is no file' if path.exists() else 'no such file'}")
    try:
        try:
            rows = _parquet(path) if kind == ".parquet" else _text_rows(path, content, kind, form, report)
        except UnicodeError as error:
            raise InputError(_not_decoded(path, content, form.encoding, error)) from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if not rows.n_rows:
        raise InputError(f"{path}: expected rows, found none")
    return rows


def _text_rows(path: Path, content: bytes | None, kind: str, form: Format, report: Callable[[str], None]) -> Rows:
    _refuse_binary(path, content, form)
    encoding = "utf-8-sig" if form.encoding == Format.encoding else form.encoding
    with _opened(path, content) as file:
        try:
            stream = io.TextIOWrapper(file, encoding=encoding, newline="")
        except (LookupError, ValueError) as error:
            raise InputError(f"--encoding: found {form.encoding!r}, expected one such as utf-8 or cp1252") from error
        lines = _without_mark(stream)
        return read_delimited(path, lines, form, kind, report) if kind in FLAT else _objects(path, lines)


def _opened(path: Path, content: bytes | None) -> Any:
    if content is not None:
        return io.BytesIO(content)
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _refuse_binary(path: Path, content: bytes | None, form: Format) -> None:
    """Raise where the first bytes tell that a file is not the text its name says."""
    with _opened(path, content) as file:
        head = file.read(4)
    if head.startswith(b"PK\x03\x04"):
        raise InputError(f"{path}: found a zip file or spreadsheet, expected text: save the sheet as CSV UTF-8")
    if head.startswith(b"\x1f\x8b"):
        expected = "its name to end in .gz" if content is None else "text: decompress it first"
        raise InputError(f"{path}: found a gzip file, expected {expected}")
    if form.encoding == Format.encoding and (head[:2] in (b"\xff\xfe", b"\xfe\xff") or 0 in head):
        remedy = "save it as CSV UTF-8, run iconv -f utf-16 -t utf-8 on it, or pass --encoding utf-16"
        raise InputError(f"{path}: found UTF-16, expected UTF-8: {remedy}")


def _not_decoded(path: Path, content: bytes | None, encoding: str, error: UnicodeError) -> str:
    if encoding != Format.encoding or not isinstance(error, UnicodeDecodeError):
        return f"{path}: is not {encoding} ({error.reason if isinstance(error, UnicodeDecodeError) else error})"
    with _opened(path, content) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as wrong:
                at = f"{path}, line {number}: byte 0x{line[wrong.start]:02x}"
                return f"{at} is not UTF-8: save it as CSV UTF-8, or pass --encoding NAME, such as {ENCODINGS}"
    return f"{path}: is cut off within a character"


def _without_mark(stream: io.TextIOWrapper) -> Iterator[str]:
    first = stream.readline().lstrip("\ufeff")  # a byte order mark
    if first:
        yield first
    yield from stream


def _objects(path: Path, lines: Iterator[str]) -> Rows:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        line = line.strip("\ufeff \t\r\n")  # files with a mark may have been put together
        if not line:
            continue
        if line[0] == "[" and not rows:
            rows = _array(path, "\n" * (number - 1) + line + "\n" + "".join(lines))
            break
        row = _loaded(path, line, number)
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: found a json {type(row).__name__}, expected an object")
        rows.append(row)
    rows = _with_clean_keys(path, rows)
    names = list({name: None for row in rows for name in row})
    return Rows(names, len(rows), lambda name: [row.get(name) for row in rows])


def _with_clean_keys(path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows whose keys have one spelling each; a row may not have two spellings of one."""
    clean = {name: column_names([name], "")[0] for name in {name: None for row in rows for name in row}}
    if all(name == key for name, key in clean.items()):
        return rows
    for number, row in enumerate(rows, 1):
        column_names(row, f"{path}, row {number}")
    return [{clean[name]: value for name, value in row.items()} for row in rows]


def _array(path: Path, text: str) -> list[dict[str, Any]]:
    rows = _loaded(path, text, 1)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InputError(f"{path}, row {number}: found a json {type(row).__name__}, expected an object")
    return rows


def _loaded(path: Path, text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line += getattr(error, "lineno", 1) - 1
        what = getattr(error, "msg", error)
        expected = "expected an object a line, or one array of objects"
        raise InputError(f"{path}, line {line}: broken json ({what}), {expected}") from error


def _parquet(path: Path) -> Rows:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise InputError(f"{path}: reading Parquet needs pyarrow: pip install 'ramen-xc[parquet]'") from None
    try:
        with ParquetFile(path) as file:
            table = file.read()
    except ArrowException as error:
        raise InputError(f"{path}: not a Parquet file: {error}") from error
    names = column_names(table.column_names, str(path))
    at = {name: column for column, name in enumerate(names)}

    def column(name: str) -> list[Any]:
        try:
            return table.column(at[name]).to_pylist()
        except (ArrowException, ValueError, OverflowError) as error:
            raise InputError(f"{path}: column {name!r} cannot be read: {error}") from error

    return Rows(names, table.num_rows, column)
