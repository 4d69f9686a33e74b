"""Published data sets on disk: tables found under their usual names, videos by clip name, bad ones reported."""

import numpy as np
import pytest
from clips import plain, write_clip
from test_data import mat

from racctl.data.base import DATA_SETS
from racctl.data.clips import PROBLEM_KINDS
from racctl.data.published import Countix, RepCount, UCFRep
from racctl.data.videos import files_under, find_videos, look_at
from racctl.encoders.encode_set import jobs_of_set
from racctl.errors import DataError, UsageError

HEADER = "type,name,count,fps,num_frames,L1,L2,L3,L4"
ROWS = (
    "squant,whole.mp4,2,25,20,0,10,10,20",
    "pullups,lost.mp4,1,25,20,0,10,,",
    "situp,empty.mp4,1,25,20,0,10,,",
    "situp,noise.mp4,1,25,20,0,10,,",
    "others,odd.mp4,5,25,20,3,3,4,12",  # one cycle without frames, and a count that is not theirs
    "pushups,short.mp4,2,50,40,0,10,10,40",  # its video has 20 frames
    "frontraise,stu4_5.mp4,1,25,20,0,20,,",
)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """20 frames of nobody, 25 a second."""
    return write_clip(tmp_path_factory.mktemp("video") / "v.mp4", plain(20)).read_bytes()


@pytest.fixture
def llsp(tmp_path, video):
    """RepCount-A as TransRAC lays it out, small and full of trouble."""
    (tmp_path / "annotation").mkdir()
    (tmp_path / "annotation" / "test.csv").write_text("\n".join([HEADER, *ROWS]) + "\n")
    folder = tmp_path / "video" / "test"
    folder.mkdir(parents=True)
    for name in ("whole", "odd", "short", "stu4_5"):
        (folder / f"{name}.mp4").write_bytes(video)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "noise.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(400))
    return tmp_path


def kinds(clip):
    return [problem.kind for problem in clip.problems]


def test_every_row_comes_back_with_what_is_wrong_with_it(llsp):
    dataset = RepCount(llsp, "test")
    clips = {clip.truth.clip: clip for clip in dataset}
    assert list(clips) == ["whole", "lost", "empty", "noise", "odd", "short", "stu4_5"] and len(dataset) == 7
    assert {name for name, clip in clips.items() if clip.usable} == {"whole", "odd", "short", "stu4_5"}
    assert {name: kinds(clip) for name, clip in clips.items()} == {
        "whole": [],
        "lost": ["missing video"],
        "empty": ["empty video"],
        "noise": ["corrupt video"],
        "odd": ["disagrees with its count", "zero-length"],
        "short": ["other length", "other rate", "past the end"],
        "stu4_5": ["known wrong label"],
    }
    assert clips["lost"].unusable == "no video is called 'lost'" and clips["lost"].video is None
    assert clips["noise"].unusable.startswith("'noise.mp4' is not a video")
    assert [clip.truth.label for clip in clips.values()] == [
        "squat", "pull_up", "sit_up", "sit_up", "others", "push_up", "front_raise",
    ]  # fmt: skip
    assert all(clip.segment is None for clip in clips.values())
    assert all(problem.kind in PROBLEM_KINDS for clip in clips.values() for problem in clip.problems)


def test_only_sound_repetitions_are_left(llsp):
    clips = {clip.truth.clip: clip for clip in RepCount(llsp, "test")}
    assert clips["whole"].repetitions.tolist() == [[0, 10], [10, 20]]
    assert clips["odd"].repetitions.tolist() == [[4, 12]]
    assert clips["short"].repetitions.tolist() == [[0, 10]]  # the other one ends after the video
    assert clips["lost"].repetitions.shape == (0, 2) and clips["odd"].repetitions.dtype == np.int64


def test_targets_need_labels_without_problems(llsp):
    clips = {clip.truth.clip: clip for clip in RepCount(llsp, "test", encode_only=False)}
    assert {name for name, clip in clips.items() if clip.usable} == {"whole", "stu4_5"}
    assert clips["odd"].unusable == "count 5, cycles 2"
    assert clips["odd"].repetitions.tolist() == [[4, 12]]


def test_known_wrong_labels_can_be_left_out(llsp):
    dataset = RepCount(llsp, "test", exclude_known_bad=True)
    assert "stu4_5" not in [clip.truth.clip for clip in dataset] and list(dataset.excluded) == ["stu4_5"]
    assert any("left out, stu4_5: the file is another video" in note for note in dataset.notes)


def test_rows_of_one_clip_know_of_each_other(llsp):
    table = llsp / "annotation" / "test.csv"
    table.write_text(f"{HEADER}\nsquat,whole.mp4,1,25,20,0,20,,\nsquat,whole.mp4,2,25,20,0,10,10,20\n")
    first, second = RepCount(llsp, "test")
    assert str(first.problems[0]) == "the count is 1 here and 2 in line 3" and kinds(first) == ["several counts"]
    assert str(second.problems[0]) == "the count is 2 here and 1 in line 2" and second.usable
    table.write_text(f"{HEADER}\nsquat,whole.mp4,1,25,20,0,20,,\nsquat,whole.mp4,1,25,20,0,20,,\n")
    assert [kinds(clip) for clip in RepCount(llsp, "test", encode_only=False)] == [["duplicate row"]] * 2


@pytest.mark.parametrize("spelling", ["val", "valid", "validation", "VALID"])
@pytest.mark.parametrize(
    "name", ["valid.csv", "annotation/validation.csv", "annotations/val_with_fps.csv", "a/b/valid_new.csv"]
)
def test_tables_under_their_usual_names(tmp_path, spelling, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}\n{ROWS[0]}\n")
    (tmp_path / "test.csv").write_text(f"{HEADER}\n{ROWS[1]}\n{ROWS[2]}\n")
    dataset = RepCount(tmp_path, spelling)
    assert (dataset.split, dataset.table, len(dataset)) == ("val", str(path), 1)
    assert len(RepCount(tmp_path, "test")) == 2
    assert len(RepCount(tmp_path, spelling, annotations=tmp_path / "test.csv")) == 2  # a named table is not doubted
    assert len(RepCount(tmp_path, spelling, annotations=path.parent)) == 1


def test_the_table_with_lengths_is_taken_before_the_one_without(llsp):
    (llsp / "annotation" / "test_with_fps.csv").write_text(f"{HEADER}\n{ROWS[0]}\n")
    assert len(RepCount(llsp, "test")) == 1


def test_a_table_that_cannot_be_found_or_is_another_sets(llsp):
    with pytest.raises(DataError, match=r"has no table of RepCount-A's train split, such as 'train_with_fps.csv'"):
        RepCount(llsp, "train")
    with pytest.raises(UsageError, match="no such split 'dev'; expected one of train, val, test"):
        RepCount(llsp, "dev")
    with pytest.raises(DataError, match="cannot look into"):
        RepCount(llsp / "nowhere", "test")
    with pytest.raises(DataError, match="is RepCount with fps, expected Countix"):
        Countix(llsp, "test")
    (llsp / "test.csv").write_text(f"{HEADER}\n{ROWS[0]}\n")
    with pytest.raises(DataError, match=r"several tables of the test split: .*; name the one meant"):
        RepCount(llsp, "test")


def test_countix_clips_are_whole_files(tmp_path, video):
    name = "-Ab_cdEfGh0_1.50000_2.30000"
    (tmp_path / f"{name}.mp4").write_bytes(video)
    (tmp_path / "new_test.csv").write_text(
        f",video_id,counts,num_frames,L1,L2,L3,L4\n0,{name}.mp4,2.0,20,1.0,10.0,10.0,20.0\n1,zz_0.0_1.0.mp4,1,30,1,30,,\n"
    )
    clip, lost = Countix(tmp_path, "test")
    assert clip.usable and clip.problems == () and clip.segment is None
    assert clip.repetitions.tolist() == [[0, 9], [9, 19]]
    assert not lost.usable


def test_countix_in_seconds_has_no_repetitions(tmp_path, video):
    header = "video_id,class,kinetics_start,kinetics_end,repetition_start,repetition_end,count"
    (tmp_path / "countix_val.csv").write_text(f"{header}\n0CnQ-_e5Sl8,squat,17,27,18.500000,20.233333,4.0\n")
    (tmp_path / "0CnQ-_e5Sl8_1.50000_3.23333.mp4").write_bytes(video)
    (clip,) = Countix(tmp_path, "val")
    assert clip.usable and clip.repetitions.shape == (0, 2) and clip.truth.count == 4


def test_ucfrep_validation_doubles_as_test(tmp_path, video):
    mat(tmp_path / "annotations" / "val" / "v_HandStandPushups_g21_c04.mat", [3, 9, 15])
    mat(tmp_path / "annotations" / "val" / "v_JumpRope_g22_c04.mat", [3, 9, 33])
    mat(tmp_path / "annotations" / "val" / "v_Rowing_g22_c04.mat", [30, 40])
    mat(tmp_path / "annotations" / "train" / "v_Rowing_g01_c01.mat", [1, 9])
    for name in (
        "HandstandPushups/v_HandstandPushups_g21_c04",
        "JumpRope/v_JumpRope_g22_c04",
        "Rowing/v_Rowing_g22_c04",
    ):
        path = tmp_path / "UCF-101" / f"{name}.avi"
        path.parent.mkdir(parents=True)
        path.write_bytes(video)
    dataset = UCFRep(tmp_path, "test")
    assert dataset.split == "val" and "has no test split" in dataset.notes[1]
    handstand, jump, rowing = dataset
    assert handstand.usable and handstand.segment == (2, 15)  # found although the case differs
    assert handstand.repetitions.tolist() == [[2, 8], [8, 14]]
    assert jump.segment == (2, 20) and jump.repetitions.tolist() == [[2, 8]]  # the video has 20 frames
    assert kinds(jump) == ["past the end", "past the end"]
    assert not rowing.usable and rowing.unusable == "the segment from frame 29 holds none of the video's 20"
    assert len(UCFRep(tmp_path, "train")) == 1
    assert len(UCFRep(tmp_path, "train", annotations=tmp_path / "annotations" / "val")) == 3


def test_videos_are_found_at_any_depth_once(tmp_path, video):
    for name in ("train/a.mp4", "test/a.MP4", "b.mkv", ".hidden/c.mp4", "._d.mp4", "e.txt", "x/f.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(video)
    (tmp_path / "x" / "loop").symlink_to(tmp_path)
    (tmp_path / "again.mp4").symlink_to(tmp_path / "b.mkv")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "f.mp4").symlink_to(tmp_path / "x" / "f.mp4")
    folder = find_videos(tmp_path)
    assert sorted(folder.files) == ["a", "again", "b", "f"]
    assert len(folder.of("a")) == 2 and [p.parent.name for p in folder.of("a", ("test",))] == ["test"]
    assert len(folder.of("A")) == 2 and len(folder.of("f")) == 1 and folder.of("c") == []
    assert len(files_under(tmp_path)) == 7


def test_several_videos_of_one_name_are_not_guessed_between(llsp, video):
    (llsp / "video" / "copies").mkdir()
    (llsp / "video" / "copies" / "whole.mp4").write_bytes(video)
    assert next(iter(RepCount(llsp, "test"))).usable  # the one in test/
    (llsp / "video" / "test" / "more").mkdir()
    (llsp / "video" / "test" / "more" / "whole.avi").write_bytes(video)
    clip = next(iter(RepCount(llsp, "test")))
    assert kinds(clip) == ["several videos"] and clip.video is None


def test_a_video_that_is_cut_short_is_said_to_be(tmp_path):
    path = write_clip(tmp_path / "whole.mkv", plain(200, 320, 240))
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    (tmp_path / "test.csv").write_text(f"{HEADER}\nsquat,whole.mkv,1,25,200,0,200,,\n")
    dataset = RepCount(tmp_path, "test")
    seen, problems = look_at(dataset.truths[0], find_videos(tmp_path).of("whole"))
    assert seen.ending.missing > 1
    assert {"cut short", "other length", "past the end"} <= {problem.kind for problem in problems}


def test_the_usable_clips_are_what_there_is_to_encode(llsp):
    jobs, failures = jobs_of_set(RepCount(llsp, "test"), exemplars=False)
    assert [job.clip for job in jobs] == ["whole", "odd", "short", "stu4_5"]
    assert {job.part.span for job in jobs} == {"windows"}
    assert dict(failures)["lost"] == "no video is called 'lost'"
    assert dict(failures)["empty"] == "the video has 0 bytes"
    jobs, failures = jobs_of_set(RepCount(llsp, "test"), exemplars=True)
    assert all(len(job.part.cycles) and job.part.span == "repetitions" for job in jobs)
    assert set(dict(failures)) >= {"lost", "empty", "noise"}


def test_every_data_set_has_a_name_to_ask_for_it_by():
    assert [DATA_SETS.load(name) for name in ("repcount", "countix", "ucfrep")] == [RepCount, Countix, UCFRep]
