"""Every published kind of annotation, as a tiny file with the header it is published with."""

import io
import math

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from racctl.contracts import clip_stem
from racctl.data.class_names import exercise
from racctl.data.tables import read_text
from racctl.data.truth import read_clip_table, read_truth
from racctl.errors import DataError
from racctl.io.parquet import table_from_rows, write_table


def texts(clip):
    return [str(problem) for problem in clip.problems]


@pytest.fixture
def write(tmp_path):
    """Write text under a name that says nothing, and return its path."""

    def into(text, name="table"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return into


def cells(*values, width):
    """Comma-separated values, padded with blanks as the published tables are."""
    return ",".join([*map(str, values), *[""] * (width - len(values))])


MARKS = ",".join(f"L{i}" for i in range(1, 303))


def test_repcount_as_published(write):
    rows = [
        cells(5, 5, "bench_pressing", "stu9_2.mp4", 3, 433, 482, "1020.0", "1100.0", "1101.0", "1181.0", width=307),
        cells(6, 6, "squant", "test2340.mp4", 0, width=307),
    ]
    first, second = read_truth(write(f",Unnamed: 0,type,name,count,{MARKS}\n" + "\n".join(rows) + "\n"))
    assert (first.clip, first.name, first.count, first.label) == ("stu9_2", "stu9_2.mp4", 3, "bench_pressing")
    assert first.cycles.tolist() == [[433, 482], [1020, 1100], [1101, 1181]]
    assert (first.fps, first.num_frames, first.segment, first.problems) == (None, None, None, ())
    assert (second.label, second.count, second.cycles.shape, second.problems) == ("squat", 0, (0, 2), ())
    assert first.variant == "RepCount"


def test_repcount_with_fps(write):
    marks, ignored = ",".join(f"L{i}" for i in range(1, 7)), ",".join(f"M{i}" for i in range(1, 4))
    header = (
        f",Unnamed: 0.1,Unnamed: 0,type,name,count,{marks},{ignored},fps,duration,num_frames,segment_start,segment_end"
    )
    row = "0,0,0,pullups,train951.mp4,2.0,6.0,72.0,72.0,132.0,,,7,8,9,30.0,10.0,300,0,299"
    (clip,) = read_truth(write(f"{header}\n{row}\n"))
    assert (clip.fps, clip.num_frames, clip.segment, clip.label) == (30, 300, (0, 300), "pull_up")
    assert clip.cycles.tolist() == [[6, 72], [72, 132]]  # M1.. are not cycles
    assert clip.cycles.dtype == np.int64 and clip.variant == "RepCount with fps"


def test_detrc_has_the_length_under_another_name(write):
    (clip,) = read_truth(
        write(",Unnamed: 0,type,name,count,total_frames,L1,L2\n0,0,situp,train3344.mp4,1,250,1.0,23.0\n")
    )
    assert (clip.num_frames, clip.label, clip.variant) == (250, "sit_up", "RepCount with total_frames")


def test_only_l_and_digits_is_a_cycle_column(write):
    text = "name,type,count,Label,Length,L1,L2,XL3,L4x\na.mp4,squat,1,9,900,10,20,30,40\n"
    assert read_truth(write(text))[0].cycles.tolist() == [[10, 20]]


def test_marks_are_taken_in_the_order_of_their_numbers(write):
    assert read_truth(write("name,count,L2,L10,L1,L9\na,2,20,40,10,30\n"))[0].cycles.tolist() == [[10, 20], [30, 40]]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("6,100,0,10,10,20", "count 6, cycles 2"),
        (",100,0,10", "no count"),
        ("nan,100", "no count"),
        ("inf,100", "count inf is not a number of repetitions"),
        ("2,100,0,10,10,10", "1 cycle of zero length"),
        ("2,100,0,10,9,20", "1 cycle overlapping the one before"),
        ("1,100,10,0", "1 cycle running backwards"),
        ("1,100,90,101", "1 cycle outside the video"),
        ("1,100,0,", "1 cycle without a start or an end"),
        ("2,100,0,10,,20", "1 cycle without a start or an end"),
    ],
)
def test_problems_are_found_not_hidden(write, row, problem):
    cut = row.split(",")
    text = f"name,count,num_frames,L1,L2,L3,L4\n{cells('a', *cut, width=7)}\n"
    assert problem in texts(read_truth(write(text))[0])


def test_sound_rows_have_no_problems(write):
    assert read_truth(write("name,count,num_frames,L1,L2,L3,L4\na,2,100,0,10,10,100\n"))[0].problems == ()


def test_countix_of_escounts_counts_frames_from_1(write):
    header = ",video_id,counts,num_frames,L1,L2,L3,L4"
    clips = read_truth(write(f"{header}\n0,0CnQ-_e5Sl8_1.50000_3.23333.mp4,2.0,52.0,1.0,26.0,26.0,52.0\n"))
    assert clips[0].clip == "0CnQ-_e5Sl8_1.50000_3.23333"
    assert clips[0].cycles.tolist() == [[0, 25], [25, 51]]
    assert (clips[0].num_frames, clips[0].label, clips[0].problems) == (52, "", ())


def test_d2stx_splits_of_countix_differ_in_two_headers(write):
    for header in ("Unnamed: 0,video_id,counts,num_frames,L1,L2", ",video_id,count,num_frames,L1,L2"):
        (clip,) = read_truth(write(f"{header}\n7,ab_0.00000_2.00000.mp4,1,60,1,60\n"))
        assert (clip.clip, clip.count, clip.variant) == ("ab_0.00000_2.00000", 1, "Countix (ESCounts)")


def test_countix_rows_that_agree_become_one_and_say_so(write):
    rows = ["0,a_0.0_1.0.mp4,3,30,,", "1,a_0.0_1.0.mp4,3,30,,", "2,b_0.0_1.0.mp4,2,30,,", "3,b_0.0_1.0.mp4,4,30,,"]
    clips = read_truth(write(",video_id,counts,num_frames,L1,L2\n" + "\n".join(rows) + "\n"))
    assert [(clip.clip, clip.count) for clip in clips] == [("a_0.0_1.0", 3), ("b_0.0_1.0", 2), ("b_0.0_1.0", 4)]
    assert "listed 2 times, kept once" in texts(clips[0])


def test_names_that_a_spreadsheet_destroyed_are_refused(write):
    with pytest.raises(DataError, match=r"lost 2 clip names to a spreadsheet \(first: line 3"):
        read_truth(write(",video_id,count,num_frames,L1\n0,a.mp4,1,9,\n1,#NAME?,1,9,\n2,#NAME?,1,9,\n"))
    with pytest.raises(DataError, match="lost 1 clip names"):
        read_truth(write("clip,count\n#NAME?,1\n"))


def test_countix_in_seconds_names_clips_as_escounts_does(write):
    header = "video_id,class,kinetics_start,kinetics_end,repetition_start,repetition_end,count"
    (clip,) = read_truth(write(f"{header}\n0CnQ-_e5Sl8,battle rope training,17,27,18.500000,20.233333,4.0\n"))
    assert (clip.clip, clip.count, clip.label) == ("0CnQ-_e5Sl8_1.50000_3.23333", 4, "battle_rope")
    assert clip.cycles is None
    (clip,) = read_truth(write(f"{header.replace('class,', '')}\nab,17,27,20,19,4.0\n"))  # test tables have no class
    assert (clip.label, texts(clip)) == ("", ["segment of no length"])
    with pytest.raises(DataError, match="line 2, lacks a start or an end"):
        read_truth(write(f"{header}\nab,x,17,27,20,,4.0\n"))


UCF_HEADER = ",name,counts,num_frames,start_frame,end_frame,L1,L2,L3,L4"


def test_ucfrep_of_escounts(write):
    row = "0,UCF-101/JumpRope/v_JumpRope_g22_c04.avi,2.0,31.0,3.0,33.0,3.0,18.0,18.0,33.0"
    (clip,) = read_truth(write(f"{UCF_HEADER}\n{row}\n"))
    assert (clip.clip, clip.label, clip.count) == ("v_JumpRope_g22_c04", "jump_rope", 2)
    assert (clip.segment, clip.num_frames, clip.problems) == ((2, 33), None, ())
    assert clip.cycles.tolist() == [[2, 17], [17, 32]]


def mat(path, bounds):
    fields = {
        "duration": bounds[-1] - bounds[0] + 1, "start_frame": bounds[0], "end_frame": bounds[-1],
        "temporal_bound_num": len(bounds), "temporal_bound": np.array(bounds, np.uint8)[:, None],
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"label": fields})


def test_ucfrep_folder_says_the_same_as_the_csv(tmp_path, write):
    mat(tmp_path / "val" / "v_JumpRope_g22_c04.mat", [3, 18, 33])
    mat(tmp_path / "train" / "v_BenchPress_g01_c01.mat", [1, 50])
    (clip,) = read_truth(str(tmp_path / "val"))
    row = "0,UCF-101/JumpRope/v_JumpRope_g22_c04.avi,2.0,31.0,3.0,33.0,3.0,18.0,18.0,33.0"
    (another,) = read_truth(write(f"{UCF_HEADER}\n{row}\n"))
    for name in ("clip", "count", "label", "segment", "problems"):
        assert getattr(clip, name) == getattr(another, name)
    assert clip.cycles.tolist() == another.cycles.tolist()
    both = read_truth(str(tmp_path))  # train and val together
    assert sorted(c.label for c in both) == ["bench_pressing", "jump_rope"]
    assert read_truth(str(tmp_path / "val" / "v_JumpRope_g22_c04.mat"))[0].count == 2


def test_damaged_and_foreign_mat_files_are_data_errors(tmp_path):
    with pytest.raises(DataError, match=r"no \.mat files"):
        read_truth(str(tmp_path))
    mat(tmp_path / "whole.mat", [1, 9, 20])
    raw = (tmp_path / "whole.mat").read_bytes()
    for cut in (126, 140, len(raw) // 2, len(raw) - 1):
        (tmp_path / "cut.mat").write_bytes(raw[:cut])
        with pytest.raises(DataError, match="not a UCFRep annotation"):
            read_truth(str(tmp_path / "cut.mat"))
    scipy.io.savemat(tmp_path / "other.mat", {"x": 1})
    with pytest.raises(DataError, match="not a UCFRep annotation"):
        read_truth(str(tmp_path / "other.mat"))


def test_countix_fitness_counts_pairs_of_salient_poses(write):
    rows = ["0,pull_ups,a.mp4,92,112,146,163,", "1,squat,b.mp4,175,219,247,280,315", "2,lunge,c.mp4,9,5,,,"]
    first, second, third = read_truth(write("\n".join([",type,name,L1,L2,L3,L4,L5", *rows])))
    assert (first.count, first.label, first.cycles, first.problems) == (2, "pull_up", None, ())
    assert (second.count, texts(second)) == (2, ["5 salient frames, an odd number"])
    assert texts(third) == ["salient frames out of order"]


@pytest.mark.parametrize("clip", ["clip", "name", "video", "Video ID", "sequence", "file-name"])
@pytest.mark.parametrize("count", ["count", "Counts", "reps", "repetitions"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_plain_tables_under_the_names_people_use(write, clip, count, delimiter):
    rows = [["exercise", clip, "note", count], ["Squats", "in/a.MP4", "x", "3"], ["", "b", "", "4.5"]]
    clips = read_truth(write("\n".join(delimiter.join(row) for row in rows)))
    assert [(c.clip, c.count, c.label) for c in clips] == [("a", 3, "squat"), ("b", 4.5, "")]


def test_bom_blank_lines_quotes_and_windows_line_ends_are_fine(write):
    clips = read_truth(write(b'\xef\xbb\xbfclip,count\r\n\r\n"a, b.mp4",3\r\n,\r\nc,4\r\n'))
    assert [(c.clip, c.count) for c in clips] == [("a, b", 3), ("c", 4)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,count\n", "without rows"),
        ("clip,count\na,three\n", r"line 2, has 'three' in column 'count', expected a number"),
        ("clip,count\na,1_0\n", "expected a number"),
        ("clip,count\na,1,2\n", "line 2, has 3 cells, the header has 2"),
        ("clip,count,count\na,1,2\n", "the column 'count' twice"),
        ("clip,Count,reps\na,1,2\n", "either could be the count"),
        ("clip,name,count\na,b,2\n", "either could be the clip"),
        ("clip,count\n,2\n", "has no clip name"),
        ("clip,score\na,2\n", "has the columns 'clip', 'score'; expected a Countix, RepCount-A or UCFRep annotation"),
        ("name,count,counts,L1\na,2,2,1\n", "mean the same"),
        ("name,count,L1\na,2,1.5\n", "whole frame number"),
        ("name,count,num_frames,L1\na,2,inf,1\n", "whole frame number"),
        (b"clip,count\n\xff\xfe,1\n", "not UTF-8 text: byte 11 is 0xff, as in Latin-1"),
        (b"clip,count\n" + b"a,1\n" * 2000 + b"\xff,1\n", "not UTF-8"),
        (b"PK\x03\x04 a spreadsheet", "a zip or npz file"),
        ('{"a": 1}', "is json"),
        ("", "empty"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(write, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read_truth(write(text))
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="clipcountnameL12,\t;\n\r\"'.-#éNA=0", max_size=80))
def test_no_text_makes_a_reader_crash(text):
    try:
        read_clip_table(read_text(io.BytesIO(text.encode()), "x"))
    except DataError as error:
        assert "\n" not in str(error)


@given(
    st.lists(
        st.lists(st.text(alphabet="0123456789.-enaif ", max_size=5), min_size=6, max_size=6), min_size=1, max_size=4
    )
)
def test_no_cell_makes_a_reader_crash(rows):
    for header in (
        "name,count,num_frames,L1,L2,L3", "video_id,counts,num_frames,L1,L2,fps",
        "name,counts,start_frame,end_frame,L1,L2",
        "video_id,kinetics_start,kinetics_end,repetition_start,repetition_end,count", "type,name,L1,L2,L3,L4",
    ):  # fmt: skip
        text = "\n".join([header, *(",".join(row) for row in rows)])
        try:
            clips = read_clip_table(read_text(io.BytesIO(text.encode()), "x"))
        except DataError:
            continue
        assert all(clip.clip and isinstance(clip.count, float) for clip in clips)


def test_long_cells_are_fine(write):
    density = " ".join(["0.01"] * 60_000)  # one curve in one cell, as --format csv writes it
    assert read_truth(write(f"clip,count,density\na,3,{density}\n"))[0].count == 3


def parquet(path, schema, rows, meta=None):
    with path.open("wb") as file:
        write_table(file, table_from_rows(schema, rows, meta))
    return str(path)


REP = {"person": 0, "rep": 0, "start": 0, "stop": 10, "start_s": 0.0, "stop_s": 0.3, "label": "squats"}


def test_repetitions_are_counted_by_clip(tmp_path):
    rows = [{**REP, "clip": "b.mp4"}, {**REP, "clip": "a"}, {**REP, "clip": "b.mp4", "rep": 1, "start": 10, "stop": 25}]
    clips = read_truth(parquet(tmp_path / "r", "racctl.reps/1", rows))
    assert [(c.clip, c.count, c.label) for c in clips] == [("b", 2, "squat"), ("a", 1, "squat")]
    assert clips[0].cycles.tolist() == [[0, 10], [10, 25]]


def test_a_repetition_table_about_one_clip_may_be_empty(tmp_path):
    (clip,) = read_truth(parquet(tmp_path / "r", "racctl.reps/1", [], {"clip": "a.mp4"}))
    assert (clip.clip, clip.count) == ("a", 0)
    assert read_truth(parquet(tmp_path / "s", "racctl.reps/1", [])) == []


def test_counts_and_manifests(tmp_path):
    counts = [{"clip": "a", "person": 0, "count": 3.2}, {"clip": "b", "person": 0, "count": None}]
    clips = read_truth(parquet(tmp_path / "c", "racctl.counts/1", counts))
    assert clips[0].count == 3.2 and math.isnan(clips[1].count)
    (clip,) = read_truth(parquet(tmp_path / "m", "racctl.manifest/1", [{"clip": "a", "count": 4.0, "label": "lunges"}]))
    assert (clip.count, clip.label) == (4, "lunge")


def test_other_parquet_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds racctl\.scores/1, expected counts"):
        read_truth(parquet(tmp_path / "s", "racctl.scores/1", []))
    with pytest.raises(DataError, match="row 0, has no clip name"):
        read_truth(parquet(tmp_path / "c", "racctl.counts/1", [{"clip": None, "count": 1.0}]))


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("stu1_27.mp4", "stu1_27"),
        ("UCF-101/JumpRope/v_JumpRope_g22_c04.avi", "v_JumpRope_g22_c04"),
        ("C:\\videos\\a.MOV", "a"),
        ("0CnQ-_e5Sl8_1.50000_3.23333", "0CnQ-_e5Sl8_1.50000_3.23333"),  # its dots are no suffix
        ("0CnQ-_e5Sl8_1.50000_3.23333.mp4", "0CnQ-_e5Sl8_1.50000_3.23333"),
        ("a.pose.npz", "a"),
        ("a.mp4.npz", "a"),
        ("'-BVl3_9YajA_0.00000_3.93333", "-BVl3_9YajA_0.00000_3.93333"),  # as racctl's CSV writes it
        ("'quoted'", "'quoted'"),
        (" a ", "a"),
        ("cafe\u0301.mp4", "caf\u00e9"),
        (".mp4", ".mp4"),
    ],
)
def test_names_that_clips_are_matched_by(name, stem):
    assert clip_stem(name) == stem


@pytest.mark.parametrize(
    ("spellings", "label"),
    [
        (("squant", "squat", "Squats", "BodyWeightSquats"), "squat"),
        (("pullups", "pull_up", "pull ups"), "pull_up"),
        (("frontraise", "front_raise"), "front_raise"),
        (("benchpressing", "bench_pressing", "BenchPress"), "bench_pressing"),
        (("jumpjacks", "jump_jack", "jumping jacks", "JumpingJack"), "jump_jack"),
        (("pushups", "push_up"), "push_up"),
        (("situp", "sit_up", "situps"), "sit_up"),
        (("HandStandPushups", "HandstandPushups"), "handstand_push_up"),
        (("mountain climber (exercise)",), "mountain_climber"),
        (("Table Tennis Shot", "TableTennisShot"), "table_tennis_shot"),
        (("",), ""),
    ],
)
def test_spellings_of_one_exercise_are_one_label(spellings, label):
    assert {exercise(spelling) for spelling in spellings} == {label}
    assert exercise(label) == label
