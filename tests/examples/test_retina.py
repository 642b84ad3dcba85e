"""examples/retina.py with a network that nobody trained."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attention_wnet.config import ModelConfig
from attention_wnet.segmenter import Segmenter, build

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "retina.py"


def test_it_writes_pictures_of_the_photographs_size(tmp_path):
    torch.manual_seed(0)
    config = ModelConfig(filters=2)
    Segmenter(build(config), config, 0.5, 300.0).save(tmp_path / "model.safetensors")
    command = [sys.executable, str(SCRIPT), "model.safetensors", "out"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "of the field of view is vessel" in done.stdout
    assert np.asarray(Image.open(tmp_path / "out" / "retina_overlay.png")).shape == (1411, 1411, 3)


def test_it_says_what_it_wants(tmp_path):
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, cwd=tmp_path, timeout=200)
    assert done.returncode == 1 and "python examples/retina.py RUN" in done.stderr
