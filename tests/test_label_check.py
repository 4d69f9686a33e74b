"""racctl check-labels: every kind of problem, found in a file that has it."""

import copy
import io
import json

import pyarrow.parquet as pq
import pytest
from clips import plain, write_clip
from commands import on_a_terminal, one_line, racctl
from test_data import mat

from racctl.data.check import check_labels
from racctl.data.clips import PROBLEM_KINDS, Problem
from racctl.data.known_bad import KNOWN_BAD
from racctl.errors import DataError
from racctl.io.parquet import read_table

HEADER = "name,count,fps,num_frames,L1,L2,L3,L4"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(folder, *rows, header=HEADER, name="test.csv"):
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return name


def problem_kinds(source, *options):
    return [(row["clip"], row["line"], row["kind"]) for row in check_labels(source, *options).problems]


@pytest.mark.parametrize(
    ("row", "kind", "what"),
    [
        ("a,,25,100,,", "no count", "no count"),
        ("a,inf,25,100,,", "not a count", "count inf is not a number of repetitions"),
        ("a,6,25,100,0,10,10,20", "disagrees with its count", "count 6, cycles 2"),
        ("a,1,25,100,0,9,10,", "incomplete", "1 cycle without a start or an end"),
        ("a,2,25,100,0,9,10,10", "zero-length", "1 cycle of zero length: cycle 2 (frames 10 to 10)"),
        ("a,2,25,100,0,9,12,10", "backwards", "1 cycle running backwards: cycle 2 (frames 12 to 10)"),
        ("a,2,25,100,0,9,8,20", "overlapping", "1 cycle overlapping the one before: cycle 2 (frames 8 to 20)"),
        ("a,1,25,100,-3,9,,", "before the start", "1 cycle starting before the video: cycle 1 (frames -3 to 9)"),
        ("a,1,25,100,90,101,,", "past the end", "1 cycle outside the video: cycle 1 (frames 90 to 101)"),
        ("stu4_3,1,25,100,90,100,,", "known wrong label", KNOWN_BAD["stu4_3"]),
    ],
)
def test_a_bad_row_says_what_is_wrong_and_where(folder, row, kind, what):
    (problem,) = check_labels(table(folder, "good,1,25,100,0,10,,", "", row)).problems
    assert problem == {"clip": row.split(",")[0], "line": 4, "kind": kind, "what": what}
    assert kind in PROBLEM_KINDS


def test_rows_about_one_clip(folder):
    rows = ("a,1,25,100,0,10,,", "b,1,25,100,0,10,,", "a.mp4,2,25,100,0,10,10,20", "b,1,25,100,0,10,,")
    check = check_labels(table(folder, *rows))
    assert [(p["clip"], p["line"], p["what"]) for p in check.problems] == [
        ("a", 2, "the count is 1 here and 2 in line 4"), ("b", 3, "line 5 is about the same clip"),
        ("a", 4, "the count is 2 here and 1 in line 2"), ("b", 5, "line 3 is about the same clip"),
    ]  # fmt: skip
    assert (check.rows, check.clips, check.sound, check.repetitions) == (4, 2, 0, 5)


def test_countix_repeats_are_one_row_with_all_its_lines(folder):
    rows = ("0,a_0.0_1.0.mp4,1,30,1,30", "1,b_0.0_1.0.mp4,1,30,1,30", "2,a_0.0_1.0.mp4,1,30,1,30")
    check = check_labels(table(folder, *rows, header=",video_id,counts,num_frames,L1,L2"))
    assert [p["what"] for p in check.problems] == ["listed 2 times, kept once: lines 2, 4"]
    assert (check.rows, check.clips, check.sound) == (3, 2, 1)


def test_countix_in_seconds(folder):
    header = "video_id,kinetics_start,kinetics_end,repetition_start,repetition_end,count"
    rows = ("ok,17,27,18,20,4", "none,17,27,20,20,4", "late,17,27,20,29,4", "early,17,27,12,20,4")
    assert problem_kinds(table(folder, *rows, header=header)) == [
        ("none_3.00000_3.00000", 3, "zero-length"), ("late_3.00000_12.00000", 4, "past the end"),
        ("early_-5.00000_3.00000", 5, "before the start"),
    ]  # fmt: skip


def test_a_folder_of_mat_files_has_no_lines(folder):
    mat(folder / "val" / "v_JumpRope_g22_c04.mat", [3, 18, 18])
    assert problem_kinds("val") == [("v_JumpRope_g22_c04", None, "zero-length")]


def test_many_bad_cycles_are_one_row(folder):
    marks = ",".join(f"L{k}" for k in range(1, 21))
    (problem,) = check_labels(table(folder, "a,10," + ",".join(["5,5"] * 10), header=f"name,count,{marks}")).problems
    assert problem["what"].startswith("10 cycles of zero length: cycle 1 (frames 5 to 5), cycle 2")
    assert problem["what"].endswith("and 7 more")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """20 frames, 25 a second."""
    return write_clip(tmp_path_factory.mktemp("video") / "v.mp4", plain(20)).read_bytes()


def test_videos_are_held_against_the_table(folder, video):
    for name in ("good", "deep/down/odd", "short", "one/two", "other/two", "rate"):
        path = folder / "videos" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(video)
    (folder / "videos" / "empty.mp4").write_bytes(b"")
    (folder / "videos" / "noise.mp4").write_bytes(b"no video at all")
    rows = (
        "good.mp4,1,25,21,0,10,,",  # one frame more or less is how readers differ
        "odd.mp4,1,25,30,0,10,,", "short.mp4,1,25,,0,30,,", "two.mp4,1,25,20,0,10,,", "rate.mp4,1,30,20,0,10,,",
        "empty.mp4,1,25,20,0,10,,", "noise.mp4,1,25,20,0,10,,", "lost.mp4,1,25,20,0,10,,",
    )  # fmt: skip
    assert problem_kinds(table(folder, *rows)) == []
    check = check_labels("test.csv", "videos")
    assert [(row["clip"], row["kind"]) for row in check.problems] == [
        ("odd", "other length"), ("short", "past the end"), ("two", "several videos"), ("rate", "other rate"),
        ("empty", "empty video"), ("noise", "corrupt video"), ("lost", "missing video"),
    ]  # fmt: skip
    assert (check.clips, check.sound) == (8, 1)
    assert "past the last of the video's 20 frames: cycle 1 (frames 0 to 30)" in check.problems[1]["what"]
    with pytest.raises(DataError, match="cannot look into 'nowhere'"):
        check_labels("test.csv", "nowhere")


def test_the_example_of_the_help_and_its_exit_codes(folder, video):
    (folder / "videos").mkdir()
    (folder / "videos" / "good.mp4").write_bytes(video)
    table(folder, "good.mp4,1,25,20,0,10,,")
    done = racctl("check-labels", "test.csv", "videos", cwd=folder)
    assert done.returncode == 0
    assert done.stderr.decode() == "1 rows, 1 clips, 1 of them without problems, 1 repetitions; problems: none\n"
    meta, empty = read_table(io.BytesIO(done.stdout), "out")
    assert empty.num_rows == 0 and meta["schema"] == "racctl.problems/1"
    assert meta["checked"] == {"rows": 1, "clips": 1, "sound": 1, "repetitions": 1.0, "excluded": []}
    assert meta["labels"] == {"name": "test.csv", "variant": "RepCount with fps"}
    table(folder, "good.mp4,2,25,20,0,10,,", "lost.mp4,1,25,20,0,10,,")
    done = racctl("check-labels", "test.csv", "videos", "--format", "json", cwd=folder)
    assert done.returncode == 1
    assert [(row["clip"], row["line"], row["kind"]) for row in json.loads(done.stdout)] == [
        ("good", 2, "disagrees with its count"), ("lost", 3, "missing video"),
    ]  # fmt: skip
    assert done.stderr.decode().endswith("problems: 1 disagrees with its count, 1 missing video\n")
    assert racctl("check-labels", "test.csv", "-q", "-o", "p.parquet", cwd=folder).stderr == b""
    assert pq.read_table(folder / "p.parquet").num_rows == 1
    piped = racctl("check-labels", "--format", "csv", stdin=(folder / "test.csv").read_bytes())
    assert piped.stdout.decode() == 'clip,line,kind,what\ngood,2,disagrees with its count,"count 2, cycles 1"\n'


def test_on_a_terminal_it_is_a_table(folder):
    table(folder, "a.mp4,2,25,20,0,10,,")
    code, shown = on_a_terminal("check-labels", folder / "test.csv")
    assert code == 1 and "count 2, cycles 1" in shown and "1 rows, 1 clips" in shown


def test_known_wrong_labels_are_left_out_or_listed(folder):
    name = table(folder, "stu6_44.mp4,,25,20,,,,", "a.mp4,1,25,20,0,10,,")
    assert problem_kinds(name) == [("stu6_44", 2, "no count"), ("stu6_44", 2, "known wrong label")]
    check = check_labels(name, exclude_known_bad=True)
    assert (check.problems, check.excluded, check.clips) == ([], ["stu6_44"], 1)
    assert "1 left out as known to be wrong" in check.summary()
    done = racctl("check-labels", "--known-bad", "--format", "json")
    assert done.returncode == 0 and {row["clip"]: row["what"] for row in json.loads(done.stdout)} == KNOWN_BAD
    for words in ([name], ["--exclude-known-bad"], ["-", "videos"]):
        assert "checks nothing" in one_line(racctl("check-labels", "--known-bad", *words), 2)


def test_what_cannot_be_read_is_one_line(folder):
    (folder / "x").write_bytes(b"hello\n")
    assert "without rows" in one_line(racctl("check-labels", "x"), 1)
    assert "no .mat files" in one_line(racctl("check-labels", folder), 1)
    assert "does not exist" in one_line(racctl("check-labels", "y"), 1)
    assert "empty input on stdin" in one_line(racctl("check-labels"), 1)
    table(folder, "a.mp4,1,25,20,0,10,,")
    assert "is the input itself" in one_line(racctl("check-labels", "test.csv", "-o", "test.csv"), 2)
    assert "cannot look into" in one_line(racctl("check-labels", "test.csv", "nowhere"), 1)


def test_a_problem_reads_as_its_text():
    problem = Problem("no count", "no count", (3,))
    assert str(problem) == "no count" and (problem.kind, problem.cycles) == ("no count", (3,))
    assert copy.copy(problem).kind == "no count"
