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


def test_import_says_what_it_noticed(ramen, tmp_path):
    rows = "".join(f"text {n};t{n % 3}, t{(n * n + 1) % 5}, only{n}\n" for n in range(90))
    (tmp_path / "a.csv").write_text("text;tags\n" + rows)
    call = ["data", "import", "a.csv", "--text", "text", "--labels", "tags", "--out"]
    done = ramen(*call, "d")
    assert done.returncode == 0, done.stderr
    assert "a.csv: cells are separated by ';'; --delimiter says otherwise\n" in done.stderr
    assert "labels: separated by \",\", such as 't0' and 't1' of 't0, t1, only0'; --separator" in done.stderr
    warning = "warning: 90 of 93 labels have one training point: do their names hold several labels?"
    assert warning in done.stderr and warning in ramen("data", "check", "d").stdout
    done = ramen(*call, "e", "--separator", "|")
    assert "warning: 90 of 90 labels have one training point" in done.stderr and 'separated by "' not in done.stderr


def test_import_takes_the_form_of_a_file(ramen, tmp_path):
    (tmp_path / "a.tsv").write_bytes('"caf\xe9\tau lait"\t1\t0\n"tea"\t0\t1\n'.encode("cp1252"))
    options = ["--no-header", "--quote", "--encoding", "cp1252", "--text", "1", "--labels", "2,3", "--test", "0"]
    done = ramen("data", "import", "a.tsv", *options, "--out", "d")
    assert done.returncode == 0 and "2 training points, 0 test points, 2 labels" in done.stderr, done.stderr
    done = ramen("data", "import", "a.tsv", *options, "--delimiter", "ab", "--out", "e")
    assert done.returncode == 2 and "--delimiter: found 'ab'" in done.stderr
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04")
    done = ramen("data", "import", "a.xlsx", "--text", "1", "--labels", "2", "--out", "e")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "save the sheet as CSV UTF-8" in done.stderr
