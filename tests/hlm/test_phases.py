"""Bad input of the phases, files of text, gates: one clear error each, what is done is kept."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from hlm_bridge.align import align, new_student
from hlm_bridge.chain import Chain
from hlm_bridge.run import run, run_phase
from hlm_bridge.vectors import teacher_vectors
from ramen.errors import InputError, WorkError


def test_a_phase_needs_the_one_before(chain_config):
    for phase in ("align", "refine", "prune"):
        config = chain_config("align.student=transformer", "prune.ladder=layers:1")
        with pytest.raises(InputError, match=r"does not exist yet; first run: hlm (teacher|align|prune) CONFIG"):
            run_phase(config, phase)
    run_phase(chain_config(), "teacher")
    with pytest.raises(InputError, match="align: does not exist yet"):
        run_phase(chain_config(), "refine")


def test_phases_one_by_one_are_the_whole_chain(chain_config, tmp_path):
    for phase in ("teacher", "align", "refine"):
        run_phase(chain_config(), phase)
    (weights,) = (tmp_path / "chain/refine").rglob("model.safetensors")
    before = weights.stat().st_mtime_ns
    run(chain_config())
    assert weights.stat().st_mtime_ns == before


def test_other_settings_are_refused_with_what_changed(chain_config, whole_chain):
    with pytest.raises(InputError, match=r"align: made with other settings: align.steps=31 \(was 30\)"):
        run(chain_config("align.steps=31"))
    run(chain_config("gate.refine=0.01"))  # a gate is no part of a phase


def test_a_failed_gate_names_the_loss_and_keeps_the_phases(chain_config, tmp_path):
    for _ in range(2):  # a second call fails at the same gate, without any work
        with pytest.raises(
            WorkError, match=r"gate: align keeps less than 3000% of the teacher: .*all phases so far are kept"
        ):
            run(chain_config("gate.align=30.0", "align.steps=3"))
    assert (tmp_path / "chain/teacher").is_dir() and not (tmp_path / "chain/refine").exists()


def test_unlabelled_texts_are_read_capped_and_weighed(chain_config, tmp_path, trained_teacher):
    (tmp_path / "a.txt").write_text("one\n\none\ntwo\nthree words here\n" + "".join(f"t{i}\n" for i in range(50)))
    with gzip.open(tmp_path / "b.txt.gz", "wt") as file:
        file.write("four\nfive\n")
    chain = Chain(chain_config(f"align.texts={tmp_path}/a.txt:3,{tmp_path}/b.txt.gz", "align.max_texts=40"))
    (first, weight), (second, other) = chain.unlabelled
    assert len(first) == 30 and weight == 3.0 and second == ["four", "five"] and other == 1.0
    vectors = teacher_vectors(chain)
    assert [source.weight for source in vectors.sources] == [1.0, 3.0, 1.0]
    held_out = {chain.points[row] for row in chain.split.held_out_rows} - {
        chain.points[row] for row in chain.split.visible_rows
    }
    assert not held_out & (set(vectors.sources[0].texts) - set(chain.labels))


@pytest.mark.parametrize(("text", "read"), [("title", "one"), ("full", "one\nits content\tand more")])
def test_a_line_is_read_as_the_data_set_is(chain_config, tmp_path, text, read):
    (tmp_path / "a.txt").write_text("one\tits content\tand more\ntwo\n")
    chain = Chain(chain_config(f"align.texts={tmp_path}/a.txt", f"data.text={text}"))
    assert chain.unlabelled[0][0] == [read, "two"]


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "expected one text per line, found none"), (b"\n \n", "found none"), (b"\xff\xfe", "not a text file")],
)
def test_an_empty_or_broken_text_file_is_one_error(chain_config, tmp_path, content, match):
    (tmp_path / "a.txt").write_bytes(content)
    chain = Chain(chain_config(f"align.texts={tmp_path}/a.txt"))
    with pytest.raises(InputError, match=f"a.txt: .*{match}"):
        chain.unlabelled  # noqa: B018
    with pytest.raises(InputError, match="b.txt: no such file"):
        Chain(chain_config(f"align.texts={tmp_path}/b.txt")).unlabelled  # noqa: B018
    (tmp_path / "c.gz").write_bytes(gzip.compress(b"text\n" * 99)[:-9])
    with pytest.raises(InputError, match="c.gz: not a text file, or truncated"):
        Chain(chain_config(f"align.texts={tmp_path}/c.gz")).unlabelled  # noqa: B018


def test_a_store_of_another_teacher_is_refused(chain_config, tmp_path, trained_teacher):
    chain = Chain(chain_config())
    teacher_vectors(chain)
    index = tmp_path / "chain/vectors/store.json"
    tree = json.loads(index.read_text())
    index.write_text(json.dumps({**tree, "model": "another"}))
    with pytest.raises(InputError, match="a store of model another, expected"):
        teacher_vectors(chain)


def test_a_student_of_another_dimension_gets_a_map_and_a_static_one_is_refused(
    chain_config, tmp_path, three_layers, trained_teacher
):
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    config = AutoConfig.from_pretrained(three_layers)
    config.hidden_size, config.num_hidden_layers = 16, 1
    AutoModel.from_config(config).save_pretrained(tmp_path / "narrow")
    AutoTokenizer.from_pretrained(three_layers).save_pretrained(tmp_path / "narrow")
    words = [f"align.backbone={tmp_path / 'narrow'}", "align.steps=2"]
    chain = Chain(chain_config(*words, "align.student=transformer"))
    student = new_student(chain, 32)
    assert (student.dim, student.model.config.hidden_size) == (32, 16)
    align(chain, teacher_vectors(chain))
    with pytest.raises(InputError, match="token vectors of 16 dimensions, expected the teacher's 32"):
        new_student(Chain(chain_config(*words)), 32)


def test_a_projection_of_the_wrong_size_is_one_error(chain_config, tmp_path, three_layers):
    from safetensors.numpy import save_file

    from ramen.encoders.folder import load_folder
    from ramen.encoders.transformer import TransformerEncoder

    TransformerEncoder(str(three_layers), "mean", 16, dim=24).export(tmp_path / "t")
    save_file({"linear.weight": np.zeros((24, 31), np.float32)}, tmp_path / "t/2_Dense/model.safetensors")
    with pytest.raises(InputError, match="t: does not load"):
        load_folder(tmp_path / "t", 16)


def test_long_texts_are_cut(chain_config, tmp_path, trained_teacher):
    (tmp_path / "long.txt").write_text("kado bele " * 5000 + "\n")
    run_phase(chain_config(f"align.texts={tmp_path}/long.txt", "align.steps=2"), "align")


def test_the_loss_of_the_teacher_against_the_student_alone_can_stop(chain_config, short_own):
    with pytest.raises(WorkError, match="is worse .*than the student trained alone"):
        run(chain_config("gate.own=stop", "gate.share=0.4", "teacher.tuning=none"))


@pytest.mark.parametrize("phase", ["run", "teacher"])
@pytest.mark.parametrize(
    ("word", "match"),
    [
        ("teacher.backbone=none", "teacher.backbone='none': expected a folder"),
        ("align.backbone=none", "align.backbone='none': expected a folder"),
        ("align.texts=none.txt", "align.texts: none.txt: no such file"),
    ],
)
def test_what_a_later_phase_reads_is_looked_for_first(chain_config, tmp_path, phase, word, match):
    with pytest.raises(InputError, match=match):
        run_phase(chain_config(word), phase)
    assert not (tmp_path / "chain/teacher").exists()
