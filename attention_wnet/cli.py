"""``wnet``: train a vessel segmenter, score it, and find the vessels on photographs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from attention_wnet.config import wnet_config
from ramen.cli.console import (
    Stopped,
    assignments,
    check_file,
    insistent_interrupt,
    quiet_libraries,
    say_next,
    show,
    show_log,
    write_json,
)
from ramen.cli.exits import exits
from ramen.cli.shell import make_app
from ramen.errors import InputError
from ramen.extras import needing

if TYPE_CHECKING:
    from attention_wnet.segmenter import Segmenter

app = make_app(
    "wnet",
    "Find the vessels on photographs of the retina, with Attention W-Net.",
    """\b
Examples:
  wnet train CHASE_DB1 --out runs/chase
  wnet segment runs/chase eye.jpg --out found
""",
)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run, or a model file.")]
Window = Annotated[int, typer.Option(min=16, help="Side of the windows that are scored and blended, in pixels.")]
Overlap = Annotated[float, typer.Option(help="Share of a window that the next one covers too, below 1.")]
Flips = Annotated[bool, typer.Option("--flips", help="Read each window mirrored too: a little better, 4 times slower.")]


@app.command(
    "train",
    epilog="""\b
Examples:
  wnet train CHASE_DB1 --out runs/chase
  wnet train DRIVE --out runs/plain model.attention=false model.regularised=false train.steps=3000
""",
)
def train(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of CHASE_DB1, DRIVE, STARE, or plain folders.")],
    out: Annotated[Path, typer.Option(help="Folder to write; one of a stopped run goes on.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings.")] = None,
) -> None:
    """Train on a set's training part; the lowest validation loss and the best validation threshold are kept."""
    assignments(words or [])
    config = wnet_config(words or [])
    show_log()
    try:
        with needing("wnet", "training a segmenter"):
            from attention_wnet.train import train as train_segmenter

        with insistent_interrupt():
            train_segmenter(data, out, config)
    except KeyboardInterrupt:
        raise Stopped(f"stopped; to go on: {shlex.join(['wnet', *sys.argv[1:]])}") from None
    say_next("wnet", "eval", out, "--data", data)


@app.command(
    "eval",
    epilog="""\b
Examples:
  wnet eval runs/chase --data CHASE_DB1
  wnet eval runs/chase --data CHASE_DB1 --json scores.json --maps maps
""",
)
def evaluate(
    run: Run,
    data: Annotated[Path, typer.Option(help="Folder of a data set.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    json: Annotated[Path | None, typer.Option(help="File for the scores.")] = None,
    maps: Annotated[Path | None, typer.Option(help="Folder for the pictures of what was found.")] = None,
    window: Window = 192,
    overlap: Overlap = 0.25,
    flips: Flips = False,
) -> None:
    """Score on a set's photographs: field of view and whole frame, intervals over photographs, the second observer."""
    segmenter = _segmenter(run, overlap)
    with needing("wnet", "scoring a segmenter"):
        from attention_wnet.evaluate import evaluate as score
        from attention_wnet.evaluate import table
        from attention_wnet.sets import SPLITS
    if split not in SPLITS:
        raise InputError(f"--split {split}: expected one of {', '.join(SPLITS)}")
    if json:
        check_file(json, "--json")
    result = score(segmenter, data, window, overlap, flips, split, maps)
    show(f"{result['photographs']} photographs of {data} ({split}), vessels from {result['threshold']:.2f} on")
    show(table(result))
    if json:
        write_json(json, result)


@app.command(
    "segment",
    epilog="""\b
Examples:
  wnet segment runs/chase eye.jpg --out found
  wnet segment runs/chase photographs/*.tif --out found --threshold 0.3
""",
)
def segment(
    run: Run,
    photographs: Annotated[list[Path], typer.Argument(metavar="PHOTOGRAPH", help="jpg, png, tif, gif, ppm.")],
    out: Annotated[Path, typer.Option(help="Folder to write the pictures to.")],
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Probability of a vessel from which on; by default the run's.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="What to resize by; by default to the width of the eyes trained on.")
    ] = None,
    window: Window = 192,
    overlap: Overlap = 0.25,
    flips: Flips = False,
) -> None:
    """Write the probabilities, the vessels, the field of view and an overlay of each photograph."""
    segmenter = _segmenter(run, overlap)
    with needing("wnet", "finding vessels"):
        from attention_wnet.evaluate import write_maps
        from attention_wnet.pictures import field_of_view, read
    if scale is not None and not 0 < scale <= 16:
        raise InputError(f"--scale {scale}: expected a number above 0 and at most 16")
    names = [path.stem for path in photographs]
    for path in photographs:
        if names.count(path.stem) > 1:
            raise InputError(f"{path}: another photograph is called {path.stem} too, expected names of their own")
    if threshold is not None:
        segmenter.threshold = threshold
    for path in photographs:
        photograph = read(path)
        view = field_of_view(photograph)
        by = segmenter.scale(view) if scale is None else scale
        probabilities = segmenter.probabilities(photograph, by, window, overlap, flips)
        vessels = write_maps(out, path.stem, photograph, probabilities, view, segmenter.threshold)
        resized = "" if by == 1 else f", read at {by:.2f} of its size"
        show(f"{path}: {vessels[view].mean():.1%} of the field of view is vessel{resized}")


def _segmenter(run: Path, overlap: float) -> Segmenter:
    if not 0 <= overlap < 1:
        raise InputError(f"--overlap {overlap}: expected a share of at least 0 and below 1")
    with needing("wnet", "finding vessels"):
        from attention_wnet.segmenter import Segmenter
    return Segmenter.load(run)


def main() -> NoReturn:
    """Run the command line and exit with its code; an expected error is one line on stderr."""
    quiet_libraries()
    exits(app, "wnet")


if __name__ == "__main__":
    main()
