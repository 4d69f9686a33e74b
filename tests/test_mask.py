"""Video to mask: the silhouette of the person in the picture, the choice among several, the file that holds it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from clips import bouncing, plain, write_clip
from commands import one_line, racctl
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from masks import estimate, written
from scipy import ndimage

from racctl.contracts import Mask
from racctl.errors import DataError, UsageError
from racctl.estimators.base import mask_model
from racctl.estimators.mask import MaskOptions, mask_lanes, quality_line, save_mask
from racctl.estimators.silhouettes import nearest, pack, unpack
from racctl.info import describe
from racctl.io.npz import read_arrays, read_mask, write_frames, write_mask, write_npz


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("mask") / "bounce.mp4", bouncing(130, 26))


@pytest.fixture(scope="module")
def film(clip):
    return estimate(clip)


def test_shapes_clock_provenance_and_quality(film):
    mask = film.unpacked().check("film")
    assert mask.mask.shape == (130, 112, 112)
    assert mask.frame.tolist() == list(range(130))
    np.testing.assert_allclose(mask.time, np.arange(130) / 25, atol=1e-6)
    (step,) = mask.meta["steps"]
    assert step["args"]["model"] == "pose_landmark_full.tflite"
    assert step["weights"][0]["licence"] == "Apache-2.0" and len(step["weights"][0]["sha256"]) == 64
    assert mask.meta["coverage"] == pytest.approx(mask.mask.mean(), abs=1e-6)
    assert (mask.meta["empty"], mask.meta["resize"]) == (0, "nearest")
    assert quality_line({"clip": "a", "coverage": 0.183, "empty": 0.021}) == (
        "a: masks cover 18.3% of the picture, 2.1% of the frames have none"
    )


@pytest.mark.parametrize("model", ["blazepose", "selfie"])
def test_the_person_is_where_she_is(clip, film, model):
    """In matplotlib's portrait the nose is at 0.53 of the width and 0.38 of the height; above it there is a flag."""
    mask = (film if model == "blazepose" else estimate(clip, model=model, stop=0.4)).unpacked().mask
    for t in (0, 5):
        drop = 0.12 * (1 - np.cos(2 * np.pi * t / 26)) / 2
        assert mask[t, int(112 * (0.38 + drop)), int(112 * 0.53)] == 1
        assert mask[t, int(112 * (0.8 + drop)), int(112 * 0.5)] == 1
        assert not mask[t, :5, :20].any()
    assert 0.3 < mask.mean() < 0.9


def test_any_number_of_workers_gives_the_same_bytes(clip, film):
    for jobs in (2, 3):
        assert written(estimate(clip, jobs)) == written(film)


def _outline(masks):
    """(T, H, W) which pixels have a neighbour of the other kind."""
    return ndimage.maximum_filter(masks, (1, 3, 3)) != ndimage.minimum_filter(masks, (1, 3, 3))


def test_full_size_is_the_videos_and_agrees_with_the_small_one(clip, film):
    full = estimate(clip, size="full", stop=0.2)
    height, width = film.meta["source"]["height"], film.meta["source"]["width"]
    assert full.shape == (5, height, width)
    from_full = full.unpacked().mask[:, nearest(height, 112)][:, :, nearest(width, 112)]
    small = film.unpacked().mask[:5]
    differs = from_full != small  # for a small mask asks at the middles of its own pixels
    assert not (differs & ~_outline(small) & ~_outline(from_full)).any()
    assert differs.mean() < 0.01
    assert estimate(clip, size="40x24", stop=0.1).shape == (3, 24, 40)


def test_odd_and_large_pictures_have_masks_of_their_size(tmp_path):
    wide = [np.ascontiguousarray(np.kron(image, np.ones((6, 7, 1), np.uint8))) for image in bouncing(2, 26)]
    film = estimate(write_clip(tmp_path / "wide.mp4", wide), size="full")
    assert film.shape == (2, *wide[0].shape[:2])
    assert film.unpacked().mask.shape == film.shape
    odd = [image[:239, :203] for image in bouncing(2, 26)]
    path = write_clip(tmp_path / "odd.mp4", odd, pixels="yuv444p")
    assert estimate(path, size="full").unpacked().mask.shape == (2, 239, 203)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_clip_gives_the_upright_mask(tmp_path, film, rotation):
    pictures = [np.rot90(image, -rotation // 90) for image in bouncing(6, 26)]
    turned = estimate(write_clip(tmp_path / "turned.mp4", pictures, rotation=rotation)).unpacked().mask
    upright = film.unpacked().mask[:6]
    assert (turned & upright).sum() / (turned | upright).sum() > 0.93


def test_times_are_the_containers_own(tmp_path):
    stamps = [0, 40, 60, 200, 210, 500]
    film = estimate(write_clip(tmp_path / "uneven.mp4", bouncing(6, 26), stamps))
    np.testing.assert_allclose(film.time, np.array(stamps) / 1000, atol=1e-6)
    part = estimate(tmp_path / "uneven.mp4", start=0.05, stop=0.4, stride=2)
    assert part.frame.tolist() == [2, 4]


def test_nobody_at_all_is_an_error_and_somebody_who_leaves_is_not(tmp_path):
    path = write_clip(tmp_path / "empty.mp4", plain(5, 128, 96))
    with pytest.raises(DataError, match="shows no person in any of its 5 frames"):
        estimate(path)
    present = bouncing(10, 26)
    height, width = present[0].shape[:2]
    gone = write_clip(tmp_path / "leaves.mp4", present + plain(60, width, height))
    film = estimate(gone)
    seen = film.unpacked().mask.any((1, 2))
    assert seen[:10].all() and not seen[-30:].any()
    assert film.meta["empty"] == pytest.approx(1 - seen.mean(), abs=1e-6)
    held = estimate(gone, hold=3)
    assert held.unpacked().mask.any((1, 2)).sum() == seen.sum() + 3 and held.meta["held"] == 3


# The file.


@st.composite
def masks(draw):
    shape = draw(st.tuples(st.integers(0, 5), st.integers(0, 20), st.integers(0, 40)))
    pixels = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    frame = np.cumsum(draw(hnp.arrays(np.int64, shape[0], elements=st.integers(1, 9)))) - 1
    return Mask(pixels, frame, frame / 30.0, {"clip": draw(st.text(max_size=5)), "steps": []})


@given(masks())
@settings(max_examples=80, deadline=None)
def test_a_mask_comes_back_as_it_went(mask):
    out, again = io.BytesIO(), io.BytesIO()
    write_mask(out, mask)
    back = read_mask(out, "x")
    for name, array in mask.arrays().items():
        assert getattr(back, name).dtype == array.dtype
        np.testing.assert_array_equal(getattr(back, name), array)
    assert "packed" not in back.meta
    assert back.meta["coverage"] == pytest.approx(mask.mask.mean() if mask.mask.size else 0, abs=1e-6)
    write_mask(again, back)
    assert again.getvalue() == out.getvalue()


@given(hnp.arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 20))))
def test_a_parcel_comes_back_as_it_went(people):
    np.testing.assert_array_equal(unpack(pack(people)), people)


def noted(data) -> bytes:
    """The meta document as it is on disk."""
    return read_arrays(io.BytesIO(data), "x")["meta"].tobytes()


def test_silhouettes_are_packed_and_what_packs_badly_is_not(film):
    data = written(film)
    assert b'"packed":{"width":112}' in noted(data)
    plain_ = io.BytesIO()
    write_npz(plain_, Mask.schema, film.meta, film.unpacked().arrays(), deflate=True)
    assert len(data) < len(plain_.getvalue())
    np.testing.assert_array_equal(read_mask(plain_, "x").mask, read_mask(io.BytesIO(data), "x").mask)
    empty, frame = io.BytesIO(), np.arange(2)
    write_mask(empty, Mask(np.zeros((2, 4, 4), np.uint8), frame, frame / 30.0))
    assert b'"packed"' not in noted(empty.getvalue())


def test_a_mostly_empty_mask_is_no_zip_bomb():
    count = 30_000
    pixels = np.zeros((1, 112, 112), np.uint8)
    pixels[0, 50:60, 50:60] = 1

    class Still:
        shape = (count, 112, 112)

        def __getitem__(self, t):
            return pixels[0] * (t < 100)

    out, frame = io.BytesIO(), np.arange(count)
    write_frames(out, {"clip": "still"}, Still(), frame, frame / 30)
    assert len(out.getvalue()) < 1 << 20
    assert read_mask(out, "x").mask.sum() == 100 * 100


@pytest.mark.parametrize(
    ("note", "shape", "message"),
    [
        ({"width": 99}, (2, 4, 1), "not packed the way"),
        ({"width": "8"}, (2, 4, 1), "not packed the way"),
        ("8", (2, 4, 1), "not packed the way"),
        ({"width": -8}, (2, 4, 0), "not packed the way"),
        ({"width": 8}, (2, 1), "not packed the way"),
    ],
)
def test_a_damaged_packing_is_a_data_error(note, shape, message):
    out, frame = io.BytesIO(), np.arange(2)
    arrays = {"mask": np.zeros(shape, np.uint8), "frame": frame, "time": frame / 30}
    write_npz(out, Mask.schema, {"packed": note}, arrays)
    with pytest.raises(DataError, match=message):
        read_mask(out, "x")


def test_unsound_masks_are_data_errors():
    frame = np.arange(2)
    twos, out = Mask(np.full((2, 3, 3), 2, np.uint8), frame, frame / 30), io.BytesIO()
    write_npz(out, Mask.schema, {}, twos.arrays())
    with pytest.raises(DataError, match="other than 0 and 1"):
        read_mask(out, "x")
    with pytest.raises(DataError, match="ascending"):
        Mask(np.zeros((2, 3, 3), np.uint8), frame[::-1].copy(), frame / 30).check("x")
    pose = io.BytesIO()
    write_npz(pose, "racctl.features/1", {}, {"start": frame, "stop": frame})
    with pytest.raises(DataError, match=r"holds racctl.features/1, expected racctl.mask/1; run 'racctl mask' first"):
        read_mask(pose, "x")


def test_info_tells_what_a_mask_is(tmp_path, film):
    (tmp_path / "m.npz").write_bytes(written(film))
    about = describe(str(tmp_path / "m.npz"))
    assert about["contents"]["mask"] == "uint8 (130, 112, 112)"
    assert about["person_found"] == "100.0% of frames"
    assert about["person_covers"] == f"{film.meta['coverage']:.1%} of the picture"


# What may be asked for.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "huge"}, "no such mask model 'huge'; expected blazepose, "),
        ({"model": "blazepose-heavy"}, "'heavy' does not come with the installation"),
        ({"model": "yolov8n-seg"}, r"'yolov8n-seg' \(AGPL-3.0\) is not here; use '--download'"),
        ({"size": "tiny"}, "invalid value 'tiny' for '--size'; expected 'full' or WIDTHxHEIGHT"),
        ({"size": "4x112"}, "for '--size'"),
        ({"person": "left"}, "no such person 'left'; expected one of tracked, largest, central"),
        ({"person": "central"}, "'blazepose' follows one person of its own choice; '--person central' needs"),
        ({"threshold": 1.0}, "invalid value '1' for '--threshold'"),
        ({"start": 2.0, "stop": 1.0}, "'--stop 1' is not after '--start 2'"),
    ],
)
def test_what_cannot_be_is_one_line(monkeypatch, tmp_path, arguments, message):
    if "model" in arguments:  # one that is not here; the default's networks may come out of the cache
        monkeypatch.setenv("RACCTL_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match=message):
        MaskOptions(**arguments).check()


def test_a_download_that_is_not_the_pinned_file_is_refused(monkeypatch, tmp_path):
    import urllib.request

    monkeypatch.setenv("RACCTL_CACHE", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: io.BytesIO(b"something else"))
    with pytest.raises(DataError, match="is not the file that was pinned"):
        mask_model("yolov8n-seg", download=True)


def test_too_many_full_masks_are_refused_before_the_work(monkeypatch, clip):
    monkeypatch.setattr("racctl.estimators.mask.MAX_BYTES", 1 << 20)
    with pytest.raises(DataError, match="more than one file may hold; use '--size 112x112'"):
        estimate(clip, size="full")


# The command.


def test_stdin_to_stdout_and_the_figures_on_stderr(clip, film):
    done = racctl("mask", stdin=clip.read_bytes())
    assert done.returncode == 0, done.stderr
    assert done.stderr.decode().startswith("stdin: masks cover ")
    result = read_mask(io.BytesIO(done.stdout), "stdout")
    np.testing.assert_array_equal(result.mask, film.unpacked().mask)
    assert racctl("mask", "-q", "--stop", "0.1", clip).stderr == b""


def test_many_clips_a_bad_one_and_resume(tmp_path):
    for k in range(2):
        write_clip(tmp_path / f"c{k}.mp4", bouncing(6, 6 + k))
    (tmp_path / "bad.mp4").write_bytes(b"nonsense")
    words = ["mask", *sorted(tmp_path.glob("*.mp4")), "-o", tmp_path / "out", "--jobs", "2"]
    done = racctl(*words)
    assert done.returncode == 3
    assert b"bad.mp4" in done.stderr and b"1 of 3 inputs failed" in done.stderr
    assert done.stderr.count(b"masks cover") == 2
    output = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert sorted(path.name for path in output) == ["c0.mask.npz", "c1.mask.npz"]
    again = racctl(*words)
    assert again.stderr.count(b"masks cover") == 2
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == output


def test_a_saved_mask_is_made_anew_with_other_options(tmp_path, clip):
    options, second = (MaskOptions(stop=0.2, hold=n).check() for n in (0, 1))
    with mask_lanes(options, 1, 1) as (workers,):
        first = save_mask(str(clip), workers, folder=tmp_path, options=options)
        target = tmp_path / "bounce.mask.npz"
        output = target.stat().st_mtime_ns
        remaining = save_mask(str(clip), workers, folder=tmp_path, options=options)
        assert target.stat().st_mtime_ns == output and quality_line(remaining) == quality_line(first)
        save_mask(str(clip), workers, folder=tmp_path, options=second)
        assert target.stat().st_mtime_ns != output


def test_an_overlay_shows_the_person_tinted(tmp_path, clip):
    import av

    target = tmp_path / "o.mp4"
    assert racctl("mask", clip, "--stop", "0.4", "--overlay", target, "-o", tmp_path / "m.npz").returncode == 0
    with av.open(str(target)) as container:
        drawn = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(drawn) == 130
    height, width = drawn[0].shape[:2]
    at = int(0.8 * height), int(0.5 * width)
    gap = np.abs(drawn[0][at].astype(int) - bouncing(130, 26)[0][at]).max()
    assert gap > 30
    assert np.abs(drawn[60].astype(int) - bouncing(130, 26)[60]).mean() < 6  # beyond --stop: untouched
    assert "takes one clip" in one_line(racctl("mask", clip, "--overlay", target, "-o", f"{tmp_path}/out/"), 2)
    assert "end it in .mp4" in one_line(racctl("mask", clip, "--overlay", "x.avi", "-o", tmp_path / "n.npz"), 2)
