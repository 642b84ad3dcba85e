"""Layouts, pairs and splits of data sets."""

import gzip
import shutil

import numpy as np
import pytest
from PIL import Image

from attention_wnet.sets import read_sample, read_set
from ramen.errors import InputError


def _chase_flat(folder, eye):
    for subject in range(1, 15):
        for index, side in enumerate("LR"):
            photograph, vessels = eye(2 * subject + index)
            name = f"Image_{subject:02}{side}"
            photograph.save(folder / f"{name}.jpg")
            vessels.convert("1").save(folder / f"{name}_1stHO.png")
            vessels.convert("1").save(folder / f"{name}_2ndHO.png")
    return ("Image_01L", 16, 4, 8)


def _drive(folder, eye):
    for part, word, numbers in (("training", "training", range(21, 26)), ("test", "test", range(1, 4))):
        for kind in ("images", "1st_manual", "mask", *(["2nd_manual"] if part == "test" else [])):
            (folder / part / kind).mkdir(parents=True)
        for number in numbers:
            photograph, vessels = eye(number)
            name = f"{number:02}"
            photograph.save(folder / part / "images" / f"{name}_{word}.tif")
            vessels.save(folder / part / "1st_manual" / f"{name}_manual1.gif")
            view = np.asarray(photograph).max(axis=2) > 50
            Image.fromarray(view.astype(np.uint8) * 255).save(folder / part / "mask" / f"{name}_{word}_mask.gif")
            if part == "test":
                vessels.save(folder / part / "2nd_manual" / f"{name}_manual2.gif")
    return ("21", 4, 1, 3)


def _stare(folder, eye):
    for kind in ("stare-images", "labels-ah", "labels-vk"):
        (folder / kind).mkdir()

    def pack(picture, path):
        picture.save(path)
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()

    for number in range(1, 22):
        photograph, vessels = eye(number)
        name = f"im{number:04}"
        pack(photograph, folder / "stare-images" / f"{name}.ppm")
        if number < 21:  # not every photograph of STARE is drawn
            pack(vessels, folder / "labels-ah" / f"{name}.ah.ppm")
            pack(vessels, folder / "labels-vk" / f"{name}.vk.ppm")
    return ("im0001", 8, 2, 10)


@pytest.mark.parametrize("layout", [_chase_flat, _drive, _stare])
def test_layouts(layout, eye, tmp_path):
    first, *sizes = layout(tmp_path, eye)
    splits = [read_set(tmp_path, split) for split in ("train", "validation", "test")]
    assert [len(split) for split in splits] == sizes
    assert splits[0][0].name == first
    names = [case.name for split in splits for case in split]
    assert len(set(names)) == len(names)
    sample = read_sample(splits[2][0])
    assert sample.photograph.shape == (96, 112, 3)
    assert sample.second is not None and (sample.second == sample.vessels).all()
    assert (splits[2][0].view is not None) == (layout is _drive)
    assert sample.vessels[sample.view].any()


def test_chase_keeps_a_subjects_eyes_together(eye, tmp_path):
    _chase_flat(tmp_path, eye)
    assert [case.name for case in read_set(tmp_path, "validation")] == [
        f"Image_{n}" for n in ("09L", "09R", "10L", "10R")
    ]
    assert read_set(tmp_path, "test")[0].name == "Image_11L"


def test_plain_folders(plain_set):
    assert [case.name for case in read_set(plain_set, "train")] == ["eye0", "eye1", "eye2", "eye3"]
    assert [case.name for case in read_set(plain_set, "validation")] == ["eye4"]
    assert all(case.second for case in read_set(plain_set, "test"))
    assert read_sample(read_set(plain_set, "train")[0]).second is None


def test_missing_pairs_are_named(write_eyes, tmp_path):
    folder = write_eyes(tmp_path / "eyes")
    (folder / "train" / "vessels" / "eye1.png").unlink()
    (folder / "train" / "images" / "eye2.png").unlink()
    with pytest.raises(InputError) as caught:
        read_set(folder, "train")
    message = str(caught.value)
    assert f"missing {folder}/train/vessels/eye1.png, {folder}/train/images/eye2.png" in message or (
        f"{folder}/train/images/eye2.png" in message and f"{folder}/train/vessels/eye1.png" in message
    )
    assert len(read_set(folder, "test")) == 2, "the other split is whole"


@pytest.mark.parametrize("layout", [_chase_flat, _drive, _stare])
def test_missing_pairs_of_each_layout(layout, eye, tmp_path):
    layout(tmp_path, eye)
    case = read_set(tmp_path, "train")[1]
    case.photograph.unlink()
    with pytest.raises(InputError, match="pairs are not whole") as caught:
        read_set(tmp_path, "train")
    assert case.name in str(caught.value)


def test_folders_that_are_no_sets(write_eyes, tmp_path):
    with pytest.raises(InputError, match="missing, expected the folder of a data set"):
        read_set(tmp_path / "none", "train")
    with pytest.raises(InputError, match="found none of the layouts CHASE_DB1, DRIVE, STARE, plain"):
        read_set(tmp_path, "train")
    folder = write_eyes(tmp_path / "eyes", train=1)
    with pytest.raises(InputError, match="found one eye to train on"):
        read_set(folder, "train")
    shutil.rmtree(folder / "train")
    with pytest.raises(InputError, match="no photographs to train on"):
        read_set(folder, "train")


def test_masks_that_are_no_drawings_of_vessels(write_eyes, eye, tmp_path):
    folder = write_eyes(tmp_path / "eyes")
    mask = folder / "train" / "vessels" / "eye0.png"
    case = read_set(folder, "train")[0]

    def refused():
        with pytest.raises(InputError) as caught:
            read_sample(case)
        assert str(caught.value).startswith(f"{mask}: ")
        return str(caught.value)

    vessels = eye(0)[1]
    Image.new("L", vessels.size).save(mask)
    assert "no vessels at all" in refused()
    Image.fromarray(255 - np.asarray(vessels)).save(mask)
    assert "is white, expected white vessels on black" in refused()
    vessels.resize((50, 60)).save(mask)
    assert "found 50 x 60 pixels, expected 112 x 96" in refused()
    mask.write_bytes(b"text")
    assert "not a picture" in refused()


def test_chase_db1_as_it_is(real_data):
    folder = real_data("CHASE_DB1")
    splits = {split: read_set(folder, split) for split in ("train", "validation", "test")}
    assert [len(split) for split in splits.values()] == [16, 4, 8]
    sample = read_sample(splits["test"][0])
    assert sample.photograph.shape == (960, 999, 3) and sample.case.name == "Image_11L"
    assert 0.65 < sample.view.mean() < 0.75
    assert sample.vessels[~sample.view].sum() < 0.001 * sample.vessels.sum()
    second = sample.second
    dice = 2 * (second & sample.vessels).sum() / (second.sum() + sample.vessels.sum())
    assert 0.7 < dice < 0.9
