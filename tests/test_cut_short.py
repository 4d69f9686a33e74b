"""A file that is cut is never read without a word, and a whole one is never refused, whatever its header says."""

from __future__ import annotations

import io
import re
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import plain, write_clip
from commands import one_line, racctl

from racctl.data.clips import ClipTruth
from racctl.data.videos import look_at
from racctl.errors import DataError
from racctl.video.decode import frames, probe
from racctl.video.span import losses_of, part_of, refuse_cut_short

COUNT = 40
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
CONTAINERS = {  # name -> codec, options of the muxer, whether there is sound
    "faststart.mp4": ("libx264", {"movflags": "faststart"}, True),
    "table_last.mp4": ("libx264", {}, False),
    "fragments.mp4": ("libx264", FRAGMENTS, False),
    "indexed_fragments.mp4": ("libx264", {"movflags": f"{FRAGMENTS['movflags']}+default_base_moof+global_sidx"}, False),
    "a.mov": ("libx264", {"movflags": "faststart"}, False),
    "a.mkv": ("libx264", {}, True),
    "a.webm": ("libvpx", {}, False),
    "live.webm": ("libvpx", {"live": "1"}, False),
    "a.avi": ("mpeg4", {}, True),
    "a.flv": ("libx264", {}, True),
    "a.ts": ("libx264", {}, True),
    "a.m2ts": ("libx264", {"mpegts_m2ts_mode": "1"}, False),
    "a.mxf": ("mpeg2video", {}, False),
    "a.wmv": ("wmv2", {}, False),
    "a.ogg": ("libvpx", {}, False),
    "a.vob": ("mpeg2video", {}, False),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a clip of COUNT pictures in every container."""
    folder = tmp_path_factory.mktemp("whole")
    return {name: _written(folder / name, *about) for name, about in CONTAINERS.items()}


def _written(path, codec, options, sound):
    noise = np.random.default_rng(0)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.gop_size = 12
        audio = container.add_stream("mp2" if path.suffix == ".avi" else "aac", rate=16000) if sound else None
        for k, image in enumerate(plain(COUNT, 96, 64)):
            picture = image + noise.integers(0, 40, image.shape, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
            if audio:
                container.mux(audio.encode(_silence(audio, k)))
        container.mux(stream.encode())
        if audio:
            container.mux(audio.encode())
    return path.read_bytes()


def _silence(audio, k):
    """The sound of one picture."""
    kind = audio.codec_context.format.name
    piece = av.AudioFrame(kind, "mono", 640)
    for plane in piece.planes:
        plane.update(bytes(plane.buffer_size))
    piece.sample_rate, piece.pts, piece.time_base = 16000, 640 * k, Fraction(1, 16000)
    return piece


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_whole_file_is_taken_without_a_word(whole, name):
    file = io.BytesIO(whole[name])
    video = probe(file, name)
    assert not video.ending.missing and not losses_of(file, video, name)
    assert sum(1 for _ in frames(file, name)) == COUNT


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 0.995])
def test_a_cut_file_is_refused_or_said_or_loses_nothing(whole, name, share):
    file = io.BytesIO(whole[name][: int(share * len(whole[name])) | 1])  # odd: not between packets of 188 bytes
    try:
        video = probe(file, name)
    except DataError as error:
        assert str(error).startswith(f"'{name}' ")  # there is no table, or no whole picture
        return
    if video.ending.missing:
        if name in ("a.flv", "a.mkv", "a.mxf") and video.ending.frames:  # these do not count their pictures
            assert video.ending.missing == pytest.approx(video.ending.frames / 25, abs=0.03)
        _hold_to_the_way_out(file, video, name)
        return
    losses = losses_of(file, video, name)
    assert losses or sum(1 for _ in frames(file, name)) == COUNT


def _hold_to_the_way_out(file, video, name):
    """What the refusal says must be so."""
    with pytest.raises(DataError, match=r"is cut short: its last \d+\.\d\d s .*are missing; ") as refused:
        refuse_cut_short(video, None, None, name)
    advice = re.search(r"'--stop ([\d.]+)' takes the rest", str(refused.value))
    if not advice:
        assert str(refused.value).endswith("nothing of it can be used")
        return
    stop = float(advice[1])
    part = part_of(file, video, {"stop": stop, "stride": 1}, name)
    numbers = [frame.number for frame in part.frames]
    assert numbers == list(range(len(numbers))) and not part.losses.lost
    with pytest.raises(DataError, match=r"it is whole up to .* s only"):
        refuse_cut_short(video, stop + 0.01, None, name)


@pytest.mark.parametrize("name", ["faststart.mp4", "a.mov"])
def test_the_sample_table_tells_every_picture(whole, name):
    data = whole[name]
    with av.open(io.BytesIO(data)) as container:
        ends = [(p.pos + p.size) for p in container.demux(video=0) if p.size]
    for lost in (1, 2, 10, 30):
        ending = probe(io.BytesIO(data[: ends[-lost] - 1]), name).ending
        assert ending.frames == lost and ending.missing >= lost / 25 - 1e-3


def test_a_frame_that_is_lost_is_refused_by_the_command(whole, tmp_path):
    data = whole["faststart.mp4"]
    (tmp_path / "a.mp4").write_bytes(data[: int(0.97 * len(data))])
    for command in ("pose", "mask"):
        message = one_line(racctl(command, "a.mp4", "-o", "o.npz", cwd=tmp_path), 1)
        assert "'a.mp4' is cut short: its last 0." in message and "takes the rest" in message
    message = one_line(racctl("count", "a.mp4", "--model", "periodicity", "--format", "csv", cwd=tmp_path), 1)
    assert "is cut short" in message
    assert b"missing" in racctl("info", "a.mp4", cwd=tmp_path).stdout
    _, problems = look_at(ClipTruth("a", 3.0), [tmp_path / "a.mp4"])
    assert [problem.kind for problem in problems] == ["cut short"]


def test_a_header_that_counts_too_many(whole):
    """The structure of the AVI is whole, so it is taken, with a word."""
    data = bytearray(whole["a.avi"])
    at = data.index(b"vids") + 32  # dwLength
    assert struct.unpack_from("<I", data, at) == (COUNT,)
    struct.pack_into("<I", data, at, COUNT + 20)
    file = io.BytesIO(data)
    video = probe(file, "a.avi")
    assert not video.ending.missing
    assert losses_of(file, video, "a.avi").line() == "its header announces 20 frames more than it holds"


def test_an_edit_list_that_leaves_out_the_end_cuts_nothing_short(tmp_path):
    path = write_clip(tmp_path / "a.mp4", plain(50), faststart=True)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12  # after version and number of entries
    (length,) = struct.unpack_from(">I", data, at)
    struct.pack_into(">I", data, at, length // 2)
    file = io.BytesIO(data)
    video = probe(file, "a.mp4")
    assert video.frames < 50 and not video.ending.missing and not losses_of(file, video, "a.mp4")


def test_a_gif_without_its_trailer_is_said(tmp_path):
    from PIL import Image

    pictures = [Image.fromarray(image) for image in plain(5)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=40)
    data = (tmp_path / "a.gif").read_bytes()
    for cut, message in ((len(data), False), (len(data) - 300, True)):
        file = io.BytesIO(data[:cut])
        assert bool(losses_of(file, probe(file, "a.gif"), "a.gif")) is message


def test_sound_that_breaks_off_after_the_last_picture_is_no_loss(tmp_path):
    path = write_clip(tmp_path / "a.mp4", plain(30), audio=True, faststart=True)
    data = path.read_bytes()
    with av.open(io.BytesIO(data)) as container:
        last = max(p.pos + p.size for p in container.demux(video=0) if p.size)
    assert last < len(data) - 100  # the sound lies behind
    file = io.BytesIO(data[:-100])
    video = probe(file, "a.mp4")
    assert not video.ending.missing and not losses_of(file, video, "a.mp4")
