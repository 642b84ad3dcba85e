"""Pictures: read from files, made ready for the network, written; and where on them the eye is."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from skimage import exposure, filters, measure, morphology

from ramen.errors import InputError
from ramen.files import replacing

MIN_SIDE = 64  # pixels; a tile of the contrast's equalisation would hold less than 8
_LUMINANCE = (0.299, 0.587, 0.114)
_CLIP = 0.01  # of scikit-image; see ready()
_GAMMA = 1 / 1.2
_LIT = 0.06  # of the picture's brightest percent: what is darker is not the eye
_TINT = (0, 230, 255)  # no retina has it


def read(path: Path) -> np.ndarray:
    """A photograph, uint8 ``(height, width, 3)``, as a viewer shows it.

    jpg, png, tif, gif, ppm and whatever else Pillow reads, also packed with gzip. Transparent parts become black, as
    around the field of view; greys of more than 8 bits are stretched to 0..255; a camera's note of rotation is heeded.

    Raises:
        InputError: missing, no picture, truncated, of several pages, a side of less than 64 pixels, or all of one tone.
    """
    picture = _opened(path)
    pages = getattr(picture, "n_frames", 1)
    if pages > 1:
        raise InputError(f"{path}: found {pages} pages, expected one picture")
    width, height = picture.size
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{path}: found {width} x {height} pixels, expected sides of at least {MIN_SIDE}")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode[0] in "IF":  # 16 bits, 32 bits, floats
        values = np.asarray(picture, dtype=np.float64)
        if not np.isfinite(values).all():
            raise InputError(f"{path}: holds values that are no finite numbers")
        grey = np.rint(255 * _stretched(values)).astype(np.uint8)
        pixels = np.repeat(grey[:, :, None], 3, axis=2)
    elif picture.has_transparency_data:
        seen = picture.convert("RGBA")
        pixels = np.asarray(Image.alpha_composite(Image.new("RGBA", seen.size, "black"), seen).convert("RGB"))
    else:
        pixels = np.asarray(picture.convert("RGB"))
    if all(np.ptp(channel) == 0 for channel in np.moveaxis(pixels, 2, 0)):
        raise InputError(f"{path}: all pixels are alike, expected a photograph")
    return pixels


def read_mask(path: Path, size: tuple[int, int], of: Path) -> np.ndarray:
    """A drawn mask as bool ``(height, width)``: what is lighter than half of the lightest.

    Args:
        path: picture of two tones.
        size: height and width that it must have.
        of: the photograph that has them, for the message.

    Raises:
        InputError: missing, no picture, truncated, or of another size.
    """
    picture = np.asarray(_opened(path).convert("L"))
    if picture.shape != size:
        raise InputError(
            f"{path}: found {picture.shape[1]} x {picture.shape[0]} pixels, expected {size[1]} x {size[0]} as in {of}"
        )
    return picture > picture.max() / 2


def _opened(path: Path) -> Image.Image:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: missing, expected a picture") from None
    except PermissionError:
        raise InputError(f"{path}: no permission to read it") from None
    except UnidentifiedImageError:
        raise InputError(f"{path}: not a picture, expected jpg, png, tif, gif or ppm") from None
    except Exception as error:  # whatever a damaged file makes of the reader
        raise InputError(f"{path}: truncated or damaged picture ({error})") from error
    return picture


def _stretched(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def ready(photograph: np.ndarray) -> np.ndarray:
    """What the network reads: grey, stretched, equalised tile by tile (CLAHE), brightened by a gamma of 1.2.

    The steps are those of LadderNet's published code, whose CLAHE is OpenCV's with a clip limit of 2.0 and 8 x 8 tiles.
    Here it is scikit-image's, on 8 x 8 tiles as well. Its limit is another measure, a share of a tile's pixels in one
    of its bins: 0.01 gives nearly the same picture (a test compares the two), where 2.0 would clip nothing.

    Args:
        photograph: uint8 ``(height, width, 3)``.

    Returns:
        float32 ``(height, width)`` in [0, 1].
    """
    grey = _stretched(photograph @ np.array(_LUMINANCE))
    return (exposure.equalize_adapthist(grey, clip_limit=_CLIP) ** _GAMMA).astype(np.float32)


def field_of_view(photograph: np.ndarray) -> np.ndarray:
    """Where the eye is, bool ``(height, width)``: the convex hull of the largest part that is not black.

    Args:
        photograph: uint8 ``(height, width, 3)``.
    """
    light = filters.gaussian(photograph.max(axis=2).astype(np.float32), 2)
    parts = measure.label(light > _LIT * np.percentile(light, 99))
    largest = np.bincount(parts.ravel())[1:].argmax() + 1
    return morphology.convex_hull_image(parts == largest)


def write(path: Path, pixels: np.ndarray) -> None:
    """A picture, in the format that the name says; written beside, then renamed.

    Args:
        path: file to write.
        pixels: uint8 or bool ``(height, width)``, or uint8 ``(height, width, 3)``.
    """
    with replacing(path) as part:
        Image.fromarray(pixels).save(part, format=Image.registered_extensions()[path.suffix.lower()])


def overlay(photograph: np.ndarray, vessels: np.ndarray) -> np.ndarray:
    """The photograph with the vessels tinted.

    Args:
        photograph: uint8 ``(height, width, 3)``.
        vessels: bool ``(height, width)``.
    """
    tinted = photograph.astype(np.float32)
    tinted[vessels] = 0.35 * tinted[vessels] + 0.65 * np.array(_TINT, dtype=np.float32)
    return tinted.astype(np.uint8)
