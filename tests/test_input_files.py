"""Folders and lists of names as inputs, `-h`, and the format that somebody always wants."""

from __future__ import annotations

import csv
import os
from dataclasses import replace

import pytest
from commands import afresh, one_line, racctl
from poses import swinging_pose

from racctl.cli.input_files import folder_clips
from racctl.cli.streams import _aligned
from racctl.io.npz import pose_bytes

TOOLS = ("pose", "mask", "remap-joints", "encode", "count", "classify")


def a_pose(clip: str) -> bytes:
    pose = swinging_pose(60)
    return pose_bytes(replace(pose, meta={**pose.meta, "clip": clip}))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "poses"
    folder.mkdir()
    for name in ("b", "a", ".hidden"):
        (folder / f"{name}.npz").write_bytes(a_pose(name))
    (folder / "notes.txt").write_text("not a clip")
    (folder / "deeper").mkdir()
    return folder


def clips_of(done) -> list[str]:
    assert done.returncode == 0, done.stderr.decode()
    return [row["clip"] for row in csv.DictReader(done.stdout.decode().splitlines())]


def test_a_folder_stands_for_the_clips_in_it(folder):
    assert clips_of(racctl("count", folder, "--format", "csv")) == ["a", "b"]
    (folder / "v.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    assert folder_clips(str(folder)) == [str(folder / "v.mp4")]  # what is estimated from videos lies beside them


def test_a_folder_without_clips_is_itself_the_input(folder):
    assert folder_clips(str(folder / "deeper")) == [str(folder / "deeper")]
    assert "is a directory" in one_line(racctl("count", folder / "deeper"), 2)


@pytest.mark.parametrize("zero", [False, True])
def test_a_list_names_the_inputs(folder, tmp_path, zero):
    odd = folder / "c\nd.npz" if zero else folder / "c d.npz"
    odd.write_bytes(a_pose("c"))
    names = [str(folder / "b.npz"), str(odd)]
    text = "".join(f"{name}\0" for name in names) if zero else "\n".join([names[0], "", names[1]]) + "\r\n"
    done = racctl("count", folder / "a.npz", "--files-from", "-", "--format", "csv", stdin=text.encode())
    assert len(clips_of(done)) == 3
    (tmp_path / "list.txt").write_text(text)
    assert racctl("count", "--files-from", tmp_path / "list.txt", "--format", "csv").stdout.count(b",60\n") == 2


def test_lists_that_cannot_be_used_are_one_line(folder, tmp_path):
    assert "names no file" in one_line(racctl("count", "--files-from", "-", stdin=b"\n \n"), 1)
    assert "cannot read" in one_line(racctl("count", "--files-from", tmp_path / "none"), 1)
    assert "cannot be one of several" in one_line(racctl("count", "-", "--files-from", folder / "a.npz"), 2)
    assert "names '-'" in one_line(racctl("count", "--files-from", "-", stdin=b"-\n"), 2)
    assert "none of the 2 inputs exists" in one_line(racctl("count", "--files-from", "-", stdin=b"x\ny"), 1)


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_of_clips_takes_lists(tool):
    text = racctl(tool, "--help").stdout.decode()
    assert "--files-from FILE" in text and "FILE|DIR" in text
    assert racctl(tool, "-h").stdout.decode() == text


def test_h_is_help_everywhere():
    for words in ((), ("train",), ("train", "counter")):
        assert racctl(*words, "-h").stdout == racctl(*words, "--help").stdout != b""


def test_the_usual_format_of_tables_on_stdout(folder, tmp_path):
    usual = {**os.environ, "RACCTL_FORMAT": "csv"}
    assert afresh("count", folder, env=usual).stdout.startswith(b"clip,person,")
    assert afresh("count", folder, "--format", "json", env=usual).stdout.startswith(b"[")
    assert afresh("count", folder, "-o", tmp_path / "t.parquet", env=usual).returncode == 0
    assert (tmp_path / "t.parquet").read_bytes()[:4] == b"PAR1"
    wrong = afresh("count", folder, env={**os.environ, "RACCTL_FORMAT": "xml"})
    assert "invalid value 'xml' of RACCTL_FORMAT" in one_line(wrong, 2)


def test_the_numbers_of_a_column_have_equally_many_decimals():
    assert _aligned([1.0, 0.25, None, float("nan"), 12.3456]) == ["1.000", "0.250", "", "-", "12.346"]
    assert _aligned([3.0, 4.0]) == ["3", "4"] and _aligned(["x", 2]) == ["x", "2"]


def test_a_byte_order_mark_is_no_part_of_a_name(folder):
    text = b"\xef\xbb\xbf" + str(folder / "a.npz").encode() + b"\r\n"
    assert clips_of(racctl("count", "--files-from", "-", "--format", "csv", stdin=text)) == ["a"]


def test_what_lies_beside_a_pose_is_not_another_clip(tmp_path):
    for name in ("x.pose.npz", "x.features.npz", "y.features.npz"):
        (tmp_path / name).write_bytes(a_pose("x"))
    assert folder_clips(str(tmp_path)) == [str(tmp_path / "x.pose.npz"), str(tmp_path / "y.features.npz")]
