"""``ramen plan``: estimates the resources of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ramen.cli.console import assignments, say, say_next, show

if TYPE_CHECKING:
    from ramen.config import Config
    from ramen.data import Dataset
    from ramen.training.plan import Plan

EXAMPLES = """\b
Examples:
  ramen plan data/planted --preset static
  ramen plan data/LF-WikiSeeAlsoTitles-320K --preset LF-WikiSeeAlsoTitles-320K --gpu-memory 80
"""


def plan(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of a data set.")],
    preset: Annotated[str, typer.Option(help="Settings to start from.")] = "static",
    graphs: Annotated[str, typer.Option(help="As of ramen train.")] = "all",
    quick: Annotated[bool, typer.Option("--quick", help="Without the probe of ten steps: no measured times.")] = False,
    gpu_memory: Annotated[
        float | None, typer.Option(metavar="GB", min=0.1, help="Plan for a GPU elsewhere with so much free memory.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings in place of the preset's.")
    ] = None,
) -> None:
    """Estimate parameters, steps, memory by stage, disk, time, and the dense classifiers that fit."""
    assignments(overrides or [])
    import ramen
    from ramen.config import load_config
    from ramen.data.options import with_pairs, with_texts
    from ramen.training.checks import check_texts, check_warmups, graphs_of
    from ramen.training.plan import estimate
    from ramen.training.schedule import described_trainings

    config = load_config(preset, overrides or [])
    dataset = with_pairs(with_texts(ramen.load_dataset(data), config.data.text), config.data.pairs, config.seed)
    config.graphs = graphs_of(config, graphs, dataset)
    check_texts(dataset, config, needs_encoder=config.encoder.kind != "transformer")
    check_warmups(dataset, config)
    needs = estimate(dataset, config, gpu_memory)
    show(f"{needs.points:,} points, {needs.labels:,} labels, {needs.pairs:,} pairs")
    show("parameters: " + ", ".join(f"{name} {count:,}" for name, count in needs.parameters.items()))
    if needs.shape and not needs.shape.is_known:
        show(
            f"encoder: the size of {config.encoder.backbone} is not known without a local copy: DistilBERT's is assumed"
        )
    for words in described_trainings(config, needs.trained, bool(config.graphs)):
        show(f"encoder: {words}")
    for name, needed in needs.stages.items():
        show(f"memory, {name}: {needed / 1e9:.2f} GB")
    show(f"disk: {needs.disk / 1e9:.2f} GB")
    if not quick and config.encoder.kind != "bag_of_words":
        _show_times(dataset, config, needs, gpu_memory is not None)
    if gpu_memory is not None and needs.gpu is None:
        show("GPU: what a transformer takes of one is planned; this preset has none")
    _show_gpu(needs)
    _show_fit(config, needs)
    options = ["--preset", preset, *(["--graphs", graphs] if graphs != "all" else []), "--out", "RUN"]
    say_next("ramen", "train", data, *options, *(overrides or []), *_advised(needs, overrides or []))


def _advised(needs: Plan, overrides: list[str]) -> list[str]:
    """The settings that are said to fit, unless given otherwise."""
    advice = [*(needs.gpu.advice.values() if needs.gpu else ()), needs.advice or ""]
    given = {word.partition("=")[0] for word in overrides}
    words = dict(word.split("=") for text in advice for word in text.split() if word.count("=") == 1)
    return [f"{key}={value}" for key, value in words.items() if key not in given]


def _show_times(dataset: Dataset, config: Config, needs: Plan, is_elsewhere: bool) -> None:
    """Measure ten steps, unless they would take minutes."""
    from ramen.training.plan import encoder_hours, is_long_probe, probe

    if is_elsewhere:
        say("no probe: the GPU is elsewhere")
        return
    if is_long_probe(dataset, config, needs):
        say("no probe: it would take minutes on this processor, or the weights are not here; see --gpu-memory")
        return
    say("ten steps on a sample ...")
    seconds = probe(dataset, config)
    for name, value in seconds.items():
        show(f"time, {name}: {value:.0f} s an epoch")
    if "encoder" in seconds:
        hours = encoder_hours(config, needs, seconds["encoder"])
        show(f"time, encoder in all: {hours:.2f} hours at most, on this machine")


def _show_gpu(needs: Plan) -> None:
    gpu = needs.gpu
    if gpu is None:
        return
    step, precision = gpu.step, "bfloat16" if gpu.in_bfloat16 else "float32"
    show(
        f"GPU: a step of at most {step.points:,} points, {step.labels:,} labels and {step.others:,} rows and anchors "
        f"of a graph, each of about {step.width} tokens: {step.tokens:,} tokens, in {precision}"
    )
    if not gpu.in_bfloat16:
        show("GPU: it has no native bfloat16, so that training is in float32 and takes more memory and time")
    for name, needed in gpu.stages.items():
        fits = f"does NOT fit: {gpu.advice[name]}" if name in gpu.advice else "fits"
        show(f"GPU memory, {name}: {needed / 1e9:.2f} GB of {gpu.free / 1e9:.2f} GB free: {fits}")
    if "dense" in gpu.stages and not gpu.all_compete:
        show("GPU: in a step of the dense classifiers not all labels compete, but lists of each point's")
    for name, hours in gpu.hours.items():
        show(f"GPU time, encoder in all: {hours:.2f} hours on one {name}, at 40 % of its peak")


def _show_fit(config: Config, needs: Plan) -> None:
    """Whether the run fits into this machine's memory, and which dense classifiers do."""
    fits = "fits" if needs.peak <= needs.available else "does NOT fit"
    show(f"peak of this machine's memory: {needs.peak / 1e9:.2f} GB, free: {needs.available / 1e9:.2f} GB: {fits}")
    if needs.advice:
        show(needs.advice)
    if not config.dense.epochs:
        show("dense classifiers: none are trained, as dense.epochs=0")
        return
    for name, needed in needs.classifiers.items():
        verdict = "fits" if needed <= needs.available else "does not fit"
        show(f"with dense classifiers, {name}: {needed / 1e9:.2f} GB, {verdict}")
    show(f"most exact dense classifiers that fit: {needs.fitting or 'none; dense.epochs=0 trains without them'}")
