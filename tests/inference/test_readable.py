"""Whoever may read new files of the user may read a run: a service has another user than training."""

import os
import shutil

import pytest

from ramen.inference.build_index import build_index
from ramen.inference.labels import add_labels


def modes(folder):
    paths = [folder, *folder.rglob("*")]
    return {path.relative_to(folder.parent).as_posix(): path.stat().st_mode & 0o777 for path in paths}


@pytest.fixture
def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_every_file_and_folder_has_the_mode_of_the_umask(finished_run, tmp_path, umask):
    run = shutil.copytree(finished_run, tmp_path / "run")  # with its modes
    build_index(run, min_rows=0)
    add_labels(run, [{"uid": "new", "text": "a new label"}])
    found = modes(run)
    files = {"run/encoder/model.safetensors", "run/manifest.json", "run/config.yaml"}
    assert files < set(found) and any(name.startswith("run/index/") for name in found)
    folders = {name for name in found if (tmp_path / name).is_dir()}
    closed = {name: oct(mode) for name, mode in found.items() if mode != (0o777 if name in folders else 0o666) & ~umask}
    assert closed == {}
