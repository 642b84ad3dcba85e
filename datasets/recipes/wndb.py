"""Read the synsets of WordNet's database files, ``data.noun`` and its like.

The format is that of the manual pages wndb(5WN) and lexnames(5WN), which come with the package ``wordnet-base``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ramen.errors import InputError

FILES = {"data.noun": "n", "data.verb": "v", "data.adj": "as", "data.adv": "r"}
"""Name of a database file -> the letters of the synsets in it; ``s`` is an adjective beside another one."""

_LEXNAMES = """
    adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition
    noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person
    noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state
    noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition verb.consumption
    verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social verb.stative
    verb.weather adj.ppl
""".split()
_LEXNAME_OF = {f"{number:02d}": name for number, name in enumerate(_LEXNAMES)}

_OFFSET = re.compile(r"\d{8}")
_PLACE_IN_PHRASE = re.compile(r"\((a|p|ip)\)$")  # how an adjective may stand, as in "galore(ip)"; no part of the word
_SYNSET = "'OFFSET FILE TYPE COUNT WORD ID ... COUNT POINTER ... | GLOSS'"
_SECONDS = 120  # to unpack a package of 6 MB


@dataclass(frozen=True)
class Synset:
    """One line of a database file.

    Attributes:
        uid: letter of its kind (``n``, ``v``, ``a``, ``r``) and its offset, eight digits.
        place: file and line, for errors.
        lexname: the lexicographers' file that it was written in, such as ``noun.animal``.
        words: as they are written, with blanks.
        gloss: definition and examples, on one line.
        pointers: (symbol, uid of a synset), in order.
    """

    uid: str
    place: str
    lexname: str
    words: tuple[str, ...]
    gloss: str
    pointers: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        """The words, with commas between."""
        return ", ".join(self.words)


def unpack(package: Path, folder: Path) -> Path:
    """Unpack the Debian package ``wordnet-base`` into ``folder``; returns the folder of its database files.

    Raises:
        InputError: it is no Debian package or another one, or this machine has no dpkg-deb.
    """
    if shutil.which("dpkg-deb") is None:
        raise InputError(f"{package}: cannot be unpacked, dpkg-deb is not on PATH; unpack it and name the folder")
    command = ["dpkg-deb", "-x", str(package), str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.CalledProcessError as error:
        why = " ".join(error.stderr.split())
        raise InputError(f"{package}: found no Debian package that can be unpacked ({why})") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"{package}: cannot be unpacked in {_SECONDS} seconds") from None
    database = folder / "usr/share/wordnet"
    if not database.is_dir():
        raise InputError(f"{package}: found no usr/share/wordnet in it, expected the package wordnet-base")
    return database


def read_files(folder: Path) -> dict[str, bytes]:
    """The bytes of each of ``FILES``, by name.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    contents = {}
    for name in FILES:
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise InputError(
                f"{folder / name}: {error.strerror}, expected WordNet's database; install the package wordnet-base, "
                "or give its .deb or a folder with the files by files=PATH"
            ) from None
    return contents


def read_synsets(contents: dict[str, bytes]) -> dict[str, Synset]:
    """The synsets of database files, by uid, in order of uid.

    Args:
        contents: name, one of ``FILES`` -> bytes.

    Raises:
        InputError: bytes that are not UTF-8, a line that is no synset, an offset that comes twice, or a pointer to a
            synset that no file has.
    """
    found: dict[str, Synset] = {}
    for name, data in contents.items():
        for row, line in enumerate(data.split(b"\n"), start=1):
            if line.strip() and not line.startswith(b"  "):  # two blanks begin a line of the licence
                synset = _synset(line, f"{name}, line {row}", FILES[name])
                if synset.uid in found:
                    raise InputError(f"{synset.place}: found offset {synset.uid[1:]} again, expected each once")
                found[synset.uid] = synset
    for synset in found.values():
        for symbol, target in synset.pointers:
            if target not in found:
                raise InputError(f"{synset.place}: found a pointer {symbol} to {target}, expected a synset")
    return {uid: found[uid] for uid in sorted(found)}


def licence(data: bytes) -> str:
    """The licence at the head of a database file, without the numbers of its lines; "" where there is none."""
    lines = [line.decode(errors="replace") for line in data.split(b"\n") if line.startswith(b"  ")]
    return "\n".join(re.sub(r"^\s*\d+ ?", "", line).rstrip() for line in lines)


def _synset(line: bytes, place: str, letters: str) -> Synset:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{place}: found bytes that are not UTF-8, expected UTF-8") from None
    head, bar, gloss = text.partition(" | ")
    fields = head.split()
    try:
        offset, number, letter, count = fields[:4]
        end = 4 + 2 * int(count, 16)  # a word and its number in the lexicographers' file, for each
        words, rest = fields[4:end:2], fields[end + 1 :]
        pointers = rest[: 4 * int(fields[end])]
        lexname = _LEXNAME_OF[number]
        if not bar or not words or len(pointers) != 4 * int(fields[end]) or not _OFFSET.fullmatch(offset):
            raise ValueError
    except (ValueError, IndexError, KeyError):
        raise InputError(f"{place}: found {text[:60]!r}, expected a synset: {_SYNSET}") from None
    if letter not in letters:
        raise InputError(f"{place}: found a synset of type {letter!r}, expected {' or '.join(letters)}")
    targets = zip(pointers[::4], pointers[1::4], pointers[2::4], strict=True)
    return Synset(
        uid=_uid(letter, offset),
        place=place,
        lexname=lexname,
        words=tuple(_PLACE_IN_PHRASE.sub("", word).replace("_", " ") for word in words),
        gloss=" ".join(gloss.split()),
        pointers=tuple((symbol, _uid(kind, target)) for symbol, target, kind in targets),
    )


def _uid(letter: str, offset: str) -> str:
    return letter.replace("s", "a") + offset
