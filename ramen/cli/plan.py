"""``ramen plan``: estimates the resources of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import assignments, say, say_next, show

EXAMPLES = """\b
Examples:
  ramen plan data/planted --preset static
  ramen plan data/planted --preset million dense.precision=bf16
"""


def plan(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of a data set.")],
    preset: Annotated[str, typer.Option(help="Settings to start from.")] = "static",
    graphs: Annotated[str, typer.Option(help="As of ramen train.")] = "all",
    quick: Annotated[bool, typer.Option("--quick", help="Without the probe of ten steps: no times.")] = False,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings in place of the preset's.")
    ] = None,
) -> None:
    """Estimate parameters, memory by stage, disk, time per epoch, and the dense classifiers that fit."""
    assignments(overrides or [])
    import ramen
    from ramen.config import load_config
    from ramen.data.options import with_pairs, with_texts
    from ramen.training.checks import check_texts, graphs_of
    from ramen.training.plan import estimate, probe
    from ramen.training.schedule import described_trainings

    config = load_config(preset, overrides or [])
    dataset = with_pairs(with_texts(ramen.load_dataset(data), config.data.text), config.data.pairs, config.seed)
    config.graphs = graphs_of(config, graphs, dataset)
    check_texts(dataset, config)
    needs = estimate(dataset, config)
    show(f"{needs.points:,} points, {needs.labels:,} labels, {needs.pairs:,} pairs")
    show("parameters: " + ", ".join(f"{name} {count:,}" for name, count in needs.parameters.items()))
    for words in described_trainings(config, needs.trained, bool(config.graphs)):
        show(f"encoder: {words}")
    for name, needed in needs.stages.items():
        show(f"memory, {name}: {needed / 1e9:.2f} GB")
    show(f"disk: {needs.disk / 1e9:.2f} GB")
    if not quick and config.encoder.kind != "bag_of_words":
        say("ten steps on a sample ...")
        for name, seconds in probe(dataset, config).items():
            show(f"time, {name}: {seconds:.0f} s an epoch")
    fits = "fits" if needs.peak <= needs.available else "does NOT fit"
    show(f"peak: {needs.peak / 1e9:.2f} GB, free: {needs.available / 1e9:.2f} GB: {fits}")
    for name, needed in needs.classifiers.items():
        verdict = "fits" if needed <= needs.available else "does not fit"
        show(f"with dense classifiers, {name}: {needed / 1e9:.2f} GB, {verdict}")
    show(f"most exact dense classifiers that fit: {needs.fitting or 'none; --preset million trains without one'}")
    options = ["--preset", preset, *(["--graphs", graphs] if graphs != "all" else []), "--out", "RUN"]
    say_next("ramen", "train", data, *options, *(overrides or []))
