"""Overlays: every frame at its own time, the sound kept, the drawing where it belongs, and whole files or none."""

from __future__ import annotations

import io
import os
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import plain, write_clip

from racctl.contracts import Pose
from racctl.errors import DataError, UsageError
from racctl.skeleton.topology import COCO17, TOPOLOGIES
from racctl.video.decode import frames, probe
from racctl.video.draw import CountRing, TimeLine, ink, yuv_matrix
from racctl.video.overlay import Scene, write_overlay

NONE = np.zeros(0, np.int64)
UNEVEN = [0, 40, 55, 130, 131, 200, 340, 345, 400, 480, 700, 710]  # ms


def pose_of(count, at=((60, 30), (100, 90)), people=1, score=1.0, frame=None, fps=25, **meta):
    """A pose with one limb, from left shoulder to left elbow, at the two points `at`; everything else unknown."""
    xyz = np.full((count, people, len(COCO17), 3), np.nan, np.float32)
    xyz[..., COCO17.indices(["left_shoulder", "left_elbow"]), :2] = at
    scores = np.where(np.isfinite(xyz[..., 0]), np.float32(score), np.float32(0))
    frame = np.arange(count) if frame is None else np.asarray(frame)
    return Pose(xyz, scores, frame, frame / fps, np.arange(people, dtype=np.int32), {"topology": "coco17", **meta})


def grey(count, width=160, height=120):
    return [np.full((height, width, 3), 128, np.uint8)] * count


def overlay(clip, pose, starts=NONE, stops=NONE):
    """Where the overlay of `clip` was written."""
    target = clip.parent / "out" / f"{clip.stem}.mp4"
    target.parent.mkdir(exist_ok=True)
    with clip.open("rb") as source:
        write_overlay(source, str(clip), target, pose, np.asarray(starts), np.asarray(stops))
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    return target


def pictures(path):
    """(T, H, W, 3) uint8."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def times(path):
    """Exact presentation times of the frames."""
    with path.open("rb") as file:
        return [frame.image.pts * frame.image.time_base for frame in frames(file, path.name)]


def sound(path):
    """Codec, first time and length in seconds of the audio as it is decoded."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        pieces = list(container.decode(stream))
        seconds = sum(piece.samples for piece in pieces) / stream.codec_context.sample_rate
        return stream.codec_context.codec.canonical_name, float(pieces[0].time), seconds


def changed(path, second, frame=0, by=24):
    """(H, W) bool: where a frame of two videos differs by more than `by`."""
    before, after = (pictures(p)[frame].astype(int) for p in (path, second))
    return np.abs(before - after).max(-1) > by


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", grey(30), audio=True)


@pytest.mark.parametrize(
    ("suffix", "codec", "stamps"), [("mp4", "libx264", UNEVEN), ("mkv", "libx264", UNEVEN), ("avi", "mpeg4", None)]
)
def test_every_frame_keeps_its_time(tmp_path, suffix, codec, stamps):
    clip = write_clip(tmp_path / f"a.{suffix}", plain(12, 160, 120), stamps, codec=codec)
    out = overlay(clip, pose_of(12), [2, 6], [6, 10])
    assert times(out) == times(clip) and len(times(out)) == 12


def test_without_h264_the_fallback_does(tmp_path, monkeypatch):
    monkeypatch.setattr("racctl.video.mp4.VIDEO_CODECS", {"no_such_encoder": {}, "mpeg4": {}})
    monkeypatch.setattr("racctl.video.mp4._clock", lambda image: Fraction(1, 90_000))  # too fine for MPEG-4
    clip = write_clip(tmp_path / "a.mkv", plain(12, 160, 120), UNEVEN)
    out = overlay(clip, pose_of(12))
    assert [float(t) for t in times(out)] == pytest.approx([float(t) for t in times(clip)], abs=1 / 65_535)
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"


def test_a_clip_that_begins_late_stays_so(tmp_path):
    clip = write_clip(tmp_path / "a.mkv", plain(8), [1400 + 40 * k for k in range(8)])
    assert times(overlay(clip, pose_of(8))) == times(clip)


def test_length_of_the_last_frame(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", plain(10), fps=10)
    with overlay(clip, pose_of(10)).open("rb") as file, av.open(file) as container:
        assert float(container.streams.video[0].duration * container.streams.video[0].time_base) == pytest.approx(1.0)


def test_sound_is_copied(clip):
    remaining = sound(overlay(clip, pose_of(30)))
    assert remaining == sound(clip) and remaining[0] == "aac"

    def bytes_of(path):
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0)]

    assert bytes_of(overlay(clip, pose_of(30))) == bytes_of(clip)


@pytest.mark.parametrize(
    ("suffix", "codec", "becomes"),
    [("mov", "pcm_s16le", "aac"), ("mkv", "flac", "aac"), ("mkv", "libmp3lame", "mp3"), ("ts", "aac", "aac")],
)
def test_sound_of_other_kinds(tmp_path, suffix, codec, becomes):
    clip = tmp_path / f"a.{suffix}"
    with av.open(str(clip), "w") as container:
        video, audio = container.add_stream("libx264", rate=25), container.add_stream(codec, rate=16000)
        video.width, video.height, audio.codec_context.layout = 64, 48, "mono"
        for number, image in enumerate(plain(25)):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        tone = (9000 * np.sin(np.arange(16000) / 5)).astype(np.int16)
        for begin in range(0, 16000, 1000):
            piece = av.AudioFrame.from_ndarray(tone[None, begin : begin + 1000], "s16", "mono")
            piece.sample_rate, piece.pts, piece.time_base = 16000, begin, Fraction(1, 16000)
            container.mux(audio.encode(piece))
        container.mux(audio.encode())
    kind, begin, length = sound(overlay(clip, pose_of(25)))
    assert kind == becomes
    assert (begin, length) == (pytest.approx(sound(clip)[1], abs=0.001), pytest.approx(sound(clip)[2], abs=0.1))


def test_silent_stays_silent(tmp_path):
    assert sound(overlay(write_clip(tmp_path / "a.mp4", plain(5)), pose_of(5))) is None


def test_the_limb_is_drawn_and_the_rest_left_alone(clip):
    drawn = changed(clip, overlay(clip, pose_of(30)), 10, by=12)
    along = np.linspace((60, 30), (100, 90), 20).round().astype(int)
    assert drawn[along[:, 1], along[:, 0]].all()
    height, width = np.indices(drawn.shape)
    off = np.abs((height - 30) * 40 - (width - 60) * 60) / np.hypot(40, 60)  # pixels from the limb's line
    assert not drawn[(off > 8) & (width > 50) & (height < 100)].any()
    assert drawn[:24, :24].any() and drawn[112:].any()  # the count and the time line


def test_no_pose_no_limb_and_a_faint_one_where_unsure(clip):
    middle = (60, 80)
    sure, unsure, nobody = (overlay_colour(clip, pose) for pose in (
        pose_of(30), pose_of(30, score=0.05), pose_of(30, at=np.nan)
    ))  # fmt: skip
    assert np.abs(nobody[middle] - 128).max() < 8
    assert 10 < np.abs(unsure[middle] - 128).max() < 0.6 * np.abs(sure[middle] - 128).max()


def overlay_colour(clip, pose, frame=10):
    return pictures(overlay(clip, pose))[frame].astype(int)


def test_one_colour_for_each_person(clip):
    pose = pose_of(30, people=2)
    pose.xyz[:, 1, :, 0] += 40
    image = overlay_colour(clip, pose)
    assert np.abs(image[60, 80] - image[60, 120]).max() > 60


def test_held_for_its_stride_and_not_beyond(clip):
    pose = pose_of(4, frame=[6, 9, 12, 15])
    film = pictures(overlay(clip, pose)).astype(int)
    seen = [number for number, image in enumerate(film) if np.abs(image[60, 80] - 128).max() > 30]
    assert seen == list(range(6, 18))
    message = [number for number, image in enumerate(film) if image[36:50, 8:60].min() < 90]  # "not analysed"
    assert message == [number for number in range(30) if number not in seen]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_output_is_upright(tmp_path, rotation):
    ramp = np.dstack([np.tile(np.linspace(60, 190, 160, dtype=np.uint8), (96, 1))] * 3)
    clip = write_clip(tmp_path / "a.mp4", [ramp] * 6, rotation=rotation)
    with clip.open("rb") as file:
        video = probe(file, "a")
    out = overlay(clip, pose_of(6, at=((40, 30), (70, 60))))
    with out.open("rb") as file:
        output = probe(file, "a")
    assert (output.rotation, output.width, output.height) == (0, video.width, video.height)
    upright = np.rot90(ramp, rotation // 90).astype(int)
    difference = np.abs(pictures(out)[3].astype(int) - upright).max(-1) > 24
    assert difference[45, 55] and not difference[36:80, 75:90].any()


def test_odd_sides_are_padded_not_stretched(tmp_path):
    images = [np.dstack([np.tile(np.arange(81, dtype=np.uint8) * 2, (61, 1))] * 3)] * 4
    clip = write_clip(tmp_path / "a.mkv", images, codec="ffv1")
    out = overlay(clip, pose_of(4, at=np.nan))
    film = pictures(out)
    assert film.shape[1:3] == (62, 82)
    assert np.abs(film[2][30:45, 40:81].astype(int) - images[2][30:45, 40:]).max() < 12


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"),
    [
        ("ffv1", "bgr0", "mkv"),
        ("libx264", "yuv444p", "mkv"),
        ("libx264", "yuv420p10le", "mp4"),
        ("mjpeg", "yuvj420p", "avi"),
    ],
)
def test_colours_survive_any_pixel_format(tmp_path, codec, pixels, suffix):
    images = [np.full((96, 128, 3), (200, 60, 40), np.uint8)] * 4
    clip = write_clip(tmp_path / f"a.{suffix}", images, codec=codec, pixels=pixels)
    before, after = pictures(clip)[1].astype(int), pictures(overlay(clip, pose_of(4, at=np.nan)))[1].astype(int)
    assert np.abs(before[40:80, 60:] - after[40:80, 60:]).max() < 10


def test_poses_of_another_size_of_the_clip(clip):
    small = pose_of(30, at=((30, 15), (50, 45)), source={"width": 80, "height": 60})
    assert changed(clip, overlay(clip, small), 10)[60, 80]
    unknown = pose_of(30, source={"width": "wide", "height": 0})
    assert changed(clip, overlay(clip, unknown), 10)[60, 80]


def test_tiny_clip_and_every_topology(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", plain(3, 16, 8))
    rng = np.random.default_rng(0)
    for name, topology in TOPOLOGIES.items():
        xyz = rng.uniform(-1e6, 40, (3, 1, len(topology), 3)).astype(np.float32)
        pose = Pose(xyz, np.ones(xyz.shape[:3], np.float32), np.arange(3), np.arange(3) / 25, np.zeros(1, np.int32))
        pose.meta = {"topology": name}
        assert len(times(overlay(clip, pose))) == 3


def test_overlay_is_the_same_every_time(clip):
    pose = pose_of(30)
    assert overlay(clip, pose, [2], [20]).read_bytes() == overlay(clip, pose, [2], [20]).read_bytes()


def test_progress_counts_a_repetition_with_its_last_frame(clip):
    with clip.open("rb") as file:
        scene = Scene(pose_of(30), probe(file, "clip"), np.array([2, 6, 20]), np.array([6, 10, 30]))
    assert [scene.progress(k) for k in (0, 2, 5, 6, 9, 10, 25, 29)] == [
        (0, 0.0), (0, 0.25), (1, 1.0), (1, 0.25), (2, 1.0), (2, 0.0), (2, 0.6), (3, 1.0),
    ]  # fmt: skip


def test_seconds_beyond_the_pose(clip):
    with clip.open("rb") as file:
        scene = Scene(pose_of(5, frame=[10, 12, 14, 16, 18]), probe(file, "clip"), NONE, NONE)
    assert scene.seconds(np.array([0, 10, 13, 18, 30])) == pytest.approx(np.array([0, 10, 13, 18, 30]) / 25)


def test_ring_fills_and_holds_long_counts():
    planes = np.full((200, 300), 128, np.uint8), np.full((100, 150), 128, np.uint8), np.full((100, 150), 128, np.uint8)
    ring, bright = CountRing(300, 200, yuv_matrix(True, True)), []
    for phase in (0, 0.25, 0.5, 1):
        for layer in ring.layers(7, phase, True):
            layer.onto(planes)
        bright.append(int((planes[0] > 180).sum()))
    assert bright == sorted(set(bright))
    for count in (0, 10, 100, 12345):
        for layer in ring.layers(count, 0.5, False):
            layer.onto(planes)


def test_time_line_shows_what_is_past():
    line = TimeLine(300, 200, yuv_matrix(True, True), (0, 10), np.array([2.0, 8.0]), np.array([[3.0, 5.0], [5.0, 7.0]]))
    levels = []
    for now in (0, 4, 10):
        planes = tuple(np.full((200 // n, 300 // n), 128, np.uint8) for n in (1, 2, 2))
        for layer in line.layers(now):
            layer.onto(planes)
        assert (planes[0][:150] == 128).all()
        levels.append(planes[0][-6, [105, 135, 165, 195]].astype(int))
    assert (levels[0] < levels[2]).all()
    assert levels[1][0] == levels[2][0] and levels[1][3] == levels[0][3]


@pytest.mark.parametrize(("bt709", "full_range"), [(True, True), (True, False), (False, True), (False, False)])
def test_inks_are_the_colours_they_stand_for(bt709, full_range):
    frame = av.VideoFrame(16, 16, "yuv420p")
    frame.colorspace, frame.color_range = (1 if bt709 else 5), (2 if full_range else 1)
    for colour in ((255, 255, 255), (86, 180, 233), (230, 159, 0), (16, 18, 22)):
        for plane, value in zip(frame.planes, ink(colour, yuv_matrix(bt709, full_range)), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        shown = frame.to_ndarray(format="rgb24", src_color_range=frame.color_range)[8, 8].astype(int)
        assert np.abs(shown - colour).max() <= 4


@pytest.mark.parametrize("name", ["a.avi", "a", "a.png"])
def test_other_suffixes_are_refused(clip, tmp_path, name):
    with pytest.raises(UsageError, match=r"end it in \.mp4"), clip.open("rb") as file:
        write_overlay(file, str(clip), tmp_path / name, pose_of(30), NONE, NONE)
    assert not list(tmp_path.iterdir())


def test_the_clip_itself_is_refused(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", plain(3))
    before = clip.read_bytes()
    with pytest.raises(UsageError, match="the clip itself"), clip.open("rb") as file:
        write_overlay(file, str(clip), tmp_path / "." / "a.mp4", pose_of(3), NONE, NONE)
    assert clip.read_bytes() == before


def refused(clip, target, pose, message, source=None):
    with pytest.raises(DataError, match=message) as error, source or clip.open("rb") as file:
        write_overlay(file, "clip.mp4", target, pose, NONE, NONE)
    assert "\n" not in str(error.value)


def test_errors_are_one_line_and_leave_nothing(clip, tmp_path):
    refused(clip, tmp_path / "no" / "a.mp4", pose_of(30), "cannot write")
    refused(clip, tmp_path / "a.mp4", pose_of(30, scale="metres"), "'metres', expected pixels")
    refused(clip, tmp_path / "a.mp4", pose_of(30), "not a video", io.BytesIO(b"no video" * 99))
    assert not list(tmp_path.iterdir())


def test_an_interrupted_overlay_leaves_the_old_file(clip, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"old")
    told = []

    def interrupted(done, total):
        told.append((done, total))
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), clip.open("rb") as file:
        write_overlay(file, "b", tmp_path / "a.mp4", pose_of(30), NONE, NONE, interrupted)
    assert told == [(done, 30) for done in range(1, 8)]
    assert (tmp_path / "a.mp4").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_pipe_gets_the_same_bytes(clip, tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    reader = os.open(tmp_path / "a.mp4", os.O_RDONLY | os.O_NONBLOCK)
    with clip.open("rb") as file, open(reader, "rb") as pipe:
        write_overlay(file, "clip.mp4", tmp_path / "a.mp4", pose_of(30), NONE, NONE)
        assert pipe.read() == overlay(clip, pose_of(30)).read_bytes()


def test_a_full_disk_is_one_line(clip, tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() > 2000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    monkeypatch.setattr("racctl.io.output._replace", lambda path, build: build(Full()))
    refused(clip, tmp_path / "a.mp4", pose_of(30), "cannot write .*no space left")


def test_size_change_within_a_clip(tmp_path):
    """Two H.264 streams of different sizes, one behind the other in one MPEG transport stream."""
    parts = [write_clip(tmp_path / f"{side}.ts", plain(6, side, side)).read_bytes() for side in (64, 96)]
    with io.BytesIO(b"".join(parts)) as file:
        write_overlay(file, "joined.ts", tmp_path / "out.mp4", pose_of(12), np.zeros(0), np.zeros(0))
    with (tmp_path / "out.mp4").open("rb") as file:
        chosen = list(frames(file, "out.mp4"))
    assert len(chosen) == 12 and {(frame.image.width, frame.image.height) for frame in chosen} == {(64, 64)}
    assert np.diff([frame.time for frame in chosen]) == pytest.approx(0.04, abs=2e-3)
