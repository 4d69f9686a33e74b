"""Clips with labels over time: synth's tables, anyone's segments; what is refused, and how."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from racctl.data.labelled import (
    BACKGROUND,
    Interval,
    LabelledClip,
    class_names,
    labels_at,
    main_label,
    read_labelled,
    split_clips,
)
from racctl.errors import DataError, UsageError
from racctl.io.parquet import table_from_rows, write_table
from racctl.synth.movements import catalog


@pytest.fixture
def segments(tmp_path):
    """Write a table of segments and return its path."""

    def into(text, name="table.csv"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return into


def parquet(path, schema, rows, **meta):
    with open(path, "wb") as file:
        write_table(file, table_from_rows(schema, rows, meta))
    return str(path)


def frames(*spans):
    """A clip labelled in frames: (start, stop, label) each."""
    return LabelledClip("c", "", None, None, None, [Interval(None, None, a, b, label) for a, b, label in spans], "x")


# ---- labels over time


def test_labels_at_frames_are_half_open_and_background_elsewhere():
    clip = frames((2, 4, "squat"), (4, 5, "lunge"))
    result = labels_at(clip, np.arange(6), None)
    assert result.tolist() == [BACKGROUND, BACKGROUND, "squat", "squat", "lunge", BACKGROUND]


def test_labels_at_seconds_forgive_the_rounding_of_tables():
    clip = LabelledClip("c", "", None, None, None, [Interval(2.667, 3.333, None, None, "squat")], "x")
    result = labels_at(clip, None, np.arange(79, 102) / 30)
    assert np.flatnonzero(result == "squat").tolist() == list(range(1, 21))  # frames 80 to 99
    with pytest.raises(DataError, match="labelled in seconds; give its frame times"):
        labels_at(clip, np.arange(3), None)


def test_frames_win_over_seconds_and_a_whole_clip_is_whole():
    both = LabelledClip("c", "", None, None, None, [Interval(0.0, 9.0, 0, 2, "squat")], "x")
    assert labels_at(both, np.arange(3), np.arange(3) / 30).tolist() == ["squat", "squat", BACKGROUND]
    whole = LabelledClip("c", "", None, None, None, [Interval(None, None, None, None, "squat")], "x")
    assert set(labels_at(whole, None, np.arange(3.0))) == {"squat"}


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_every_frame_of_a_tiled_clip_has_its_label(lengths):
    edges = np.concatenate([[0], np.cumsum(lengths)])
    clip = frames(*((int(a), int(b), f"x{k}") for k, (a, b) in enumerate(pairwise(edges))))
    expected = np.repeat([f"x{k}" for k in range(len(lengths))], lengths)
    assert labels_at(clip, np.arange(edges[-1]), None).tolist() == expected.tolist()


def test_what_a_clip_is_about():
    assert main_label(frames((0, 90, BACKGROUND), (90, 99, "squat"), (99, 102, "lunge"))) == "squat"
    assert main_label(frames((0, 9, BACKGROUND))) == main_label(frames()) == BACKGROUND
    clips = [frames((0, 1, "squat")), frames((0, 1, BACKGROUND), (1, 2, "lunge"))]
    assert class_names(clips) == [BACKGROUND, "lunge", "squat"]
    assert class_names(clips, null=False) == ["lunge", "squat"]


# ---- racctl synth


def manifest(folder, clips=("a", "b"), **columns):
    rows = [
        {"clip": c, "split": "train", "video": f"video/{c}.mp4", "pose": f"pose/{c}.npz", "mask": None, **columns}
        for c in clips
    ]
    return parquet(folder / "manifest.parquet", "racctl.manifest/1", rows)


def label(clip, start, stop, name):
    return {"clip": clip, "start": start, "stop": stop, "start_s": start / 30, "stop_s": stop / 30, "label": name}


LABELS = [label("b", 0, 30, "background"), label("b", 30, 90, "squat"), label("a", 0, 60, "lunge")]


def test_a_synth_folder_and_its_manifest_are_the_same(tmp_path):
    path = manifest(tmp_path)
    parquet(tmp_path / "labels.parquet", "racctl.labels/1", LABELS)
    clips = read_labelled(tmp_path)
    assert clips == read_labelled(path)
    assert [clip.clip for clip in clips] == ["a", "b"]  # the manifest's order
    assert clips[0].video == tmp_path / "video/a.mp4" and clips[0].mask is None and clips[0].split == "train"
    assert clips[1].intervals[1] == Interval(1.0, 3.0, 30, 90, "squat")


def test_the_labels_of_synth_are_in_racctls_vocabulary(tmp_path):
    names = sorted(catalog())
    rows = [label("a", k, k + 1, name) for k, name in enumerate(names)]
    (clip,) = read_labelled(parquet(tmp_path / "labels.parquet", "racctl.labels/1", rows))
    assert [interval.label for interval in clip.intervals] == names


@pytest.mark.parametrize(
    ("clips", "labels", "message"),
    [
        (["a"], LABELS, r"labels\.parquet', row 0, labels clip 'b', which is not in"),
        (["a", "b", "c"], LABELS, r"row 2: clip 'c' has no labels in"),
        (["a", "b", "a"], LABELS, r"row 2: clip 'a' is in the manifest twice"),
        (["a"], [label("a", 5, 5, "x")], "row 0, stops at 5, not after its start at 5"),
        (["a"], [label("a", -1, 5, "x")], "row 0, starts at -1, below 0"),
        (["a"], [label("a", 0, 5, "")], "row 0, has no label"),
        (["a"], [{**label("a", 0, 5, "x"), "stop": None}], "row 0, has a start without a frame at the other end"),
        (["a"], [{**label("a", 0, 5, "x"), "stop_s": float("nan")}], "time in seconds that is not a finite number"),
        (["a"], [label("a", 0, 9, "x"), label("a", 4, 12, "y")], "row 1, labels clip 'a' 'y' from 4, while 'x' lasts"),
        (["a"], [{**label("a", 0, 5, "x"), "clip": None}], "row 0, has no clip name"),
    ],
)
def test_unsound_tables_are_refused_by_row(tmp_path, clips, labels, message):
    manifest(tmp_path, clips)
    parquet(tmp_path / "labels.parquet", "racctl.labels/1", labels)
    with pytest.raises(DataError, match=message) as caught:
        read_labelled(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_manifest_without_labels_and_other_tables_are_refused(tmp_path):
    path = manifest(tmp_path)
    with pytest.raises(DataError, match=r"labels\.parquet' does not exist"):
        read_labelled(path)
    with pytest.raises(DataError, match=r"holds racctl\.counts/1, expected racctl\.labels/1"):
        read_labelled(parquet(tmp_path / "c", "racctl.counts/1", []))
    with pytest.raises(DataError, match="has no labelled clips"):
        read_labelled(parquet(tmp_path / "l", "racctl.labels/1", []))


def test_files_that_are_needed_must_be_there(tmp_path):
    manifest(tmp_path)
    parquet(tmp_path / "labels.parquet", "racctl.labels/1", LABELS)
    with pytest.raises(DataError, match="the video of clip 'a' is not there"):
        read_labelled(tmp_path, need=["video"])
    with pytest.raises(DataError, match=r"clip 'a' has no mask; name the folder that has it \('masks'\)"):
        read_labelled(tmp_path, need=["mask"])
    masks = tmp_path / "masks"
    masks.mkdir()
    for clip in "ab":
        (masks / f"{clip}.mask.npz").touch()
    assert read_labelled(tmp_path, masks=masks, need=["mask"])[1].mask == masks / "b.mask.npz"
    with pytest.raises(UsageError, match="no such file of a clip: 'sound'"):
        read_labelled(tmp_path, need=["sound"])


# ---- anyone's segments


@pytest.mark.parametrize(
    "text",
    [
        "clip,start,stop,label\na.mp4,1,2,squats\n",
        "Video\tStart\tEnd\tClass\na\t1\t2\tsquat\n",
        "name;start_s;end_s;activity\nin/a.MOV;1.0;2.0;Squat\n",
    ],
)
def test_segments_in_seconds_under_the_names_people_use(segments, text):
    (clip,) = read_labelled(segments(text))
    assert (clip.clip, clip.intervals) == ("a", [Interval(1.0, 2.0, None, None, "squat")])


def test_segments_in_frames_and_in_both(segments):
    (clip,) = read_labelled(segments("clip,start_frame,end_frame,label\na,30,60,squat\n"))
    assert clip.intervals == [Interval(None, None, 30, 60, "squat")]
    ours = "clip,start,stop,start_s,stop_s,label,prob,probs\na,30,60,1.0,2.0,squat,0.9,0.1 0.9\n"
    assert read_labelled(segments(ours))[0].intervals == [Interval(1.0, 2.0, 30, 60, "squat")]


def test_labels_without_times_are_about_whole_clips(segments):
    for text in ("clip,label\na,squat\nb,rest\n", "clip,start,stop,label\na,,,squat\nb,,,rest\n"):
        first, second = read_labelled(segments(text))
        assert first.intervals == [Interval(None, None, None, None, "squat")]
        assert main_label(second) == BACKGROUND


def test_splits_and_videos_of_segments(segments, tmp_path):
    path = segments("clip,start,stop,label,split\na,0,1,squat,train\na,1,2,lunge,train\nb.mp4,0,1,squat,test\n")
    first, second = read_labelled(path)
    assert (first.split, second.split, first.video) == ("train", "test", None)
    assert first.labels == ["squat", "lunge"]
    with pytest.raises(DataError, match="clip 'a' has no video"):
        read_labelled(path, need=["video"])
    for name in ("a.avi", "b.mp4"):
        (tmp_path / name).touch()
    for source in (path, tmp_path):  # the table, or the folder that holds it
        assert [c.video.name for c in read_labelled(source, need=["video"])] == ["a.avi", "b.mp4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,start,stop,label\na,2,1,x\n", r"table\.csv', line 2, stops at 1, not after its start at 2"),
        ("clip,start,stop,label\na,-1,1,x\n", "line 2, starts at -1, below 0"),
        ("clip,start,stop,label\na,1,inf,x\n", "line 2, has a time in seconds that is not a finite number"),
        ("clip,start,stop,label\na,1,nan,x\n", "line 2, has a start without a time in seconds at the other end"),
        ("clip,start,stop,label\na,1,1e300,x\n", "which no video reaches"),
        ("clip,start,stop,label\na,1,soon,x\n", "line 2, has 'soon' in column 'stop', expected a number"),
        ("clip,start,stop,label\na,1,2,\n", "line 2, has no label"),
        ("clip,start,stop,label\n,1,2,x\n", "line 2, has no clip name"),
        ("clip,start,stop,label\na,0,3,x\nb,0,9,x\na,2,4,y\n", "line 4, labels clip 'a' 'y' from 2, while 'x' lasts"),
        ("clip,start,stop,label\na,0,3,x\na,,,y\n", "line 3, labels the whole clip 'a', which has another row"),
        ("clip,label\na,x\na,x\n", "line 3, labels the whole clip 'a'"),
        ("clip,start,label\na,0,x\n", "has the column 'start' and none for the other end"),
        ("clip,start_frame,stop_frame,label\na,0.5,3,x\n", "line 2, has '0.5' in column 'start_frame'"),
        (
            "clip,start_frame,stop_frame,start_s,stop_s,label\na,0,9,,,x\na,,,1,2,y\n",
            "line 3, labels the clip 'a' in s",
        ),
        ("clip,start,stop,label,split\na,0,1,x,test\na,1,2,x,train\n", "line 3, puts clip 'a' in the split 'train'"),
        ("clip,count\na,3\n", r"has no label column \(found 'clip', 'count'\)"),
        ("start,label\n1,x\n", "has no clip column"),
        ("clip,label,class\na,x,x\n", "the columns 'label' and 'class'"),
        ("clip,label\n", "without rows"),
        ('{"a": 1}', "is json, expected a folder of 'racctl synth'"),
    ],
)
def test_unsound_segments_are_refused_by_line(segments, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read_labelled(segments(text))
    assert "\n" not in str(caught.value)


def test_a_folder_of_something_else(segments, tmp_path):
    with pytest.raises(DataError, match="holds none of its files; expected a folder"):
        read_labelled(tmp_path)
    segments("clip,label\na,x\n", "one.csv")
    segments("clip,label\na,x\n", "two.tsv")
    with pytest.raises(DataError, match=r"holds several tables \('one.csv', 'two.tsv'\)"):
        read_labelled(tmp_path)


@given(st.lists(st.lists(st.text(alphabet="0123456789.-enaif ", max_size=5), min_size=6, max_size=6), max_size=4))
def test_no_cell_makes_the_reader_crash(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "cells.csv"
    path.write_text("\n".join(["clip,start_frame,stop_frame,start_s,stop_s,label", *(",".join(row) for row in rows)]))
    try:
        clips = read_labelled(path)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        for clip in clips:
            labels_at(clip, np.arange(5), np.arange(5) / 30)


# ---- splits


def many(labels):
    return [
        LabelledClip(f"c{k}", "", None, None, None, [Interval(None, None, None, None, name)], "x")
        for k, name in enumerate(labels)
    ]


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 12), min_size=1),
    st.sampled_from([{"train": 0.8, "test": 0.2}, {"train": 0.7, "val": 0.15, "test": 0.15}]),
    st.integers(0, 5),
)
def test_a_split_is_by_clip_and_even_over_the_labels(counts, shares, seed):
    clips = many([name for name, count in counts.items() for _ in range(count)])
    if len(clips) < 10:
        return
    result = split_clips(clips, shares, seed)
    assert [clip.clip for clip in result] == [clip.clip for clip in clips]
    for name, count in [*counts.items(), ("", len(clips))]:
        for split, share in shares.items():
            ours = sum(clip.split == split for clip in result if not name or clip.labels == [name])
            assert abs(ours - share * count) <= 2
    again = {clip.clip: clip.split for clip in split_clips(clips[::-1], shares, seed)}
    assert again == {clip.clip: clip.split for clip in result}


def test_a_split_that_cannot_be_made_is_refused():
    with pytest.raises(UsageError, match=r"the shares of the splits are 0\.5, 0\.4"):
        split_clips(many("ab"), {"train": 0.5, "test": 0.4}, 0)
    with pytest.raises(DataError, match=r"2 clips are too few to give 'test' its share of 0\.1"):
        split_clips(many("ab"), {"train": 0.9, "test": 0.1}, 0)
    chosen = split_clips(many("ab"), {"train": 0.5, "test": 0.5}, 0)
    with pytest.raises(UsageError, match=r"in the split '.*' already"):
        split_clips(chosen, {"train": 1.0}, 0)
    assert {clip.split for clip in chosen} == {"train", "test"}
    different = {tuple(c.split for c in split_clips(many("a" * 10), {"train": 0.5, "test": 0.5}, s)) for s in range(9)}
    assert len(different) > 3
