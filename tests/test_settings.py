"""Settings as they are declared: ranges, help, renamed keys, the generated tables."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

import ramen.config
from attention_wnet.config import WNetConfig
from hlm_bridge.config import HlmConfig
from ramen.config import RENAMED, Config, load_config, read_config
from ramen.errors import InputError
from ramen.settings import as_tree, assign, declared, flat, setting, settings_table

GIVEN = {"preset", "start", "graphs", "data"}


@dataclass
class Section:
    """What the section is for."""

    share: float = setting(0.5, "Fraction a|b.", above=0, at_most=1)
    size: int = setting(20, "Pixels.", at_least=16)
    shift: float = setting(0.0, "Offset.", at_least=-1, below=1)
    free: float = setting(-3.0, "Any number.", at_least=None)
    name: str = setting("", "Name.")
    on: bool = setting(True, "Switch.")
    kind: str = setting("a", "Kind.", choices=("a", "b"))
    lambda_: int = setting(1, "A keyword.", hidden=True)


@dataclass
class Settings:
    """Two levels."""

    top: int = setting(1, "At the top.")
    given: str = "elsewhere"
    section: Section = field(default_factory=Section)


@pytest.mark.parametrize("config", [Config(), HlmConfig(), WNetConfig()], ids=lambda config: type(config).__name__)
def test_every_setting_has_help_and_a_default_in_range(config):
    values = dict(flat(as_tree(config)))
    settings = declared(config)
    assert settings.keys() == values.keys()
    for key, about in settings.items():
        assert about.allows(values[key]), key
        assert "\n" not in about.help
        assert about.help or key in GIVEN or (key == "seed" and isinstance(config, Config)), key


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("section.share", 0, "section.share=0.0: expected a number above 0 and at most 1"),
        ("section.share", 1.5, "section.share=1.5: expected a number above 0 and at most 1"),
        ("section.share", True, "section.share=True: expected a number above 0 and at most 1"),
        ("section.size", 15, "section.size=15: expected a whole number of at least 16"),
        ("section.size", "big", "section.size='big': expected a whole number of at least 16"),
        ("section.shift", -1.5, "section.shift=-1.5: expected a number of at least -1 and below 1"),
        ("section.shift", 1, "section.shift=1.0: expected a number of at least -1 and below 1"),
        ("section.free", "inf", "section.free=inf: expected a finite number"),
        ("section.name", 3, "section.name=3: expected text"),
        ("section.on", 1, "section.on=1: expected true or false"),
        ("section.kind", "c", "section.kind='c': expected one of a, b"),
        ("section.kind", None, "section.kind=None: expected one of a, b"),
        ("section.lambda", -1, "section.lambda=-1: expected a whole number of at least 0"),
        ("section.sise", 1, "unknown key 'section.sise': did you mean 'section.size'?"),
        ("section.lambda_", 1, "unknown key 'section.lambda_': did you mean 'section.lambda'?"),
        ("section", 1, "unknown key 'section'"),
        ("given", "here", "unknown key 'given'"),
    ],
)
def test_what_is_refused(key, value, expected):
    config = Settings()
    with pytest.raises(InputError) as caught:
        assign(config, key, value, reserved={"given"})
    assert expected in str(caught.value)
    assert config == Settings()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("section.share", 1),
        ("section.size", 16),
        ("section.shift", "-1e0"),
        ("section.free", -1e9),
        ("section.lambda", 0),
    ],
)
def test_bounds_belong_to_the_range_as_declared(key, value):
    config = Settings()
    assign(config, key, value)
    assert dict(flat(as_tree(config)))[key] == float(value)


OLD = {
    "training.epochs": "dense.epochs",
    "training.fan": "use dense.kind=full",
    "first.": "training.",
    "first.deep.": "graph.",
    "bandit.": "set graph.lambda=bandit",
}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("first.lr", "first.lr was renamed to training.lr"),
        ("first.deep.rows", "first.deep.rows was renamed to graph.rows"),
        ("first.lrr", "unknown key 'first.lrr': did you mean 'training.lr'?"),
        ("bandit.floor", "bandit.floor was removed: set graph.lambda=bandit"),
        ("training.fan", "training.fan was removed: use dense.kind=full"),
        ("old.key", "old.key was renamed to dense.epochs"),
    ],
)
def test_renamed_and_removed_keys_say_so(monkeypatch, tmp_path, key, message):
    monkeypatch.setattr(ramen.config, "RENAMED", {**OLD, "old.key": "dense.epochs"})
    with pytest.raises(InputError) as caught:
        load_config("static", [f"{key}=1"])
    assert message in str(caught.value)
    path = tmp_path / "config.yaml"
    section, _, name = key.rpartition(".")
    path.write_text(f"preset: static\n{section}.{name}: 1\n")
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_values_of_earlier_versions():
    with pytest.raises(InputError, match="encoder.kind=hlm was renamed to encoder.kind=distilled"):
        load_config("static", ["encoder.kind=hlm"])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("stage1.epochs", "stage1.epochs was renamed to training.epochs"),
        ("stage1.lr", "stage1.lr was renamed to training.lr"),
        ("head.kind", "head.kind was renamed to dense.kind"),
        ("stage1.epoch", "unknown key 'stage1.epoch': did you mean 'training.epochs'?"),
    ],
)
def test_sections_of_earlier_versions(tmp_path, key, message):
    with pytest.raises(InputError) as caught:
        load_config("static", [f"{key}=5"])
    assert str(caught.value) == message
    path = tmp_path / "config.yaml"
    section, _, name = key.partition(".")
    path.write_text(f"preset: static\n{section}:\n  {name}: 5\n")
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("stage1.temperature", "stage1.temperature was removed: it is fixed at 0.05"),
        ("graph.hops", "graph.hops was removed: it is fixed at 400, with graph.walks=on"),
        (
            "head.chunk",
            "head.chunk was removed: it is fixed at 100,000 labels; set dense.kind=shortlist for less memory",
        ),
    ],
)
def test_what_is_no_setting_any_more(key, message):
    with pytest.raises(InputError) as caught:
        load_config("static", [f"{key}=5"])
    assert str(caught.value) == message


def test_what_a_removed_key_names_is_a_setting():
    for old, new in RENAMED.items():
        for word in re.findall(r"[a-z]+\.[a-z_]+=\w+", new):
            load_config("static", [word])
        for name in re.findall(r"\b[a-z]+\.[a-z_]+\b", new):
            assert name in declared(Config()), old


def test_a_known_key_is_never_taken_for_a_renamed_one(monkeypatch):
    monkeypatch.setattr(ramen.config, "RENAMED", OLD)
    assert load_config("static", ["training.epochs=3"]).training.epochs == 3


def test_the_table_of_renamed_keys_leads_to_known_ones():
    known = declared(Config()).keys()
    sections = {f"{key.rpartition('.')[0]}." for key in known}
    assert not RENAMED.keys() & (known | sections)
    for old, new in RENAMED.items():
        assert " " in new or new.partition("=")[0] in (sections if old.endswith(".") else known), old


def test_the_tables_of_a_page():
    lines = settings_table(Settings()).splitlines()
    assert lines[:3] == [
        "| key | default | values | what it does |",
        "|---|---|---|---|",
        "| `top` | `1` | ≥ 0 | At the top. |",
    ]
    assert lines[4:7] == ["## section", "", "What the section is for."]
    assert lines[-7:] == [
        "| `section.share` | `0.5` | > 0, ≤ 1 | Fraction a\\|b. |",
        "| `section.size` | `20` | ≥ 16 | Pixels. |",
        "| `section.shift` | `0.0` | ≥ -1, < 1 | Offset. |",
        "| `section.free` | `-3.0` | a number | Any number. |",
        "| `section.name` | empty | text | Name. |",
        "| `section.on` | `true` | `true`, `false` | Switch. |",
        "| `section.kind` | `a` | `a`, `b` | Kind. |",
    ]
