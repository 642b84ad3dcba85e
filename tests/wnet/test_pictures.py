"""Reading any photograph, or one clear error; getting it ready; the field of view."""

import gzip

import numpy as np
import pytest
from PIL import Image
from skimage import data

from attention_wnet import pictures
from ramen.errors import InputError


@pytest.mark.parametrize("name", ["eye.jpg", "eye.png", "eye.tif", "eye.ppm", "eye.gif", "EYE.JPG"])
def test_formats(eye, tmp_path, name):
    photograph = eye(0)[0]
    photograph.save(tmp_path / name, **({"quality": 95} if name.lower().endswith("jpg") else {}))
    found = pictures.read(tmp_path / name)
    assert found.shape == (96, 112, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - np.asarray(photograph)).mean() < 8


def test_a_packed_picture(eye, tmp_path):
    photograph = eye(0)[0]
    photograph.save(tmp_path / "eye.ppm")
    (tmp_path / "eye.ppm.gz").write_bytes(gzip.compress((tmp_path / "eye.ppm").read_bytes()))
    assert (pictures.read(tmp_path / "eye.ppm.gz") == np.asarray(photograph)).all()


def test_alpha_is_laid_on_black(eye, tmp_path):
    pixels = np.full((80, 90, 4), 200, dtype=np.uint8)
    pixels[:, :45, 3], pixels[:, 45:, 3] = 0, 255
    Image.fromarray(pixels).save(tmp_path / "eye.png")
    found = pictures.read(tmp_path / "eye.png")
    assert (found[:, :45] == 0).all() and (found[:, 45:] == 200).all()


def test_16_bits_are_stretched(eye, tmp_path):
    grey = np.asarray(eye(0)[0].convert("L")).astype(np.uint16)
    for name in ("eye.png", "eye.tif"):
        Image.fromarray(grey * 16).save(tmp_path / name)  # 12 bits of 16, as cameras give
        found = pictures.read(tmp_path / name)
        assert found.min() == 0 and found.max() == 255
        expected = 255 * (grey - grey.min()) / np.ptp(grey)
        assert np.abs(found[:, :, 0] - expected).max() <= 0.5
    plain = tmp_path / "plain.png"
    eye(0)[0].convert("L").save(plain)
    np.testing.assert_allclose(pictures.ready(pictures.read(plain)), pictures.ready(found), atol=0.02)


def test_a_note_of_rotation_is_heeded(eye, tmp_path):
    photograph = eye(0)[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    photograph.save(tmp_path / "eye.png", exif=exif)
    assert pictures.read(tmp_path / "eye.png").shape == (112, 96, 3)


def _bytes(photograph, path):
    photograph.save(path)
    return path.read_bytes()


BAD = {
    "a text": (lambda eye, path: b"no picture at all", "not a picture, expected jpg"),
    "empty": (lambda eye, path: b"", "not a picture, expected jpg"),
    "truncated": (lambda eye, path: _bytes(eye, path)[:2000], "truncated or damaged picture"),
    "one pixel": (
        lambda eye, path: _bytes(eye.resize((1, 1)), path),
        "found 1 x 1 pixels, expected sides of at least 64",
    ),
    "a strip": (lambda eye, path: _bytes(eye.resize((500, 20)), path), "found 500 x 20 pixels"),
    "one tone": (lambda eye, path: _bytes(Image.new("RGB", (80, 80), "red"), path), "all pixels are alike"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_bad_pictures_are_named(eye, tmp_path, kind, suffix):
    path = tmp_path / f"bad.{suffix}"
    make, message = BAD[kind]
    path.write_bytes(make(eye(0)[0], path))
    with pytest.raises(InputError) as caught:
        pictures.read(path)
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)


def test_missing_pages_and_folders(eye, tmp_path):
    with pytest.raises(InputError, match=r"none.png: missing, expected a picture"):
        pictures.read(tmp_path / "none.png")
    with pytest.raises(InputError, match="missing, expected a picture"):
        pictures.read(tmp_path)
    pages = [eye(seed)[0] for seed in range(3)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match="found 3 pages, expected one picture"):
        pictures.read(tmp_path / "pages.tif")
    values = np.ones((80, 80), dtype=np.float32)
    values[3, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "nan.tif")
    with pytest.raises(InputError, match="no finite numbers"):
        pictures.read(tmp_path / "nan.tif")


def test_masks_of_any_two_tones(eye, tmp_path):
    drawn = np.asarray(eye(0)[1]) > 0
    of = tmp_path / "eye.jpg"
    for name, mask in (
        ("bits.png", Image.fromarray(drawn)),
        ("ones.png", Image.fromarray(drawn.astype(np.uint8))),
        ("bytes.gif", Image.fromarray(drawn.astype(np.uint8) * 255)),
    ):
        mask.save(tmp_path / name)
        assert (pictures.read_mask(tmp_path / name, (96, 112), of) == drawn).all()
    with pytest.raises(InputError) as caught:
        pictures.read_mask(tmp_path / "bits.png", (112, 96), of)
    assert str(caught.value) == f"{tmp_path / 'bits.png'}: found 112 x 96 pixels, expected 96 x 112 as in {of}"


def test_what_the_network_reads(eye):
    found = pictures.ready(np.asarray(eye(0)[0]))
    assert found.dtype == np.float32 and found.shape == (96, 112)
    assert found.min() >= 0 and found.max() <= 1
    darker = pictures.ready((np.asarray(eye(0)[0]) // 2).astype(np.uint8))
    assert np.abs(found - darker).mean() < 0.02, "brightness as a whole does not count"


def test_the_equalisation_is_nearly_opencvs():
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    grey = data.retina() @ np.array([0.299, 0.587, 0.114])
    grey = (grey - grey.min()) / np.ptp(grey)
    theirs = cv2.createCLAHE(2.0, (8, 8)).apply(np.rint(255 * grey).astype(np.uint8)) / 255
    ours = pictures.ready(data.retina()) ** 1.2
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999
    assert np.abs(ours - theirs).mean() < 0.015


def test_the_field_of_view_is_the_disc(eye):
    rows, columns = np.ogrid[:96, :112]
    disc = ((columns - 55.5) / 52) ** 2 + ((rows - 47.5) / 44) ** 2 <= 1
    found = pictures.field_of_view(np.asarray(eye(0)[0]))
    assert (found & disc).sum() / (found | disc).sum() > 0.85
    assert pictures.field_of_view(np.asarray(eye(0)[0])[30:66, 30:80]).all(), "cut out of the disc: all of it"


def test_the_field_of_view_of_a_real_photograph():
    found = pictures.field_of_view(data.retina())
    assert 0.6 < found.mean() < 0.8
    rows, columns = np.nonzero(found)
    assert abs(np.ptp(rows) - np.ptp(columns)) < 80, "round"


def test_an_overlay_changes_vessels_alone(eye):
    photograph, vessels = (np.asarray(part) for part in eye(0))
    found = pictures.overlay(photograph, vessels > 0)
    changed = (found != photograph).any(axis=2)
    assert (changed == (vessels > 0)).all()


def test_writing_is_whole_or_not_at_all(tmp_path):
    pictures.write(tmp_path / "mask.png", np.eye(8, dtype=bool))
    assert (np.asarray(Image.open(tmp_path / "mask.png")) > 0).sum() == 8
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]
