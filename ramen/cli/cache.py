"""``ramen cache``: the cache of token vectors and token ids in the user's cache folder."""

from __future__ import annotations

import typer

from ramen.cli.console import show

SHOW_EXAMPLES = """\b
Examples:
  ramen cache show
  ramen cache show | tail -n 1
"""

CLEAR_EXAMPLES = """\b
Examples:
  ramen cache clear
  ramen cache clear && ramen cache show
"""

app = typer.Typer(help="Show or clear the cache of token vectors and token ids.")


@app.command("show", epilog=SHOW_EXAMPLES)
def show_cache() -> None:
    """Show the cache folder, its files and their size.

    checked-runs.txt lists runs whose values were checked; without it, the next load checks them again.

    RAMEN_CACHE names another folder.
    """
    from ramen.encoders.cache import cache_files, cache_folder

    files = cache_files()
    show(str(cache_folder()))
    for path, size in files:
        show(f"  {path.name}  {_megabytes(size)}")
    show(f"files: {len(files)}, {_megabytes(sum(size for _, size in files))}")


@app.command(epilog=CLEAR_EXAMPLES)
def clear() -> None:
    """Remove ramen's files from the cache folder, and no others."""
    from ramen.encoders.cache import cache_files, cache_folder

    files = cache_files()
    for path, size in files:
        path.unlink(missing_ok=True)
        show(f"removed {path} ({_megabytes(size)})")
    if not files:
        show(f"nothing to remove in {cache_folder()}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
