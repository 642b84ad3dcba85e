"""Presets, overrides, and what is refused."""

import pytest
import yaml

from ramen.config import PRESETS, Config, config_yaml, load_config, read_config
from ramen.errors import InputError
from ramen.settings import as_tree

SHIPPED = sorted(path.stem for path in PRESETS.glob("*.yaml"))


def test_the_two_presets_are_shipped():
    assert {"static", "transformer"} <= set(SHIPPED)


@pytest.mark.parametrize("preset", SHIPPED)
def test_every_preset_loads_and_applies_each_of_its_keys(preset):
    config = as_tree(load_config(preset))
    assert config["preset"] == preset
    for section, changes in yaml.safe_load((PRESETS / f"{preset}.yaml").read_text()).items():
        for key, value in changes.items():
            assert config[section][key] == value


def test_overrides_win_over_the_preset():
    config = load_config("transformer", ["encoder.max_tokens=7", "training.lr=1e-3"])
    assert config.encoder.max_tokens == 7
    assert config.training.lr == 0.001


def test_text_settings_may_look_like_numbers_and_hold_an_equals_sign():
    for text in ("2024", "2024-01-01", "007", "yes", "a=b", "a: {b", "a: b", "a #b"):
        assert load_config("static", [f"encoder.backbone={text}"]).encoder.backbone == text


def test_presets_do_not_share_state():
    load_config("static", ["training.epochs=99"]).graphs.append("links")
    assert load_config("static") == Config(preset="static")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "unknown key 'training.epoch': did you mean 'training.epochs'?"),
        ("training=3", "unknown key 'training'"),
        ("seed=3", "unknown key 'seed'"),
        ("training.epochs", "argument 'training.epochs': expected key=value"),
        ("training.epochs=many", "training.epochs='many': expected a whole number of at least 0"),
        ("training.epochs=2.5", "training.epochs=2.5: expected a whole number of at least 0"),
        ("training.epochs=true", "training.epochs=True: expected a whole number of at least 0"),
        ("training.epochs=", "training.epochs=None: expected a whole number of at least 0"),
        ("training.epochs=-1", "training.epochs=-1: expected a whole number of at least 0"),
        ("training.batch_size=0", "training.batch_size=0: expected a whole number of at least 1"),
        ("training.lr=0", "training.lr=0.0: expected a number above 0"),
        ("training.lr=[1]", "training.lr=[1]: expected a number above 0"),
        ("training.lr=.nan", "training.lr=nan: expected a number above 0"),
        ("training.lr=nan", "training.lr=nan: expected a number above 0"),
        ("training.lr=.inf", "training.lr=inf: expected a number above 0"),
        ("training.lr=1e999", "training.lr=inf: expected a number above 0"),
        ("graph.lambda_x=-0.1", "graph.lambda_x=-0.1: expected a number of at least 0"),
        ("encoder.kind=statc", "encoder.kind='statc': expected one of static, transformer"),
        ("encoder.kind=hlm", "encoder.kind=hlm was renamed to encoder.kind=distilled"),
        ("dense.kind=dense", "dense.kind=dense was renamed to dense.kind=full"),
        ("encoder.pooling=max", "encoder.pooling='max': expected one of mean, cls, last"),
        ("training.loss=hinge", "training.loss='hinge': expected one of softmax, triplet"),
        ("validation.share=1", "validation.share=1.0: expected a number of at least 0 and below 1"),
    ],
)
def test_bad_overrides_name_key_value_and_what_was_expected(override, message):
    with pytest.raises(InputError) as caught:
        load_config("static", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_preset_names_the_nearest():
    with pytest.raises(InputError, match="unknown preset 'statik': did you mean 'static'"):
        load_config("statik")


def test_every_key_can_be_overridden_by_its_own_value():
    config = load_config("transformer")
    sections = {section: values for section, values in as_tree(config).items() if isinstance(values, dict)}
    overrides = [f"{section}.{key}={value}" for section, values in sections.items() for key, value in values.items()]
    assert load_config("transformer", overrides) == config


def test_a_number_of_epochs_wins_over_bounds_that_are_not_given():
    training = load_config("static", ["training.epochs=300"]).training
    assert (training.epochs, training.min_steps, training.max_steps) == (300, 0, 0)
    config = load_config("static", ["training.epochs=300", "training.max_steps=50", "graph.min_steps=7"])
    assert (config.training.min_steps, config.training.max_steps, config.graph.min_steps) == (0, 50, 7)
    assert load_config("static", ["training.lr=1e-3"]).training.max_steps == 480


@pytest.mark.parametrize("preset", SHIPPED)
def test_round_trip(tmp_path, preset):
    config = load_config(preset, ["training.lr=3e-7", "encoder.backbone=a b: 'c'", "validation.share=0"])
    config.graphs, config.seed = ["links", "größe"], 12
    (tmp_path / "config.yaml").write_text(config_yaml(config), encoding="utf-8")
    assert read_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("text", ["", "- a\n", "a: [", "just words"])
def test_damaged_settings_of_a_run(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match="config.yaml: not the settings of a run"):
        read_config(tmp_path / "config.yaml")


def test_settings_of_a_run_that_are_missing_or_unknown(tmp_path):
    with pytest.raises(InputError, match="not the settings of a run"):
        read_config(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("training: {epochs: 3, rounds: 4}\n")
    with pytest.raises(InputError, match="unknown key 'training.rounds'"):
        read_config(tmp_path / "config.yaml")


def test_the_short_form_of_a_distilled_encoder():
    config = load_config("static", ["encoder=hlm:runs/hlm"])
    assert config.encoder.kind == "distilled" and config.encoder.backbone == "runs/hlm"
    config = load_config("static", ["encoder=runs/a"])
    assert config.encoder.kind == "distilled" and config.encoder.backbone == "runs/a"


def test_a_preset_s_warm_up_is_shortened_with_its_training():
    preset = "LF-WikiSeeAlsoTitles-320K"
    assert load_config(preset, ["training.epochs=30"]).training.warmup_steps == 10
    assert load_config(preset, ["training.epochs=1"]).training.warmup_steps == 1
    assert load_config(preset, ["training.epochs=900"]).training.warmup_steps == 100
    assert load_config(preset, ["training.epochs=30", "training.warmup_steps=77"]).training.warmup_steps == 77
