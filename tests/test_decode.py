"""Frames, numbers, times: what `racctl.video.decode` makes of awkward files."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from clips import plain, set_display_matrix, write_clip, write_sound_only

from racctl.errors import DataError, UsageError
from racctl.video.decode import frames, probe, upright


def listed(path, **options):
    with open(path, "rb") as file:
        return [(frame.number, round(frame.time, 3)) for frame in frames(file, str(path), **options)]


def looked_at(path):
    with open(path, "rb") as file:
        return probe(file, str(path))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.webm", "a.avi"])
def test_number_and_time_of_every_frame(tmp_path, name):
    codec = {"webm": "libvpx", "avi": "mpeg4"}.get(name[2:], "libx264")
    path = write_clip(tmp_path / name, plain(30), codec=codec)
    assert listed(path) == [(k, round(k / 25, 3)) for k in range(30)]
    video = looked_at(path)
    assert (video.frames, video.width, video.height) == (30, 64, 48)
    assert video.fps == pytest.approx(25, abs=0.01)


def test_variable_frame_rate_keeps_the_containers_times(tmp_path):
    stamps = [0, 40, 80, 400, 1000, 1033, 1066, 2500]
    path = write_clip(tmp_path / "vfr.mp4", plain(len(stamps)), stamps)
    assert listed(path) == [(k, stamp / 1000) for k, stamp in enumerate(stamps)]


def test_a_late_first_timestamp_is_kept(tmp_path):
    stamps = [5000 + 40 * k for k in range(10)]
    path = write_clip(tmp_path / "late.mkv", plain(10), stamps)
    assert listed(path)[0] == (0, 5.0)
    assert looked_at(path).start_time == 5.0
    assert listed(path, start=5.2) == [(k, round(5 + k / 25, 3)) for k in range(5, 10)]


@pytest.mark.parametrize(("start", "stop", "stride"), [(None, 0.4, 1), (0.5, None, 1), (0.51, 1.02, 3), (1.19, 9, 1)])
def test_a_part_has_the_numbers_of_the_whole(tmp_path, start, stop, stride):
    path = write_clip(tmp_path / "a.mp4", plain(40))
    whole = listed(path)
    part = [x for x in whole if (start is None or x[1] >= start) and (stop is None or x[1] < stop)]
    assert listed(path, start=start, stop=stop, stride=stride) == part[::stride]


def test_stop_before_start_is_a_usage_error(tmp_path):
    path = write_clip(tmp_path / "a.mp4", plain(3))
    with pytest.raises(UsageError, match="is not after"):
        listed(path, start=2, stop=1)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_metadata_turns_the_picture_upright(tmp_path, rotation):
    corner = np.zeros((48, 64, 3), np.uint8)
    corner[:12, :16] = 255  # white at the top left of what is stored
    path = write_clip(tmp_path / "turned.mp4", [corner] * 3, rotation=rotation)
    video = looked_at(path)
    assert video.rotation == rotation
    assert (video.width, video.height) == ((48, 64) if rotation != 180 else (64, 48))
    with open(path, "rb") as file:
        shown = upright(next(frames(file, "x")).image.to_ndarray(format="rgb24"), video.rotation)
    assert shown.shape[:2] == (video.height, video.width)
    expected = upright(corner, rotation)
    assert np.abs(shown.astype(int) - expected).mean() < 8


def test_odd_sizes(tmp_path):
    path = write_clip(tmp_path / "odd.mkv", plain(4, 63, 47), codec="libx264rgb", pixels="rgb24")
    assert (looked_at(path).width, looked_at(path).height) == (63, 47)
    assert len(listed(path)) == 4


def test_one_frame(tmp_path):
    path = write_clip(tmp_path / "one.mp4", plain(1))
    assert listed(path) == [(0, 0.0)]
    assert looked_at(path).frames == 1


def test_a_file_cut_short_says_where(tmp_path):
    path = write_clip(tmp_path / "a.mkv", plain(60, 320, 240), gop=5)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert 0 < len(listed(path)) < 60  # Matroska ends where its bytes end: what is there is whole


def test_an_mp4_cut_short_is_an_error(tmp_path):
    path = write_clip(tmp_path / "a.mp4", plain(60, 320, 240))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])  # the index at the end is gone
    with pytest.raises(DataError, match=r"a\.mp4' is not a video that can be read, or is cut short"):
        looked_at(path)


@pytest.mark.parametrize("data", [b"", b"hello\n", bytes(5000), b"\x00\x00\x00\x18ftypmp42" + bytes(100)])
def test_what_is_no_video(data):
    with pytest.raises(DataError, match="'x'"):
        probe(io.BytesIO(data), "x")


def test_sound_without_pictures(tmp_path):
    path = write_sound_only(tmp_path / "sound.m4a")
    with pytest.raises(DataError, match="no video stream"):
        looked_at(path)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.webm"])
@pytest.mark.parametrize("audio", [False, True])
def test_what_is_missing_at_the_end_is_noticed(tmp_path, name, audio):
    """An index at the front, then the file breaks off: every frame that is there decodes."""
    if name == "a.webm" and audio:
        pytest.skip("the test's sound is AAC")
    options = {"codec": "libvpx"} if name == "a.webm" else {}
    path = write_clip(tmp_path / name, plain(150, 320, 240), audio=audio, faststart=name == "a.mp4", **options)
    assert not looked_at(path).ending.missing
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video = looked_at(path)
    assert 1 < video.ending.missing < 5
    assert 0 < len(listed(path)) < 150


def test_times_ascend_where_the_container_repeats_one(tmp_path):
    path = write_clip(tmp_path / "b.avi", plain(40), codec="mpeg4", b_frames=2)
    times = [time for _, time in listed(path)]
    assert len(times) == 40
    assert all(a < b for a, b in itertools.pairwise(times))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.ts", "libx264"), ("a.wmv", "wmv2"), ("a.nut", "libx264"), ("a.avi", "mpeg4")],
)
@pytest.mark.parametrize("start", [-1, 0.2, 0.7, 1.3, 1.9])
def test_seeking_keeps_numbers_where_it_lands_elsewhere(tmp_path, name, codec, start):
    path = write_clip(tmp_path / name, plain(50), codec=codec)
    with open(path, "rb") as file:
        whole = [(frame.number, frame.time) for frame in frames(file, "x")]
        part = [(frame.number, frame.time) for frame in frames(file, "x", start=start)]
    assert [number for number, _ in whole] == list(range(50))
    assert part == [x for x in whole if x[1] >= start]


def test_a_frame_that_cannot_be_decoded_keeps_its_number(tmp_path):
    import av

    path = write_clip(tmp_path / "a.mp4", plain(50), gop=10)
    with av.open(str(path)) as container:
        hole = [(p.pos, p.size) for p in container.demux(video=0) if p.size and 20 <= p.pts * p.time_base * 25 < 30]
    data = bytearray(path.read_bytes())
    for at, size in hole:
        data[at : at + size] = bytes(size)
    path.write_bytes(data)
    whole = listed(path)
    assert 0 < len(whole) < 50
    assert whole[-1] == (49, 1.96)
    assert all(time == round(number / 25, 3) for number, time in whole)
    assert listed(path, start=1.3) == [x for x in whole if x[1] >= 1.3]


@pytest.mark.parametrize("name", ["late.mkv", "late.mp4", "late.ts"])
def test_a_clip_that_begins_late_is_whole(tmp_path, name):
    path = write_clip(tmp_path / name, plain(100), [5000 + 40 * k for k in range(100)])
    assert not looked_at(path).ending.missing


def test_a_raw_stream_is_timed_by_its_rate(tmp_path):
    path = write_clip(tmp_path / "a.h264", plain(30))
    whole = [(k, round(k / 25, 3)) for k in range(30)]
    assert listed(path) == whole
    assert listed(path, start=0.5, stop=0.9) == [x for x in whole if 0.5 <= x[1] < 0.9]
    video = looked_at(path)
    assert (video.frames, video.fps, video.start_time) == (30, 25, 0)


@pytest.mark.parametrize(
    ("matrix", "rotation"),
    [
        ((0, 0, 0, 0), 0),
        ((0.966, 0.259, -0.259, 0.966), 0),  # 15 degrees
        ((0.259, 0.966, -0.966, 0.259), 270),  # 75 degrees clockwise
    ],
)
def test_odd_display_matrices(tmp_path, matrix, rotation):
    path = write_clip(tmp_path / "a.mp4", plain(3))
    set_display_matrix(path, matrix)
    video = looked_at(path)
    assert (video.rotation, video.mirrored) == (rotation, False)
