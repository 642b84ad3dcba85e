"""``ramen data`` on real folders."""


def test_prepare_then_check(ramen, tmp_path):
    done = ramen("data", "prepare", "planted", "--out", "planted", "points=100", "labels=40")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.endswith("next: ramen data check planted\n")
    assert (tmp_path / "planted" / "lbl.json.gz").is_file()

    done = ramen("data", "check", "planted")
    assert done.returncode == 0, done.stdout
    assert "n labels: 40" in done.stdout
    assert "no problems" in done.stdout
    forecast = done.stdout[done.stdout.index("no problems") :]
    for relation in ("points that share a label", "labels that share a point", "points share an anchor with their"):
        assert f"graph links: {relation}" in forecast and f"graph noise: {relation}" in forecast
    assert forecast.endswith("graph noise: uninformative, adds nothing about the labels to the text\n")
    assert "graph links: uninformative" not in forecast
    assert done.stderr == "next: ramen train planted --out runs/planted\n"


def test_check_takes_sets_without_graphs_or_too_small_to_compare(ramen, small_set):
    done = ramen("data", "check", small_set)
    assert done.returncode == 0 and "graph colour: nodes 2" in done.stdout, done.stderr
    assert "share an anchor" not in done.stdout and "uninformative" not in done.stdout
    for path in (small_set / "graphs").iterdir():
        path.unlink()
    done = ramen("data", "check", small_set)
    assert done.returncode == 0 and "graph" not in done.stdout, done.stdout + done.stderr


def test_check_prints_all_problems_and_exits_with_2(ramen, tmp_path):
    assert ramen("data", "prepare", "planted", "--out", "planted", "points=100", "labels=40").returncode == 0
    for name in ("filter_labels_train.txt", "filter_labels_test.txt"):
        (tmp_path / "planted" / name).write_text("0 not-a-number\n")
    done = ramen("data", "check", "planted")
    assert done.returncode == 2
    assert "filter_labels_train.txt" in done.stdout and "filter_labels_test.txt" in done.stdout
    assert "next:" not in done.stderr


def test_prepare_names_what_is_wrong(ramen, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for arguments, message in [
        (["plantd", "--out", "o"], "recipe 'plantd' is unknown: did you mean 'planted'?"),
        (["planted", "--out", "o", "point=9"], "'points'"),
        (["planted", "--out", "o", "points=many"], "'many'"),
        (["planted", "--out", "full"], "full: already exists"),
    ]:
        done = ramen("data", "prepare", *arguments)
        assert done.returncode == 2
        assert message in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()
