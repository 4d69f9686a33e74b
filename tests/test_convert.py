"""racctl convert: every format there and back, read by others' readers, and what people do to the files in between."""

from __future__ import annotations

import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from commands import one_line, racctl
from hypothesis import given, settings
from hypothesis import strategies as st
from poses import swinging_pose

from racctl.data.exchange.base import ANNOTATION_FORMATS
from racctl.data.exchange.convert import clips_of, own_table, read_annotations
from racctl.data.exchange.marks import Mark, MarkedClip, numbered
from racctl.data.truth import read_truth
from racctl.io.npz import pose_bytes
from racctl.io.parquet import table_from_rows, write_table

BOTH_WAYS = [name for name in ANNOTATION_FORMATS.names() if name != "countix"]
WITH_FRAMES = [name for name in BOTH_WAYS if name != "srt"]


def reps(clip="a", label="squat", fps=25.0, count=4):
    """A clip of repetitions whose frames are not their seconds times a rate: it has drop-outs."""
    rows = [
        {"clip": clip, "person": 0, "rep": k + 1, "start": 10 + 30 * k, "stop": 35 + 30 * k,
         "start_s": round((10 + 30 * k + 2 * k) / fps, 5), "stop_s": round((35 + 30 * k + 2 * k) / fps, 5),
         "label": label}
        for k in range(count)
    ]  # fmt: skip
    return table_from_rows("racctl.reps/1", rows, {})


@pytest.fixture
def table(tmp_path):
    with open(tmp_path / "reps.parquet", "wb") as file:
        write_table(file, reps())
    return tmp_path / "reps.parquet"


def rows_of(path) -> list[dict]:
    return pq.read_table(path).to_pylist()


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_there_and_back(table, tmp_path, name):
    foreign = tmp_path / f"a{ANNOTATION_FORMATS.load(name).suffix}"
    assert racctl("convert", table, "--to", name, "-o", foreign).returncode == 0
    done = racctl("convert", foreign, "--fps", 25, "-o", tmp_path / "back.parquet")
    assert done.returncode == 0, done.stderr.decode()
    before, after = rows_of(table), rows_of(tmp_path / "back.parquet")
    assert [row["rep"] for row in after] == [1, 2, 3, 4] and {row["clip"] for row in after} == {"a"}
    assert {row["label"] for row in after} == {"squat"}
    if name in WITH_FRAMES:
        assert [(row["start"], row["stop"]) for row in after] == [(row["start"], row["stop"]) for row in before]
    if name != "repcount":  # which has frames alone
        assert all(abs(a["start_s"] - b["start_s"]) < 6e-4 for a, b in zip(after, before, strict=True))


TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["vtt", "srt", "eaf", "activitynet", "via"]),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 900), TEXT), max_size=6),
)
def test_any_segments_survive(name, spans):
    marks, at = [], 0
    for gap, length, text in spans:
        label = " ".join(text.split())
        marks.append(Mark((at + gap) / 1000, (at + gap + length) / 1000, label))
        at += gap + length
    chosen = ANNOTATION_FORMATS.load(name)
    (clip,) = chosen.read(chosen.write([MarkedClip("clip", marks)]), "clip", 0.0)
    expected = numbered(MarkedClip("clip", marks)).marks
    shown = [mark.text for mark in clip.marks]
    if name in ("vtt", "srt"):  # what looks like a tag of a caption is one
        plain = [mark.text for mark in expected]
        assert all("<" in b or a == b for a, b in zip(shown, plain, strict=True))
    else:
        assert shown == [mark.text for mark in expected]
    assert [mark.milliseconds for mark in clip.marks] == [mark.milliseconds for mark in expected]


def test_others_read_what_is_written(table, tmp_path):
    webvtt, srt = pytest.importorskip("webvtt"), pytest.importorskip("srt")
    eaf = pytest.importorskip("pympi.Elan")
    for name in ("vtt", "srt", "eaf"):
        assert racctl("convert", table, "-o", tmp_path / f"a.{name}").returncode == 0
    captions = webvtt.read(str(tmp_path / "a.vtt"))
    assert [(cue.text, cue.start) for cue in captions][1] == ("squat 2", "00:00:01.680")
    cues = list(srt.parse((tmp_path / "a.srt").read_text()))
    assert cues[1].content == "squat 2" and cues[1].start.total_seconds() == pytest.approx(1.68)
    document = eaf.Eaf(str(tmp_path / "a.eaf"))
    assert set(document.get_tier_names()) == {"repetitions", "frames"}
    assert document.get_annotation_data_for_tier("repetitions")[1] == (1680, 2680, "squat 2")


def test_a_file_of_elan_itself_is_read(tmp_path):
    eaf = pytest.importorskip("pympi.Elan")
    document = eaf.Eaf(author="somebody")
    document.add_linked_file("clip7.mp4", relpath="./clip7.mp4", mimetype="video/mp4")
    document.add_tier("activity")
    document.add_annotation("activity", 500, 2500, "squat")
    document.add_annotation("activity", 3000, 9000, "rest & talk")
    document.to_file(str(tmp_path / "x.eaf"))
    (clip,) = read_annotations(str(tmp_path / "x.eaf"))
    assert clip.clip == "clip7" and [mark.label for mark in clip.marks] == ["squat", "rest & talk"]
    done = racctl("convert", tmp_path / "x.eaf", "--fps", 30, "-o", tmp_path / "x.parquet")
    assert done.returncode == 0, done.stderr.decode()
    assert rows_of(tmp_path / "x.parquet")[0] | {"probs": 0} == {
        "clip": "clip7", "start": 15, "stop": 75, "start_s": 0.5, "stop_s": 2.5, "label": "squat", "probs": 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["vtt", "via", "activitynet", "label-studio"])
def test_a_mark_that_was_moved_loses_its_old_frames(table, tmp_path, name):
    foreign = tmp_path / f"a{ANNOTATION_FORMATS.load(name).suffix}"
    assert racctl("convert", table, "--to", name, "-o", foreign).returncode == 0
    text = foreign.read_text()
    if name == "vtt":
        text = text.replace("00:00:00.400 -->", "00:00:00.800 -->")
    elif name == "label-studio":
        document = json.loads(text)
        document[0]["predictions"][0]["result"][0]["value"]["ranges"][0]["start"] = 21
        text = json.dumps(document)
    else:
        text = text.replace(" 0.4,", " 0.8,")
    assert text != foreign.read_text()
    foreign.write_text(text)
    (clip,) = read_annotations(str(foreign), 25.0)
    row = own_table([clip]).to_pylist()[0]
    assert row["start_s"] == pytest.approx(0.8) and row["start"] == 20
    assert own_table([clip]).to_pylist()[1]["start"] == 40  # the others keep theirs


def test_what_is_corrected_scores_at_once(table, tmp_path):
    assert racctl("convert", table, "-o", tmp_path / "a.vtt").returncode == 0
    assert racctl("convert", tmp_path / "a.vtt", "-o", tmp_path / "true.parquet").returncode == 0
    done = racctl("score", "--truth", tmp_path / "true.parquet", table, "--format", "csv")
    assert done.returncode == 0, done.stderr.decode()
    metrics = {row["metric"]: row["value"] for row in csv.DictReader(io.StringIO(done.stdout.decode()))}
    assert metrics["OBZ"] == "1.0" and float(metrics["rep_F1@0.5"]) == 1
    assert racctl("convert", table, "--to", "repcount", "-o", tmp_path / "t.csv").returncode == 0
    (truth,) = read_truth(str(tmp_path / "t.csv"))
    assert truth.count == 4 and truth.cycles.tolist()[0] == [10, 35] and not truth.problems


def test_labels_are_segments_and_several_clips_are_several_files(tmp_path):
    rows = [
        {"clip": clip, "start": 0, "stop": 50, "start_s": 0.0, "stop_s": 2.0, "label": label, "probs": [0.9]}
        for clip, label in (("a", "squat"), ("b", "set 2"))
    ]
    with open(tmp_path / "labels.parquet", "wb") as file:
        write_table(file, table_from_rows("racctl.labels/1", rows, {}))
    refused = racctl("convert", tmp_path / "labels.parquet", "-o", tmp_path / "all.vtt")
    assert "name a directory with '-o DIR/'" in one_line(refused, 2)
    assert racctl("convert", tmp_path / "labels.parquet", "--to", "vtt", "-o", f"{tmp_path}/v/").returncode == 0
    files = sorted((tmp_path / "v").iterdir())
    assert [path.name for path in files] == ["a.vtt", "b.vtt"]
    assert racctl("convert", *files, "-o", tmp_path / "back.parquet").returncode == 0
    assert [(row["clip"], row["label"]) for row in rows_of(tmp_path / "back.parquet")] == [
        ("a", "squat"), ("b", "set 2"),
    ]  # fmt: skip


def test_numbers_in_order_are_repetitions():
    def kinds(*texts):
        clip = MarkedClip("c", [Mark(k, k + 1, text) for k, text in enumerate(texts)])
        return numbered(clip).counts_repetitions

    assert kinds("1", "2", "3") and kinds("squat 1", "squat 2", "lunge 1") and kinds("squat 1", "lunge 2", "lunge 3")
    assert not kinds("set 2") and not kinds("squat") and not kinds("1", "3") and not kinds("1", "2", "rest")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "nothing that is known", "of no annotation format"),
        ("a.vtt", "WEBVTT\n\n00:05.000 --> 00:02.000\nsquat\n", "from 5 to 2 s"),
        ("a.vtt", "WEBVTT\n\n00:05 --> 00:09\nsquat\n", "a cue without times"),
        ("a.eaf", "<ANNOTATION_DOCUMENT><TIER>", "no whole XML document"),
        ("a.eaf", '<!DOCTYPE x [<!ENTITY a "b">]><ANNOTATION_DOCUMENT/>', "declares entities"),
        ("a.json", '{"database": {"a": {"annotations": [{"label": "x"}]}}}', "without its segment"),
        ("a.json", '{"database": {"a": {"annotations": [{"segment": [1, "2"]}]}}}', "where a number"),
        ("a.json", '{"database": {', "is not whole JSON"),
        ("a.json", '{"metadata": {}, "view": {"1": {"fid_list": ["7"]}}, "file": {}}', "no whole project"),
        ("a.json", '[{"data": {}, "annotations": [], "x": "timelinelabels"}]', "no whole export"),
        ("a.csv", "clip,count\na,3\n", "does not mark them"),
        ("a.csv", "type,name,count,L1,L2\nsquat,a.mp4,1,0,9\n", "give '--fps N'"),
        ("a.csv", "x,y\n1,2\n", "has the columns"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    assert message in one_line(racctl("convert", tmp_path / name, "-o", tmp_path / "out.parquet"), 1)
    assert not (tmp_path / "out.parquet").exists()


def test_the_format_has_to_be_told(table, tmp_path):
    assert "with '--to'" in one_line(racctl("convert", table, "-o", tmp_path / "a.json"), 2)
    assert "with '--to'" in one_line(racctl("convert", table), 2)
    assert "the input itself" in one_line(racctl("convert", table, "-o", table), 2)
    twice = racctl("convert", table, table, "-o", tmp_path / "b.parquet")
    assert twice.returncode == 2
    seconds = MarkedClip("a", [Mark(0.5, 1.5, rep=1)])
    with pytest.raises(Exception, match="give '--fps N'"):
        ANNOTATION_FORMATS.load("repcount").write([seconds])


def test_people_of_one_clip_stay_apart():
    rows = [{**row, "person": person} for person in (0, 1) for row in reps(count=2).to_pylist()]
    clips = clips_of({"schema": "racctl.reps/1"}, table_from_rows("racctl.reps/1", rows, {}), "t")
    assert [clip.clip for clip in clips] == ["a.person0", "a.person1"]


def test_files_of_another_kind_are_never_replaced(table, tmp_path):
    video = tmp_path / "movie.mp4"
    video.write_bytes(b"\0\0\0\x18ftypmp42 and so on")
    pose = tmp_path / "x.pose.npz"
    pose.write_bytes(pose_bytes(swinging_pose(10)))
    for target in (video, pose):
        before = target.read_bytes()
        assert "would be replaced" in one_line(racctl("convert", table, "--to", "srt", "-o", target), 2)
        assert "would be replaced" in one_line(racctl("export", "joints", "-o", target), 2)
        assert target.read_bytes() == before


def test_two_clips_never_share_a_file(tmp_path):
    marks = [{"segment": [0, 1], "label": "squat"}]
    database = {name: {"annotations": marks} for name in ("a/x", "b/x")}
    (tmp_path / "a.json").write_text(json.dumps({"database": database}))
    done = racctl("convert", tmp_path / "a.json", "--to", "vtt", "-o", f"{tmp_path}/caps/")
    assert "both called 'x'" in one_line(done, 1)
    for name in ("p", "q"):
        (tmp_path / f"{name}.npz").write_bytes(pose_bytes(swinging_pose(10)))
    words = ("convert", tmp_path / "p.npz", tmp_path / "q.npz", "--to", "csv", "-o", f"{tmp_path}/poses/")
    assert "both called 'swing'" in one_line(racctl(*words), 1)


def test_label_studios_own_ways_are_read(tmp_path):
    region = {"type": "timelinelabels", "value": {"ranges": [{"start": 1, "end": 30}], "timelinelabels": ["squat"]}}
    task = {
        "data": {"title": "Session A", "film": "/data/squat.mp4"},
        "annotations": [{"result": [region]}, {"was_cancelled": True, "result": []}],
    }
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    (clip,) = read_annotations(str(tmp_path / "tasks.json"), 30.0)
    assert clip.clip == "squat" and [(mark.label, mark.stop_s) for mark in clip.marks] == [("squat", 1.0)]


def test_annotations_of_elan_without_times_are_left_out_and_said(table, tmp_path):
    assert racctl("convert", table, "-o", tmp_path / "a.eaf").returncode == 0
    text = (tmp_path / "a.eaf").read_text()
    (tmp_path / "a.eaf").write_text(text.replace(' TIME_VALUE="400"', ""))
    done = racctl("convert", tmp_path / "a.eaf", "-o", tmp_path / "b.parquet", "--as", "reps")
    assert done.returncode == 0 and b"has no times of its own" in done.stderr
    assert len(rows_of(tmp_path / "b.parquet")) == 3


@pytest.mark.parametrize("seconds", ["1e999", "1" + "0" * 400, "1" * 5000, "NaN", "true"])
def test_numbers_that_are_none_are_one_line(tmp_path, seconds):
    annotation = f'{{"segment": [0, {seconds}]}}'
    (tmp_path / "a.json").write_text(f'{{"database": {{"a": {{"annotations": [{annotation}]}}}}}}')
    assert "'" in one_line(racctl("convert", tmp_path / "a.json", "-o", tmp_path / "b.parquet"), 1)
    note, cue = 'NOTE racctl {"clip": "x", "fps": NaN}', "00:01.000 --> 00:02.000\nsquat"
    (tmp_path / "a.vtt").write_text(f"WEBVTT\n\n{note}\n\n{cue}\n")
    assert racctl("convert", tmp_path / "a.vtt", "-o", tmp_path / "b.parquet").returncode == 0
    assert "'--fps'" in one_line(racctl("convert", tmp_path / "a.vtt", "--fps", "inf", "-o", tmp_path / "c.parquet"), 2)
