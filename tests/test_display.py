"""Pictures as players show them: pixels square, mirrored and turned as the file asks; and raw streams in time."""

from __future__ import annotations

import json
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import bouncing, plain, set_display_matrix, write_clip
from PIL import Image

import racctl
from racctl import info
from racctl.contracts import Mask, Pose, clip_stem, load_meta
from racctl.errors import DataError
from racctl.recognisers.inputs import Look, gather
from racctl.skeleton.topology import COCO17
from racctl.video import display
from racctl.video.decode import frames, probe, upright
from racctl.video.losses import Losses
from racctl.video.overlay import write_overlay

FOUR_THIRDS = Fraction(4, 3)
ORIENTATIONS = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]


def corner(width=64, height=48):
    """(H, W, 3) uint8, light at the top left, less so along the top: no two orientations of it look the same."""
    image = np.full((height, width, 3), 40, np.uint8)
    image[: height // 4] = 120
    image[: height // 4, : width // 4] = 240
    return image


def looked_at(path):
    with open(path, "rb") as file:
        return probe(file, path.name)


def read(path, start=None):
    """The pictures, (H, W, 3) uint8 and upright, and the losses."""
    losses, video = Losses(), looked_at(path)
    with open(path, "rb") as file:
        decoded = frames(file, path.name, start, losses=losses)
        return [upright(f.image.to_ndarray(format="rgb24"), video.rotation).astype(int) for f in decoded], losses


def patched(path, before, after):
    """The file with these bytes in place of those, which are in it once."""
    data = path.read_bytes()
    assert data.count(before) == 1
    path.write_bytes(data.replace(before, after))
    return path


def pasp(horizontal, vertical):
    return b"pasp" + struct.pack(">2I", horizontal, vertical)


def write_raw(path, codec, fps, options=None, pixels="yuv420p", count=20):
    """The data of a codec alone, in its own clock."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
        for number, image in enumerate(plain(count)):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "libx264"), ("a.avi", "mpeg4")]
)
@pytest.mark.parametrize(("aspect", "width"), [(FOUR_THIRDS, 86), (Fraction(8, 9), 56), (Fraction(2), 128)])
def test_pixels_become_square(tmp_path, name, codec, aspect, width):
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(corner(), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    video = looked_at(path)
    assert (video.width, video.height) == (width, 48)
    source = video.source()
    assert (source["stored_width"], source["stored_height"]) == (64, 48)
    assert source["pixel_aspect"] == f"{aspect.numerator}:{aspect.denominator}"
    pictures, losses = read(path)
    assert len(pictures) == 5 and not losses
    assert np.abs(pictures[3] - corner(width)).mean() < 12


@pytest.mark.parametrize("aspect", [None, Fraction(1), Fraction(1281, 1280), Fraction(101, 100)])
def test_pixels_that_are_about_square_are_left_alone(tmp_path, monkeypatch, aspect):
    path = write_clip(tmp_path / "a.mp4", [corner()] * 3, pixel_aspect=aspect)
    monkeypatch.setattr(display, "VideoReformatter", type("NoReformatter", (), {}))
    pictures, losses = read(path)
    assert pictures[0].shape == (48, 64, 3) and not losses
    assert not {"stored_width", "stored_height", "pixel_aspect", "mirrored"} & set(looked_at(path).source())


def test_the_container_goes_before_the_codec(tmp_path):
    path = write_clip(tmp_path / "a.mp4", [corner()] * 3, pixel_aspect=FOUR_THIRDS)
    assert looked_at(path).width == 86
    patched(path, pasp(4, 3), pasp(2, 1))
    assert looked_at(path).width == 128 and read(path)[0][2].shape == (48, 128, 3)
    patched(path, pasp(2, 1), b"free" + bytes(8))  # now the codec alone says it
    assert looked_at(path).width == 86 and read(path)[0][2].shape == (48, 86, 3)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_pixels_are_square_before_the_picture_is_turned(tmp_path, rotation):
    path = write_clip(tmp_path / "a.mp4", [corner()] * 3, pixel_aspect=FOUR_THIRDS, rotation=rotation)
    video = looked_at(path)
    assert (video.width, video.height) == ((86, 48) if rotation == 180 else (48, 86))
    (picture, *_), _ = read(path)
    assert picture.shape == (video.height, video.width, 3)
    assert np.abs(picture - upright(corner(86), rotation)).mean() < 12


@pytest.mark.parametrize(("horizontal", "vertical"), [(1, 200), (5000, 1), (5, 1)])
def test_a_shape_that_no_pixel_has_is_not_believed(tmp_path, horizontal, vertical):
    path = write_clip(tmp_path / "a.mp4", [corner()] * 3, pixel_aspect=FOUR_THIRDS)
    patched(path, pasp(4, 3), pasp(horizontal, vertical))
    pictures, losses = read(path)
    remark = f"its pixels are said to be {horizontal}:{vertical}, which is not believed; taken for square"
    assert losses.line() == remark and losses.record()["losses"] == {"remarks": [remark]}
    assert pictures[0].shape == (48, 64, 3)
    about = info.describe(str(path))
    assert about["notes"] == remark and "losses" not in about and "pixel_aspect" not in about


def test_a_picture_that_would_be_too_large_is_left_as_it_is(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", [corner()] * 3, pixel_aspect=FOUR_THIRDS)
    monkeypatch.setattr(display, "MAX_PIXELS", 64 * 48 + 1)
    assert looked_at(path).width == 64 and "not believed" in read(path)[1].line()


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("start", [None, 0.6, 1.5])
def test_pixels_that_change_their_shape_keep_the_picture_in_shape(tmp_path, start, b_frames):
    """A broadcast that goes from 4:3 to a wide picture: the second one fills the width between two bars."""
    aspects = (Fraction(1), Fraction(2))
    parts = [
        write_clip(tmp_path / f"{k}.ts", [np.full((48, 64, 3), 200, np.uint8)] * 30, pixel_aspect=a, b_frames=b_frames)
        for k, a in enumerate(aspects)
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    pictures, losses = read(path, start=start and start + looked_at(path).start_time)
    assert {picture.shape for picture in pictures} == {(48, 64, 3)}
    line = losses.line()
    assert "the picture size changes at frame 30 (" in line and "scaled to 64x48 with black bars" in line
    assert pictures[-1][24].min() > 180 and pictures[-1][14:34].min() > 180
    assert pictures[-1][:10].max() < 40 and pictures[-1][-10:].max() < 40
    if start is None:
        assert pictures[29].min() > 180 and pictures[30][:10].max() < 40


def test_a_size_that_changes_its_shape_gets_bars(tmp_path):
    """A phone that was turned in the middle of a call."""
    sizes = ((64, 48), (48, 64))
    parts = [write_clip(tmp_path / f"{w}.ts", [np.full((h, w, 3), 200, np.uint8)] * 10).read_bytes() for w, h in sizes]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    pictures, losses = read(path)
    assert {picture.shape for picture in pictures} == {(48, 64, 3)} and len(pictures) == 20
    assert losses.has_bars and [frame for frame, _ in losses.resized] == [10]
    assert pictures[9].min() > 180
    assert pictures[10][:, 16:48].min() > 180 and pictures[10][:, :12].max() < 40 and pictures[10][:, 52:].max() < 40


def test_interlaced_pictures_stay_so(tmp_path):
    """Readers pass over a second field that has a packet of its own."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "tff=1"})
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = FOUR_THIRDS
        for number, image in enumerate(plain(5, 64, 64)):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    set_display_matrix(path, (-1, 0, 0, 1))
    with path.open("rb") as file:
        assert all(frame.image.width == 86 and frame.image.interlaced_frame for frame in frames(file, "a"))


def as_shown(matrix, image):
    """The picture with every pixel where the matrix puts it."""
    a, b, c, d = matrix
    y, x = np.indices(image.shape[:2])
    column, row = a * x + c * y, b * x + d * y
    column, row = column - column.min(), row - row.min()
    screen = np.zeros((row.max() + 1, column.max() + 1, 3), int)
    screen[row, column] = image
    return screen


@pytest.mark.parametrize("matrix", ORIENTATIONS)
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p10le", "yuvj420p"])
def test_every_orientation_is_shown_as_the_matrix_says(tmp_path, matrix, pixels):
    path = write_clip(tmp_path / "a.mp4", [corner()] * 30, gop=10, pixels=pixels)
    set_display_matrix(path, matrix)
    video = looked_at(path)
    a, b, c, d = matrix
    assert video.mirrored == (a * d - b * c < 0)
    assert video.source().get("mirrored", False) == video.mirrored
    expected = as_shown(matrix, corner())
    for start, count in ((None, 30), (0.8, 10)):
        pictures, losses = read(path, start)
        assert len(pictures) == count and not losses
        assert all(picture.shape == expected.shape == (video.height, video.width, 3) for picture in pictures)
        assert max(np.abs(picture - expected).mean() for picture in pictures) < 8


def test_mirrored_frames_keep_numbers_times_and_colours(tmp_path):
    path = write_clip(tmp_path / "a.mp4", plain(12), [0, 40, 80, 400, 1000, 1033, 1066, 2500, 2600, 2601, 2700, 2800])

    def listed():
        with path.open("rb") as file:
            return [(f.number, f.time, f.image.pts, f.image.time_base, f.image.color_range) for f in frames(file, "a")]

    straight = listed()
    set_display_matrix(path, (-1, 0, 0, 1))
    assert listed() == straight


@pytest.mark.parametrize("matrix", [(-1, 0, 0, 1), (0, 1, 1, 0)])
def test_recognisers_see_the_mirrored_picture(tmp_path, matrix):
    masks = Mask(np.ones((5, 8, 8), np.uint8), np.arange(5), np.arange(5) / 25)

    def seen(path):
        with path.open("rb") as file:
            return gather(file, path.name, Look(size=32), masks).packed[:, :, :32].astype(int)

    mirrored = write_clip(tmp_path / "a.mp4", [corner()] * 5)
    set_display_matrix(mirrored, matrix)
    straight = write_clip(tmp_path / "b.mp4", [as_shown(matrix, corner()).astype(np.uint8)] * 5)
    assert np.abs(seen(mirrored) - seen(straight)).mean() < 6


@pytest.mark.parametrize("kind", ["mirrored", "squeezed", "squeezed and turned"])
def test_pose_and_mask_are_of_the_picture_that_players_show(tmp_path, kind):
    pictures = bouncing(6, 26)
    straight = write_clip(tmp_path / "straight.mp4", pictures)
    path = tmp_path / "a.mp4"
    if kind == "mirrored":
        set_display_matrix(write_clip(path, [image[:, ::-1] for image in pictures]), (-1, 0, 0, 1))
    elif kind == "squeezed":
        narrow = [np.array(Image.fromarray(image).resize((102, 240))) for image in pictures]
        write_clip(path, narrow, pixel_aspect=Fraction(2))
    else:
        narrow = [np.array(Image.fromarray(np.rot90(image, -1)).resize((120, 204))) for image in pictures]
        write_clip(path, narrow, pixel_aspect=Fraction(2), rotation=90)
    video = looked_at(path)
    assert (video.width, video.height) == (204, 240)
    expected, pose = (racctl.estimate_pose(str(clip)) for clip in (straight, path))
    face = pose.xyz[:, 0, :11, :2] - expected.xyz[:, 0, :11, :2]  # what lies outside the picture is guessed
    assert np.abs(face).max() < 6
    expected, mask = (racctl.estimate_mask(str(clip)).mask for clip in (straight, path))
    assert (mask != expected).mean() < 0.03


def limb(count, at):
    """A pose with one limb, from left shoulder to left elbow, at the two points `at`."""
    xyz = np.full((count, 1, len(COCO17), 3), np.nan, np.float32)
    xyz[..., COCO17.indices(["left_shoulder", "left_elbow"]), :2] = at
    score = np.isfinite(xyz[..., 0]).astype(np.float32)
    return Pose(xyz, score, np.arange(count), np.arange(count) / 25, np.zeros(1, np.int32), {"topology": "coco17"})


def overlaid(path, pose):
    """The overlay's path and its fourth picture."""
    target = path.with_name("overlay.mp4")
    with path.open("rb") as file:
        write_overlay(file, path.name, target, pose, np.zeros(0, np.int64), np.zeros(0, np.int64))
    with av.open(str(target)) as container:
        assert container.streams.video[0].sample_aspect_ratio in (None, 1)
    return target, read(target)[0][3]


@pytest.mark.parametrize(("matrix", "size"), [((1, 0, 0, 1), (214, 120)), ((0, -1, 1, 0), (120, 214))])
def test_an_overlay_has_square_pixels(tmp_path, matrix, size):
    path = write_clip(tmp_path / "a.mp4", [np.full((120, 160, 3), 128, np.uint8)] * 6, pixel_aspect=FOUR_THIRDS)
    set_display_matrix(path, matrix)
    target, picture = overlaid(path, limb(6, [(40, 60), (100, 60)]))
    video = looked_at(target)
    assert (video.width, video.height) == size and "pixel_aspect" not in video.source()
    drawn = np.abs(picture - 128).max(-1) > 24
    assert drawn[60, 42:98].all() and not drawn[60, 108:118].any()


def test_a_mirrored_overlay_is_the_picture_that_players_show(tmp_path):
    path = write_clip(tmp_path / "a.mp4", [corner(160, 120)] * 6)
    set_display_matrix(path, (-1, 0, 0, 1))
    target, picture = overlaid(path, limb(6, np.nan))
    assert not looked_at(target).mirrored
    assert np.abs(picture - corner(160, 120)[:, ::-1])[40:100].max() < 16
    assert picture[10, 130].min() > 200 and picture[10, 100].max() < 160


def test_poses_in_stored_pixels_are_drawn_where_they_belong(tmp_path):
    """As versions wrote them that did not know of the pixels' shape."""
    path = write_clip(tmp_path / "a.mp4", [np.full((120, 160, 3), 128, np.uint8)] * 6, pixel_aspect=Fraction(2))
    pose = limb(6, [(40, 60), (100, 60)])
    pose.meta["source"] = {"width": 160, "height": 120}
    _, picture = overlaid(path, pose)
    drawn = np.abs(picture - 128).max(-1) > 24
    assert drawn[60, 84:196].all() and not drawn[60, 60:72].any()


@pytest.mark.parametrize(("name", "codec"), [("a.h264", "libx264"), ("a.m2v", "mpeg2video"), ("a.m4v", "mpeg4")])
@pytest.mark.parametrize("fps", [30, 50])
def test_a_raw_stream_has_the_rate_that_it_states(tmp_path, name, codec, fps):
    path = write_raw(tmp_path / name, codec, fps)
    video = looked_at(path)
    assert (video.fps, video.frames, video.remarks) == (fps, 20, ())
    with path.open("rb") as file:
        times = [frame.time for frame in frames(file, name)]
    assert np.diff(times) == pytest.approx(1 / fps, abs=1e-4) and len(times) == 20
    assert not {"notes", "losses"} & set(info.describe(str(path)))


@pytest.mark.parametrize(("name", "codec"), [("a.mjpeg", "mjpeg"), ("a.hevc", "libx265")])
def test_a_raw_stream_without_a_rate_says_so(tmp_path, name, codec):
    options = {"x265-params": "no-vui-timing-info=1:log-level=none"} if codec == "libx265" else {}
    try:
        path = write_raw(tmp_path / name, codec, 50, options, "yuvj420p" if codec == "mjpeg" else "yuv420p")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this PyAV has no {codec}")
    video = looked_at(path)
    assert (video.fps, video.frames) == (25, 20)
    remark = "the stream states no frame rate; 25 frames/s are assumed"
    assert read(path)[1].line() == remark == info.describe(str(path))["notes"]
    with path.open("rb") as file:
        assert [frame.time for frame in frames(file, name)] == pytest.approx(np.arange(20) / 25)


def test_a_clock_is_no_rate(tmp_path):
    """An encoder of variable rates states the ticks of its clock."""
    path = write_clip(tmp_path / "a.h264", plain(20))  # in milliseconds
    remark = "the stream states a frame rate of 1000, which is not believed; 25 frames/s are assumed"
    assert looked_at(path).remarks == (remark,) and read(path)[1].line() == remark
    assert looked_at(path).fps == 25


def test_what_a_container_says_is_no_raw_streams_rate(tmp_path):
    path = write_clip(tmp_path / "a.mkv", plain(20), fps=10)
    assert looked_at(path).fps == 10 and not looked_at(path).remarks


@pytest.mark.parametrize(
    ("key", "value"), [("mirrored", 1), ("mirrored", "yes"), ("stored_width", True), ("pixel_aspect", 1.5)]
)
def test_a_source_that_says_it_in_another_way_is_damaged(key, value):
    document = {"schema": "racctl.pose/1", "source": {key: value}}
    with pytest.raises(DataError, match=f"as '{key}'"):
        load_meta(json.dumps(document).encode(), "a.npz")


def test_a_source_with_all_of_it_is_read(tmp_path):
    path = write_clip(tmp_path / "a.mp4", [corner()] * 3, pixel_aspect=FOUR_THIRDS)
    set_display_matrix(path, (0, 1, 1, 0))
    source = looked_at(path).source()
    assert {"stored_width", "stored_height", "pixel_aspect", "rotation", "mirrored"} <= set(source)
    assert load_meta(json.dumps({"schema": "racctl.pose/1", "source": source}).encode(), "a")["source"] == source


def test_the_name_of_a_clip_loses_every_suffix_of_raw_video():
    raw = ("h264", "hevc", "vvc", "m4v", "vc1", "obu", "h261")
    names = {f"squat.{suffix}" for kind in raw for suffix in av.format.ContainerFormat(kind, "r").extensions}
    assert len(names) >= len(raw)
    unknown = {name for name in names if clip_stem(name) != "squat"}
    assert not unknown
