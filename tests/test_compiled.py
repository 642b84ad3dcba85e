"""Kernels are kept on disk where there is a place for them, and work where there is none."""

import subprocess
import sys

import pytest
from numba.core import caching

from ramen.compiled import kernel

# Nothing but what is named in ALLOWED can be written: as for a container's user without a home.
CLOSED = """
import os, tempfile
from numba.core import caching
def ensure(self, real=caching._CacheLocator.ensure_cache_path):
    if not self.get_cache_path().startswith(os.environ["ALLOWED"]):
        raise PermissionError(13, "Permission denied", self.get_cache_path())
    real(self)
caching._CacheLocator.ensure_cache_path = ensure
import numpy as np
from ramen.mining.nearest import nearest
print(nearest(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 1)[0].ravel().tolist())
"""


def run(monkeypatch, **environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    done = subprocess.run([sys.executable, "-c", CLOSED], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "[0, 1]\n", done.stderr
    return done.stderr.splitlines()


def test_a_full_disk_costs_no_answer(monkeypatch, caplog):
    def full(*asked):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    for value in (3, 3.0):

        @kernel
        def twice(x):
            return 2 * x

        assert twice(value) == 6
    (said,) = [record.message for record in caplog.records]
    assert "not kept" in said and "No space left" in said


@pytest.mark.slow
def test_without_a_writable_home_they_go_to_the_cache_folder(tmp_path, monkeypatch):
    (said,) = run(monkeypatch, ALLOWED=tmp_path, RAMEN_CACHE=tmp_path / "cache", NUMBA_CACHE_DIR="")
    assert str(tmp_path / "cache" / "kernels") in said
    assert list((tmp_path / "cache").rglob("*.nbi"))


@pytest.mark.slow
def test_or_to_a_temporary_folder_that_nobody_else_can_write(tmp_path, monkeypatch):
    monkeypatch.delenv("RAMEN_CACHE")
    (said,) = run(monkeypatch, ALLOWED=tmp_path, TMPDIR=tmp_path, NUMBA_CACHE_DIR="")
    (folder,) = tmp_path.glob("ramen-kernels-*")
    assert str(folder) in said and list(folder.rglob("*.nbi")) and folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_or_nowhere(tmp_path, monkeypatch):
    for folder in tmp_path / "cache" / "kernels", tmp_path / "tmp":
        folder.mkdir(parents=True)
        folder.chmod(0o777)  # what others may write is not trusted: its files are run
    (tmp_path / "tmp" / f"ramen-kernels-{__import__('os').getuid()}").symlink_to(tmp_path / "cache" / "kernels")
    (said,) = run(
        monkeypatch, ALLOWED="/nowhere", RAMEN_CACHE=tmp_path / "cache", TMPDIR=tmp_path / "tmp", NUMBA_CACHE_DIR=""
    )
    assert "compiled anew by each process" in said and "RAMEN_CACHE" in said
    assert not list(tmp_path.rglob("*.nb*"))
