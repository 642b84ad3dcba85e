"""Stanzas, relation fields and compressed index files."""

import bz2
import gzip
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ramen.data.recipes.deb822 import read_index, related, stanzas, synopsis_and_text

from ramen.errors import InputError

NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{0,12}", fullmatch=True)
VERSIONS = st.sampled_from(["", " (>= 1:2.0~rc1-3)", ":any", " [amd64 !i386]", " <!nocheck>"])


@given(st.lists(st.lists(st.tuples(NAMES, VERSIONS), min_size=1, max_size=3), max_size=5))
def test_related_gives_every_name_of_every_alternative(clauses: list[list[tuple[str, str]]]) -> None:
    value = ", ".join(" | ".join(name + version for name, version in clause) for clause in clauses)
    assert related(value) == [name for clause in clauses for name, _ in clause]


@given(
    st.lists(st.dictionaries(st.sampled_from(["Package", "Tag", "Description-md5"]), NAMES, min_size=1), max_size=4),
    st.integers(1, 3),
)
def test_stanzas_give_back_what_was_written(records: list[dict[str, str]], gap: int) -> None:
    text = ("\n" * (gap + 1)).join("\n".join(f"{key}: {value}" for key, value in r.items()) for r in records)
    assert list(stanzas(text.encode(), "x")) == records


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"Package: a\nno colon here\n", "x, line 2: found 'no colon here'"),
        (b"Package: a\n\n continued\n", "x, line 3: found a continuation line"),
        (b"Package: a\n: empty\n", "x, line 2"),
        (b"Package: a\nTag: \xff\n", "x, line 2: found bytes that are not UTF-8"),
    ],
)
def test_broken_lines_are_named(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(stanzas(data, "x"))


def test_extended_description_is_one_line() -> None:
    assert synopsis_and_text("two  words\n One\n   two.\n .\n Three. ") == ("two  words", "One two. Three.")
    assert synopsis_and_text("alone") == ("alone", "")


@pytest.mark.parametrize(
    ("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)]
)
def test_compressed_files_are_read_and_cut_ones_refused(tmp_path: Path, suffix: str, pack: type) -> None:
    file = tmp_path / f"Packages{suffix}"
    data = b"Package: a\n" * 100
    file.write_bytes(pack(data))
    assert read_index(file) == data
    if suffix:
        file.write_bytes(pack(data)[:-12])
        with pytest.raises(InputError, match="cannot be read as a package index"):
            read_index(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent.xz: cannot be read"):
        read_index(tmp_path / "absent.xz")
