"""Every picture of a clip is accounted for: decoded, or told of as lost, with its frame and its second."""

from __future__ import annotations

import io
import itertools
import json
import logging

import av
import numpy as np
import pytest
from clips import bouncing, plain, write_clip
from commands import one_line, racctl

from racctl.contracts import Mask
from racctl.errors import DataError
from racctl.io.npz import read_pose
from racctl.progress import LOG
from racctl.recognisers.inputs import Look, gather
from racctl.video.decode import frames, probe
from racctl.video.losses import Losses
from racctl.video.span import part_of

WHOLE = {"stride": 1}


def noisy(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Pictures that take some room each."""
    rng = np.random.default_rng(0)
    return [image + rng.integers(0, 50, image.shape, dtype=np.uint8) for image in plain(count, width, height)]


def read(path, **options):
    """Numbers and times of the frames, and the losses."""
    losses = Losses()
    with open(path, "rb") as file:
        chosen = [(frame.number, round(frame.time, 3)) for frame in frames(file, str(path), **options, losses=losses)]
    return chosen, losses


def with_hole(path, begin, end):
    """Zeros in place of a share of the file's packets, which stay where they are."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for at, size in packets[int(begin * len(packets)) : int(end * len(packets))]:
        data[at : at + size] = bytes(size)
    path.write_bytes(data)
    return path


@pytest.fixture
def heard():
    """What the library tells meanwhile."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    LOG.addHandler(handler)
    yield messages
    LOG.removeHandler(handler)


@pytest.fixture
def damaged(tmp_path):
    """120 frames, 25 a second, with B-frames and a hole."""
    return with_hole(write_clip(tmp_path / "damaged.mp4", noisy(120), gop=60, b_frames=3), 0.4, 0.6)


def test_a_hole_in_the_middle_is_located(damaged):
    chosen, losses = read(damaged)
    numbers = [number for number, _ in chosen]
    lost = [number for gap in losses.gaps for number in range(gap.start, gap.stop)]
    assert sorted(numbers + lost) == list(range(120)) and numbers == sorted(numbers)
    assert 5 < len(lost) == losses.lost and losses.frames == 120
    assert all(40 < number < 80 for number in lost)
    assert all(time == round(number / 25, 3) for number, time in chosen)
    assert losses.gaps[0].begin == pytest.approx(losses.gaps[0].start / 25)
    assert losses.line().startswith(f"{len(lost)} of 120 frames cannot be decoded, {len(lost) / 25:.2f} s: ")


def test_a_part_has_the_losses_of_the_part(damaged):
    whole, losses = read(damaged)
    begin, end = losses.gaps[0].begin, losses.gaps[-1].end
    chosen, before = read(damaged, stop=begin)
    assert chosen == [row for row in whole if row[1] < begin] and not before
    chosen, after = read(damaged, start=end + 0.04)
    assert chosen == [row for row in whole if row[1] >= end + 0.04] and not after
    chosen, within = read(damaged, start=begin - 0.1, stop=end + 0.1)
    assert within.lost == losses.lost and len(chosen) + within.lost == within.frames


def test_a_late_picture_is_put_in_its_place(tmp_path, monkeypatch):
    """As a decoder gives them after a hole: ..., 12, 20, 13, 21, ..."""
    from racctl.video import decode

    def shuffled(*args):
        images = list(decoded(*args))
        return iter([*images[:13], images[20], images[13], *images[21:]])

    decoded = decode._decoded
    path = write_clip(tmp_path / "a.mp4", plain(30))
    monkeypatch.setattr(decode, "_decoded", shuffled)
    chosen, losses = read(path)
    assert [number for number, _ in chosen] == [*range(14), *range(20, 30)]
    assert [(gap.start, gap.stop) for gap in losses.gaps] == [(14, 20)]


def test_a_picture_that_is_too_late_is_lost_and_condemns_nothing(tmp_path, monkeypatch):
    from racctl.video import decode

    def shuffled(*args):
        images = list(decoded(*args))
        return iter([*images[:5], *images[6:], images[5]])

    decoded = decode._decoded
    path = write_clip(tmp_path / "a.mp4", plain(30))
    monkeypatch.setattr(decode, "_decoded", shuffled)
    chosen, losses = read(path)
    assert [number for number, _ in chosen] == [*range(5), *range(6, 30)]
    assert losses.line() == "1 of 30 frames cannot be decoded, 0.04 s: 5 (0.20 to 0.24 s)"


def test_packets_that_a_transport_stream_lost(tmp_path):
    path = write_clip(tmp_path / "a.ts", noisy(100), gop=50, b_frames=2)
    data = path.read_bytes()
    begin, end = (len(data) // 188 * share // 100 * 188 for share in (40, 55))
    path.write_bytes(data[:begin] + data[end:])
    chosen, losses = read(path)
    assert 40 < len(chosen) < 100
    assert len(chosen) + losses.lost == losses.frames  # of the packets that are there
    assert all(a < b for a, b in itertools.pairwise(chosen))


@pytest.fixture
def headless(tmp_path):
    """The end of a transport stream, from the middle of a group of pictures on."""
    path = write_clip(tmp_path / "headless.ts", noisy(100), gop=50)
    data = path.read_bytes()
    tables = data[: 3 * 188]
    path.write_bytes(tables + data[len(data) // 188 * 20 // 100 * 188 :])
    return path


def test_a_start_without_a_key_frame(headless):
    chosen, losses = read(headless)
    (gap,) = losses.gaps
    assert gap.start == 0 and gap.stop == chosen[0][0] == losses.lost
    assert 50 <= len(chosen) == losses.frames - losses.lost < 55
    with open(headless, "rb") as file:
        video = probe(file, "headless.ts")
        assert gap.begin == video.start_time and gap.end == pytest.approx(chosen[0][1], abs=1e-3)
        args = {**WHOLE, "stop": gap.end - 0.1}
        with pytest.raises(DataError, match=r"none of the \d+ frames .*; the first that can be is at") as error:
            part_of(file, video, args, "headless.ts")
    assert f"at {chosen[0][1]:.2f} s" in str(error.value)


@pytest.mark.parametrize("name", ["a.ts", "a.mkv"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_times_go_on_where_the_clock_starts_over(tmp_path, name, b_frames):
    path = write_clip(tmp_path / name, plain(30), b_frames=b_frames)
    once, _ = read(path)
    path.write_bytes(path.read_bytes() * 2)
    twice, losses = read(path)
    assert [number for number, _ in twice] == list(range(60)) and twice[:30] == once
    assert np.diff([time for _, time in twice]) == pytest.approx(0.04, abs=2e-3)
    assert losses.line().startswith("the clock starts over at frame 30 (")
    for start in (0.5, 1.8):
        assert read(path, start=start)[0] == [row for row in twice if row[1] >= start]


@pytest.mark.parametrize("start", [None, 1.6])
def test_a_size_that_changes_is_scaled_to_the_first(tmp_path, start):
    parts = [write_clip(tmp_path / f"{side}.ts", plain(30, side, side)).read_bytes() for side in (64, 96)]
    losses = Losses()
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    with open(path, "rb") as file:
        chosen = list(frames(file, "x", start, losses=losses))
    assert {(frame.image.width, frame.image.height) for frame in chosen} == {(64, 64)}
    assert chosen[-1].number == 59
    assert "the picture size changes at frame 30 (" in losses.line() and "scaled to 64x64" in losses.line()


def test_another_video_behind_the_end(tmp_path):
    path = write_clip(tmp_path / "a.mp4", plain(30), faststart=True)
    alone = path.read_bytes()
    for junk in (b"", bytes(5000), np.random.default_rng(0).bytes(5000)):
        path.write_bytes(alone + junk)
        with open(path, "rb") as file:
            assert not probe(file, "a.mp4").ending.remarks
    path.write_bytes(alone + alone)
    with open(path, "rb") as file:
        (remark,) = probe(file, "a.mp4").ending.remarks
    assert remark == "another video of 30 frames follows the end of this one and is left out"
    assert len(read(path)[0]) == 30


def test_a_vp8_packet_that_shows_nothing_is_no_picture(tmp_path):
    path = write_clip(tmp_path / "a.webm", noisy(30), codec="libvpx")
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size, bytes(packet)) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    at = data.index(packets[10][2])
    data[at] &= ~0x10  # show_frame
    path.write_bytes(data)
    chosen, losses = read(path)
    assert len(chosen) == 29 and losses.frames == 29 and not losses


def test_a_raw_stream_tells_how_many_but_not_which(tmp_path):
    path = write_clip(tmp_path / "a.h264", noisy(60), gop=20)
    data = path.read_bytes()
    headers = data[: data.index(b"\0\0\1\x65")]  # before the first key frame
    path.write_bytes(headers + data[data.index(b"\0\0\1", len(data) // 2) :])
    chosen, losses = read(path)
    assert 0 < len(chosen) < losses.frames
    assert losses.clauses() == [f"{losses.frames - len(chosen)} of {losses.frames} frames cannot be decoded"]


def test_the_library_notes_it_once_and_keeps_it(damaged, heard):
    with open(damaged, "rb") as file:
        video = probe(file, "damaged.mp4")
        part = part_of(file, video, WHOLE, "damaged.mp4")
        assert len(list(part.frames)) == 120 - part.losses.lost
    assert heard == [f"'damaged.mp4': {part.losses.line()}"]
    source = part.source(video)
    assert source["losses"]["frames"] == part.losses.lost
    assert [gap.stop - gap.start for gap in part.losses.gaps] == [b - a for a, b in source["losses"]["gaps"]]
    assert json.dumps(source)


def test_a_recogniser_is_told_too(damaged, heard):
    mask = Mask(np.zeros((120, 8, 8), np.uint8), np.arange(120), np.arange(120) / 25)
    with open(damaged, "rb") as file:
        streams = gather(file, "damaged.mp4", Look(size=16), mask)
    assert len(streams.frame) > 100
    (message,) = heard
    assert "of 120 frames cannot be decoded" in message


def test_a_whole_clip_is_without_a_word(tmp_path, heard):
    path = write_clip(tmp_path / "a.mp4", plain(30), b_frames=2)
    with open(path, "rb") as file:
        video = probe(file, "a.mp4")
        part = part_of(file, video, WHOLE, "a.mp4")
        assert len(list(part.frames)) == 30
    assert not heard and part.source(video) == video.source()


def test_commands_tell_it_in_one_line(tmp_path):
    path = write_clip(tmp_path / "a.mp4", bouncing(60, 30), gop=30, b_frames=2)
    with_hole(path, 0.55, 0.8)
    done = racctl("pose", "a.mp4", "-o", "p.npz", cwd=tmp_path)
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 0 and line.startswith("note: 'a.mp4': ") and "of 60 frames cannot be decoded" in line
    pose = read_pose(io.BytesIO((tmp_path / "p.npz").read_bytes()), "p")
    lost = pose.meta["source"]["losses"]["frames"]
    assert len(pose.frame) == 60 - lost and pose.frame[-1] == 59
    counted = racctl("count", "a.mp4", "--model", "periodicity", "--format", "csv", cwd=tmp_path)
    assert counted.stderr.decode().splitlines() == [line]
    assert racctl("pose", "a.mp4", "-q", "-o", "p.npz", cwd=tmp_path).stderr == b""
    told = json.loads(racctl("info", "a.mp4", "--format", "json", cwd=tmp_path).stdout)
    assert f"note: 'a.mp4': {told['losses']}" == line


def test_a_long_video_is_described_without_decoding_it(damaged, monkeypatch):
    from racctl import info

    assert "frames cannot be decoded" in info.describe(str(damaged))["losses"]
    monkeypatch.setattr(info, "MAX_DECODED", 64 * 48 * 119)
    assert info.describe(str(damaged))["losses"] == info.NOT_DECODED


def test_labels_of_damaged_videos_are_found(tmp_path):
    with_hole(write_clip(tmp_path / "holed.mp4", noisy(60), gop=30, b_frames=2), 0.4, 0.7)
    joined = write_clip(tmp_path / "joined.mp4", plain(30), faststart=True)
    joined.write_bytes(joined.read_bytes() * 2)
    write_clip(tmp_path / "whole.mts", plain(30))
    (tmp_path / "t.csv").write_text("clip,count\nholed,3\njoined,3\nwhole,3\n")
    done = racctl("check-labels", "t.csv", ".", "--format", "json", cwd=tmp_path)
    assert [(row["clip"], row["kind"]) for row in json.loads(done.stdout)] == [
        ("holed", "damaged video"), ("joined", "odd video"),
    ]  # fmt: skip


def test_nothing_that_can_be_decoded_is_one_line(headless):
    stop = read(headless)[1].gaps[0].end - 0.1
    message = one_line(racctl("pose", headless, "--stop", stop, "-o", headless.with_suffix(".npz")), 1)
    assert "frames in the part asked for can be decoded" in message


LOSING_PACKETS = ["a.ts", "a.mkv", "a.webm", "a.flv"]


@pytest.mark.parametrize("name", LOSING_PACKETS)
def test_pictures_that_the_file_does_not_hold_are_told_by_the_times(tmp_path, name):
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    path = write_clip(tmp_path / name, noisy(120), codec=codec, gop=20)
    assert read(path)[1].line() == ""
    data = bytearray(path.read_bytes())
    begin, end = (len(data) * share // 100 for share in (40, 55))
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
    chosen, losses = read(path)
    absent = sum(leap.count for leap in losses.leaps)
    assert losses.leaps and abs(absent + losses.lost + len(chosen) - 120) <= 1
    marked = name == "a.ts"  # elsewhere it could be a pause
    assert f"{'' if marked else 'a pause, or '}about {absent} frames are missing in the file, " in losses.line()
    assert f"({losses.leaps[0].begin:.2f} to" in losses.line()
    assert losses.record()["losses"]["leaps"] == [leap.number for leap in losses.leaps]
    assert losses.absent == losses.record()["losses"]["missing"] == (absent if marked else 0)
    assert not read(path, stop=chosen[2][1])[1]
    (tmp_path / "t.csv").write_text("clip,count\na,1\n")
    result = racctl("check-labels", tmp_path / "t.csv", tmp_path, "--format", "csv")
    assert result.returncode == 1
    assert (b"a,2,damaged video," if marked or losses.lost else b"a,2,odd video,") in result.stdout


@pytest.mark.parametrize("name", LOSING_PACKETS)
def test_a_late_last_picture_condemns_nothing(tmp_path, name):
    codec = "libvpx" if name == "a.webm" else "libx264"
    path = write_clip(tmp_path / name, plain(60), [*range(0, 40 * 59, 40), 6000], codec=codec)
    chosen, losses = read(path)
    assert len(chosen) == 60 and chosen[-1][1] - chosen[-2][1] > 3 and not losses


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_camera_that_leaves_out_pictures_loses_none(tmp_path, name):
    rng = np.random.default_rng(5)
    stamps = np.cumsum(rng.choice([40, 40, 40, 80, 120, 320], 120)).tolist()
    path = write_clip(tmp_path / name, plain(120), stamps)
    chosen, losses = read(path)
    assert len(chosen) == 120 and not losses


def test_a_packet_without_a_decoding_time_starts_no_clock_over():
    """Matroska's first packets have none, and damage leaves those that are far apart."""
    from fractions import Fraction
    from types import SimpleNamespace

    from racctl.video.index import PacketClock

    clock = PacketClock(Fraction(1, 1000))
    stamps = [(0, None), (1000, None), (1067, 0), (1033, 1000), (1133, 1033)]
    packets = [SimpleNamespace(pts=pts, dts=dts, duration=33) for pts, dts in stamps]
    for packet in packets:
        clock.set(packet)
    assert [(packet.pts, packet.dts) for packet in packets] == stamps and not clock.restarts
