"""The model card of a run: ``README.md`` with figures, data, settings and use, and the metadata that the hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ramen._version import __version__
from ramen.config import Config, load_config, read_config
from ramen.errors import InputError
from ramen.files import replacing
from ramen.inference.run import LABELS, MANIFEST, files_of
from ramen.settings import as_tree, flat

if TYPE_CHECKING:
    from ramen.data.dataset import Dataset

CARD = "README.md"
_SHOWN = ("P@1", "P@5", "nDCG@5", "PSP@5", "R@10")
_F1 = {"micro-F1": "auto", "macro-F1": "labels"}  # each at the kind of threshold that is chosen for it
_TAGS = ("ramen", "extreme-classification", "multi-label-classification")
# What the hub calls a licence; any other is "other" there, with its name.
_LICENCES = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-3.0", "cc-by-sa-4.0",
    "cc-by-sa-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "odbl", "odc-by", "pddl", "gpl-3.0", "gpl-2.0",
    "lgpl-3.0", "agpl-3.0", "mpl-2.0", "unlicense", "gfdl",
}  # fmt: skip
_BY_PRESET = {"preset", "seed", "graphs"}
_TEXT = """\
## Use

    pip install ramen-xc            # a transformer also needs: pip install 'ramen-xc[train]'

```python
import ramen

tagger = ramen.load("{name}")       # this folder, or USER/NAME on the hub
tagger.tag(["{text}"], k=5)
```

    ramen tag {name} "{text}"

`tagger.tag(texts, why=True)` explains each label, `ramen serve` answers over HTTP.

## Limits

The labels are those of the training data and whatever was added since; a text of another kind or language gets
labels, too. Probabilities are calibrated on held-out points like those of training. The run holds the texts of its
labels, words of the training texts and, for explanations, their titles or beginnings: share it only if you may share
these.

## Safety

Arrays are safetensors, everything else is JSON, YAML or text: no pickle, and no code of this folder is executed.
Loading checks the hash of every file that the manifest lists, and the values of every array. A hash tells of
accidents, not of intent: load runs of people you trust.
"""


def data_facts(dataset: Dataset) -> dict[str, Any]:
    """Return what the card says of a data set, for ``metrics.json`` under ``"data"``.

    Example:
        ``data_facts(ramen.load_dataset("data/planted"))["points"]``
    """
    card = asdict(dataset.card)
    facts = {key: card[key] for key in ("name", "title", "origin", "licence") if card[key]}
    sizes = {"points": len(dataset.train), "test_points": len(dataset.test), "labels": dataset.n_labels}
    return {**facts, **sizes, "pairs": int(dataset.train_targets.nnz), "graphs": sorted(dataset.graphs)}


def write_card(run: Path) -> None:
    """Write the card of a finished run, unless there is one: people edit theirs.

    Example:
        ``write_card(Path("runs/a"))``
    """
    if (run / CARD).exists():
        return
    text = model_card(run)
    with replacing(run / CARD) as part:
        part.write_text(text, encoding="utf-8")


def model_card(run: str | Path) -> str:
    """Return the text of the card of a finished run, by its own files alone.

    Args:
        run: its folder.

    Raises:
        InputError: the settings or figures are not those of a run.

    Example:
        ``model_card("runs/a").splitlines()[1]`` is ``"library_name: ramen"``.
    """
    run = Path(run)
    config, figures = read_config(run / "config.yaml"), _figures(run)
    data = figures.get("data", {})
    name = run.resolve().name
    about = f"{data['labels']:,} labels, learned from {data['points']:,} texts" if data else "labels for texts"
    head = yaml.safe_dump(_metadata(name, figures), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{head}---\n",
        f"# {_line(name)}\n\nA run of [RAMEN](https://pypi.org/project/ramen-xc/) that tags texts: {about}.\n",
        _results(figures),
        _data(data),
        _settings(config, figures, run),
        _TEXT.format(name=_line(name), text="a text to tag"),
    ]
    return "\n".join(filter(None, parts))


def _figures(run: Path) -> dict[str, Any]:
    path = run / "metrics.json"
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not the figures of a run: {error}") from error
    if not isinstance(figures, dict):
        raise InputError(f"{path}: found {type(figures).__name__}, expected the figures of a run")
    return figures


def _shown(figures: Mapping[str, Any]) -> dict[str, float]:
    test, f1 = figures.get("test", {}), figures.get("f1", {})
    shown = {name: float(test[name]) for name in _SHOWN if name in test}
    return shown | {name: float(f1[kind][name]) for name, kind in _F1.items() if kind in f1}


def _metadata(name: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the front matter; see https://huggingface.co/docs/hub/model-cards."""
    data, shown = figures.get("data", {}), _shown(figures)
    metadata: dict[str, Any] = {"library_name": "ramen", "pipeline_tag": "text-classification", "tags": [*_TAGS]}
    if licence := data.get("licence"):
        known = _slug(licence)
        is_known = known in _LICENCES
        metadata |= {"license": known} if is_known else {"license": "other", "license_name": known[:60].strip("-")}
    if shown:
        set_name = data.get("name", "test")
        results = {
            "task": {"type": "text-classification", "name": "Extreme classification"},
            "dataset": {"type": _slug(set_name), "name": set_name, "split": "test"},
            "metrics": [
                {"type": _slug(metric.replace("@", "-at-")), "name": metric, "value": round(value, 2)}
                for metric, value in shown.items()
            ],
        }
        metadata |= {"metrics": [*shown], "model-index": [{"name": name, "results": [results]}]}
    return metadata


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.casefold()).strip("-.") or "unnamed"


def _results(figures: Mapping[str, Any]) -> str:
    shown, intervals = _shown(figures), figures.get("intervals", {})
    if not shown:
        has_test = figures.get("data", {}).get("test_points")
        without = "The data set has no test split: nothing was measured on one."
        why = "Nothing has been measured on the test split yet." if has_test else without
        return f"## Figures\n\n{why}\n"
    lines = ["| metric | test, % | 95 % interval |", "|---|---|---|"]
    for name, value in shown.items():
        interval = "{:.1f} to {:.1f}".format(*intervals[name]) if name in intervals else ""
        lines.append(f"| {name} | {value:.1f} | {interval} |")
    points = f"On {figures['points']:,} test points, measured once. " if "points" in figures else ""
    constants = figures.get("propensity", {})
    psp = "PSP has the propensity constants A {A}, B {B}.".format(**constants) if constants else ""
    parts = [points + psp, _of_thresholds(figures["f1"])] if "f1" in figures else [points + psp]
    return "\n".join(["## Figures", "", *lines, "", *parts, ""])


def _of_thresholds(f1: Mapping[str, Any]) -> str:
    auto = f1["auto"]
    return (
        "F1 is that of the labels that reach a threshold chosen on held-out points: for micro-F1 a probability of "
        f'{auto["threshold"]:.3f} (`threshold="auto"`, {auto["labels per text"]:.1f} labels per text), for macro-F1 '
        'one for each label (`threshold="labels"`).'
    )


def _data(data: Mapping[str, Any]) -> str:
    if not data:
        return ""
    title = f": {_line(data['title'])}" if "title" in data else ""
    rows = {
        "size": f"{data['points']:,} training points, {data['test_points']:,} test points, {data['labels']:,} labels, "
        f"{data['pairs']:,} training pairs",
        "graphs": ", ".join(map(_line, data["graphs"])) or "none",
        "source": _line(data.get("origin", "not stated")),
        "licence": _line(data.get("licence", "not stated")),
    }
    lines = [f"- {key}: {value}" for key, value in rows.items()]
    return "\n".join(["## Data", "", f"{_line(data['name'])}{title}", "", *lines, ""])


def _settings(config: Config, figures: Mapping[str, Any], run: Path) -> str:
    usual = dict(flat(as_tree(load_config(config.preset))))
    changed = {key: value for key, value in flat(as_tree(config)) if key not in _BY_PRESET and usual[key] != value}
    files = files_of(run)
    size = sum((run / name).stat().st_size for name in (*files, MANIFEST))
    scorers = json.loads((run / MANIFEST).read_text())["scorers"]
    ranking = figures.get("chosen", {}).get("ranking", "")
    rows = {
        "preset, seed": f"`{config.preset}`, {config.seed}",
        "other than the preset": ", ".join(f"`{key}={_setting(value)}`" for key, value in changed.items()) or "nothing",
        "graphs in training": _graphs(config, figures.get("chosen", {})),
        "scorers": ", ".join(scorers) + (f"; ranking: {_line(str(ranking))}" if ranking else ""),
        "size": f"{size / 1e6:,.1f} MB in {len(files) + 1} files, labels in `{LABELS}`",
        "trained with": f"ramen {__version__}",
    }
    return "\n".join(["## Settings", "", *(f"- {key}: {value}" for key, value in rows.items()), ""])


def _graphs(config: Config, chosen: Mapping[str, Any]) -> str:
    """Return what the search made of the graphs: the encoder's, and those whose words the sparse scorer uses."""
    if not config.graphs:
        return "none"
    weights = chosen.get("graphs", {}).get("lambdas", {})
    anchors = chosen.get("scorers", {}).get("sparse", {}).get("anchors", {})
    uses = {
        "encoder": [name for name in config.graphs if max(weights.get(name, (0.0, 0.0))) > 0],
        "sparse classifiers": [name for name in config.graphs if anchors.get(name)],
    }
    return "; ".join(f"{part}: {', '.join(map(_line, names)) or 'none'}" for part, names in uses.items())


def _setting(value: object) -> str:
    """Return a value in one line; of a path on this machine its last part alone."""
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~")) else _line(str(value))


def _line(text: str) -> str:
    """Return text of the user in one line without marks that Markdown or HTML would read."""
    return re.sub(r"([\\`*<>\[\]|])", r"\\\1", " ".join(text.split()))
