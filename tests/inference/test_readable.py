"""Whoever may read new files of the user may read a run: a service has another user than training."""

import os
import shutil

import pytest

from ramen.encoders.folder import save_folder, save_label_map
from ramen.encoders.transformer import TransformerEncoder
from ramen.files import open_to_readers
from ramen.inference.build_index import build_index
from ramen.inference.labels import add_labels


def modes(folder, bits=0o777):
    paths = [folder, *folder.rglob("*")]
    return {path.relative_to(folder.parent).as_posix(): path.stat().st_mode & bits for path in paths}


def closed(found, parent, umask):
    """Modes that differ from those of new files and folders."""
    new = {name: (0o777 if (parent / name).is_dir() else 0o666) & ~umask for name in found}
    return {name: oct(mode) for name, mode in found.items() if mode != new[name]}


@pytest.fixture
def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_every_file_and_folder_has_the_mode_of_the_umask(finished_run, tmp_path, umask):
    run = shutil.copytree(finished_run, tmp_path / "run")  # with its modes
    build_index(run, always=True)
    add_labels(run, [{"uid": "new", "text": "a new label"}])
    found = modes(run)
    files = {"run/encoder/model.safetensors", "run/manifest.json", "run/config.yaml"}
    assert files < set(found) and any(name.startswith("run/index/") for name in found)
    assert closed(found, tmp_path, umask) == {}


def test_what_only_the_owner_may_read_is_opened_and_a_shared_folder_stays_one(tmp_path, umask):
    """A folder with the group's bit hands its group on to what is made in it."""
    folder = tmp_path / "shared"
    (folder / "0_Transformer").mkdir(parents=True)
    folder.chmod(0o2700)
    (folder / "0_Transformer/model.safetensors").touch(0o600)
    open_to_readers(folder)
    found = modes(folder, 0o7777)
    assert found["shared"] == 0o2700 | 0o777 & ~umask
    assert found["shared/0_Transformer/model.safetensors"] == 0o666 & ~umask


def test_an_exported_transformer_has_the_mode_of_the_umask(tiny_backbone, tmp_path, umask):
    """Libraries write its weights as files that only the owner may read."""
    encoder = TransformerEncoder(str(tiny_backbone), "mean", 16, dim=8)
    save_folder(encoder, tmp_path / "encoder")
    save_label_map(encoder, tmp_path / "encoder")
    found = modes(tmp_path / "encoder")
    assert sum(name.endswith(".safetensors") for name in found) == 3
    assert closed(found, tmp_path, umask) == {}
