"""What completion and ``python -m`` offer."""

import rlcompleter
import subprocess
import sys

import ramen
from ramen._version import __version__


def test_completion_shows_the_api_and_its_modules_before_they_are_loaded():
    code = "import ramen; print(*(name for name in dir(ramen) if name[0] != '_'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    offered = done.stdout.split()
    assert {"load_dataset", "from_lists", "train", "evaluate", "Tagger", "RamenClassifier", "metrics"} <= set(offered)
    assert not {"os", "importlib", "Any", "needing"} & set(offered)


def test_all_names_what_can_be_loaded():
    assert set(ramen.__all__) == {"__version__", *ramen._HOME}
    for name in [*ramen.__all__, *ramen._ROOMS]:
        assert name in dir(ramen) and getattr(ramen, name) is not None
    assert "ramen.Tagger(" in rlcompleter.Completer({"ramen": ramen}).attr_matches("ramen.Tag")


def test_python_dash_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "ramen", "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.split()[:2] == ["Usage:", "ramen"]
    version = subprocess.run([sys.executable, "-m", "ramen", "--version"], capture_output=True, text=True)
    assert version.stdout == f"ramen {__version__}\n"
