"""``ramen cache`` on a folder of its own."""

import pytest

OWN = f"vectors-{'0a' * 16}.safetensors"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    monkeypatch.setenv("RAMEN_CACHE", str(path))
    return path


def test_show_lists_ramens_files_and_their_size(ramen, folder):
    folder.mkdir()
    (folder / OWN).write_bytes(bytes(2_500_000))
    (folder / "other.safetensors").write_bytes(bytes(9))
    done = ramen("cache", "show")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(folder), f"  {OWN}  2.5 MB", "files: 1, 2.5 MB"]


def test_clear_removes_ramens_files_only(ramen, folder):
    folder.mkdir()
    others = ["other.safetensors", "vectors-0a.safetensors", f"{OWN}.txt", f"my-{OWN}"]
    for name in [OWN, f"{OWN}.part-17", *others]:
        (folder / name).write_bytes(b"x")
    (folder / f"vectors-{'f' * 32}.safetensors").mkdir()
    done = ramen("cache", "clear")
    assert (done.returncode, done.stderr) == (0, "")
    removed = {line.split()[1] for line in done.stdout.splitlines()}
    assert removed == {str(folder / OWN), str(folder / f"{OWN}.part-17")}
    assert {path.name for path in folder.iterdir()} == {*others, f"vectors-{'f' * 32}.safetensors"}


@pytest.mark.parametrize("there", [True, False])
def test_nothing_to_clear_is_no_error(ramen, folder, there):
    if there:
        folder.mkdir()
    done = ramen("cache", "clear")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"nothing to remove in {folder}\n", "")
    done = ramen("cache", "show")
    assert (done.returncode, done.stdout) == (0, f"{folder}\nfiles: 0, 0.0 MB\n")
    assert folder.exists() == there


def test_a_file_in_place_of_the_folder_is_one_line(ramen, folder):
    folder.write_text("")
    for verb in ("show", "clear"):
        done = ramen("cache", verb)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"ramen: Not a directory: {folder}\n")


def test_it_loads_no_torch(ramen_process, folder):
    code = "import atexit, sys\natexit.register(lambda: print({'torch', 'transformers'} & set(sys.modules)))\n"
    done = ramen_process("cache", "show", code=code)
    assert done.stdout.endswith("set()\n")
