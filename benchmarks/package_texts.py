"""Text without labels for a chain on LF-DebianRelated: every package of this machine's index that is no test point.

    python benchmarks/package_texts.py DATA OUT.txt.gz

A line is a title, a tab and a description, as ``align.texts`` of hlm reads it.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path

from ramen.data.recipes.apt_index import fetch
from ramen.data.recipes.deb822 import read_index
from ramen.data.recipes.debian import read_packages, read_translations

import ramen
from ramen.files import replacing


def main() -> int:
    """Write the file; returns an exit code."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    asked = set(ramen.load_dataset(sys.argv[1]).test.uids)
    with tempfile.TemporaryDirectory() as folder:
        index = fetch(Path(folder), lambda line: print(line, file=sys.stderr))
        contents = [(name, read_index(file)) for name, file in index.packages]
        known = read_packages(contents, read_translations(index.translations))
    lines = [f"{p.title}\t{' '.join(p.text.split())}" for name, p in known.items() if name not in asked]
    with replacing(Path(sys.argv[2])) as part, gzip.open(part, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print(f"{len(lines):,} texts in {sys.argv[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
