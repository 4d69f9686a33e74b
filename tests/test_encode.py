"""racctl encode: windows and repetitions to tokens, from videos, poses and data sets."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from clips import bouncing, plain, write_clip
from commands import afresh, one_line, racctl

from racctl.contracts import Features, Mask, Pose
from racctl.encoders.base import EncodeOptions, Files
from racctl.encoders.ctrgcn import FRAMES_SHOWN, centred, metres, pose_encoder
from racctl.encoders.encode_clip import Part, encode_clip
from racctl.encoders.pair import Encoders, load_encoders
from racctl.errors import DataError, UsageError
from racctl.estimators.open_clip import open_pose
from racctl.io.escounts_layout import read_tokens
from racctl.io.npz import read_features, write_features, write_mask, write_npz, write_pose
from racctl.io.parquet import table_from_rows, write_table
from racctl.models.ctrgcn import CTRGCN, CTRGCNConfig
from racctl.skeleton.topology import NTU25

CPU = torch.device("cpu")
FRAMES = 90


def a_pose(frames: int = FRAMES, clip: str = "clip", seed: int = 0, apart: float = 1 / 30) -> Pose:
    rng = np.random.default_rng(seed)
    moving = rng.normal(100, 20, (1, 1, 33, 3)) + 10 * np.sin(np.arange(frames) / 5)[:, None, None, None]
    xyz = moving.astype(np.float32)
    return Pose(xyz, np.full((frames, 1, 33), 0.9, np.float32), np.arange(frames), np.arange(frames) * apart,
                np.zeros(1, np.int32), {"clip": clip, "topology": "blazepose33"}, xyz / 100)  # fmt: skip


def a_mask(frames: int = FRAMES, clip: str = "clip") -> Mask:
    mask = np.zeros((frames, 20, 20), np.uint8)
    mask[:, 4:16, 6:14] = 1
    return Mask(mask, np.arange(frames), np.arange(frames) / 30, {"clip": clip})


def features(raw: bytes):
    return read_features(io.BytesIO(raw), "features")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """clip.mp4 with its pose, mask and repetitions."""
    path = tmp_path_factory.mktemp("encode")
    write_clip(path / "clip.mp4", plain(FRAMES, 96, 72), fps=30)
    for name, part, write in (("pose", a_pose(), write_pose), ("mask", a_mask(), write_mask)):
        with open(path / f"clip.{name}.npz", "wb") as file:
            write(file, part)
    rows = [
        {"clip": "clip", "person": 0, "rep": k, "start": s, "stop": e, "start_s": s / 30, "stop_s": e / 30, "label": ""}
        for k, (s, e) in enumerate([(4, 36), (36, 60)])
    ]
    with open(path / "reps.parquet", "wb") as file:
        write_table(file, table_from_rows("racctl.reps/1", rows, {}))
    return path


def encoded(pose: Pose, encoders: Encoders, options: EncodeOptions, part: Part | None = None) -> Features:
    with open_pose(pose) as clip:
        return encode_clip(clip, encoders, options, part)


@pytest.fixture(scope="module")
def arguments(folder) -> list:
    """Options with which nothing is estimated and no weights are needed."""
    return ["--pose", folder / "clip.pose.npz", "--mask", folder / "clip.mask.npz", "--random-weights"]


def test_a_video_becomes_both_branches_on_the_same_windows(folder, arguments):
    done = racctl("encode", folder / "clip.mp4", *arguments)
    assert done.returncode == 0, done.stderr
    result = features(done.stdout)
    assert result.video.shape == (6, 192, 8, 4, 4) and result.pose.shape == (6, 256, 16, 25, 1)
    assert result.start.tolist() == [0, 16, 32, 48, 64, 80] and result.stop.tolist() == [64, 80, 90, 90, 90, 90]
    assert result.start_s == pytest.approx(result.start / 30, abs=2e-3)
    meta = result.meta
    assert (meta["clip"], meta["span"], meta["window"], meta["stride"], meta["rate"]) == ("clip", "windows", 64, 16, 30)
    assert meta["video"]["frames_per_token"] == 8 and meta["pose"]["frames_per_token"] == 4
    assert meta["video"]["weights"] == {"name": "silhouette", "random": True, "seed": 0}
    assert [entry["tool"] for entry in meta["steps"]] == ["encode"]
    assert afresh("encode", folder / "clip.mp4", *arguments).stdout == done.stdout  # equal input, equal bytes


def test_pictures_that_are_lost_are_told_and_kept(folder, arguments):
    import av

    with av.open(str(folder / "clip.mp4")) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray((folder / "clip.mp4").read_bytes())
    for at, size in packets[40:55]:
        data[at : at + size] = bytes(size)
    (folder / "holed").mkdir()
    (folder / "holed" / "clip.mp4").write_bytes(data)
    done = racctl("encode", folder / "holed" / "clip.mp4", *arguments)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.decode().splitlines()
    lost = features(done.stdout).meta["source"]["losses"]["frames"]
    assert 0 < lost <= 20 and f"{lost} of {FRAMES} frames cannot be decoded" in line


def test_a_pose_on_stdin_joins_its_video(folder, arguments):
    pose = (folder / "clip.pose.npz").read_bytes()
    words = ["--video", folder / "clip.mp4", "--mask", folder / "clip.mask.npz", "--random-weights"]
    piped = features(racctl("encode", *words, stdin=pose).stdout)
    whole = features(racctl("encode", folder / "clip.mp4", *arguments).stdout)
    assert np.array_equal(piped.video, whole.video) and np.array_equal(piped.pose, whole.pose)
    remapped = racctl("remap-joints", stdin=pose).stdout
    assert np.allclose(features(racctl("encode", *words, stdin=remapped).stdout).pose, whole.pose, atol=1e-2)


def test_a_pose_alone_needs_no_video(folder):
    result = features(racctl("encode", folder / "clip.pose.npz", "--encoder", "none", "--random-weights").stdout)
    assert result.video is None and result.pose.shape == (6, 256, 16, 25, 1) and result.meta["clip"] == "clip"
    text = one_line(racctl("encode", folder / "clip.pose.npz", "--random-weights"), 2)
    assert "name its video with '--video FILE'" in text


def test_repetitions_become_exemplars_all_of_them(folder, arguments):
    done = racctl("encode", folder / "clip.mp4", *arguments, "--reps", folder / "reps.parquet")
    result = features(done.stdout)
    assert result.meta["span"] == "repetitions" and "window" not in result.meta
    assert result.video.shape[0] == result.pose.shape[0] == 2
    assert (result.start.tolist(), result.stop.tolist()) == ([4, 36], [36, 60])


def test_windows_may_be_other_and_at_another_rate(folder, arguments):
    result = features(
        racctl("encode", folder / "clip.mp4", *arguments, "--window", 32, "--stride", 32, "--rate", 15).stdout
    )
    assert result.start.tolist() == [0, 63] or result.start.tolist() == [0, 64]
    assert result.meta["video"]["frames_per_token"] == 4 and result.meta["rate"] == 15
    part = features(racctl("encode", folder / "clip.mp4", *arguments, "--start", 1, "--stop", 2).stdout)
    assert part.start.tolist() == [30, 46] and part.stop.max() == 60


def test_the_tokens_are_those_of_each_window_alone():
    """Batches, shared frames and the thread that decodes change nothing."""
    encoders = Encoders(None, pose_encoder("ctrgcn", random=True))
    pose = a_pose()
    result = encoded(pose, encoders, EncodeOptions(batch=1, rate=0))
    seen = encoders.pose.seen(pose)
    for k, start in enumerate(range(0, FRAMES, 16)):
        rows = np.minimum(np.arange(start, start + FRAMES_SHOWN), FRAMES - 1)
        alone = encoders.pose(seen[rows][None])[0].numpy()
        assert np.allclose(result.pose[k], alone, atol=2e-2, rtol=1e-2)


def test_at_half_the_rate_joints_are_as_those_of_one_who_moves_twice_as_fast():
    encoders, slow, fast = load_encoders(EncodeOptions("none"), CPU), a_pose(), a_pose(apart=1 / 60)
    assert np.array_equal(encoders.pose.seen(slow, rate=15.0), encoders.pose.seen(fast))
    assert np.array_equal(encoders.pose.seen(slow, rate=30.0), encoders.pose.seen(slow))
    assert not np.array_equal(encoders.pose.seen(slow, rate=15.0), encoders.pose.seen(slow))
    half = encoded(slow, encoders, EncodeOptions("none", rate=15.0, window=16, stride=8))
    whole = encoded(fast, encoders, EncodeOptions("none", rate=30.0, window=16, stride=8))
    assert half.pose.shape == whole.pose.shape and np.abs(half.pose - whole.pose).max() < 1e-3


def test_a_clip_of_one_frame_is_one_window():
    encoders = Encoders(None, pose_encoder("ctrgcn", random=True))
    result = encoded(a_pose(1), encoders, EncodeOptions())
    assert result.pose.shape == (1, 256, 16, 25, 1) and (result.start[0], result.stop[0]) == (0, 1)
    target = io.BytesIO()
    write_features(target, result)
    assert features(target.getvalue()).pose.shape == result.pose.shape


def test_values_that_are_not_finite_name_the_clip():
    encoder = pose_encoder("ctrgcn", random=True)
    encoder.network.l10.gcn1.bn.weight.data[0] = float("nan")
    with pytest.raises(DataError, match="clip 'sick': the pose encoder gives values that are not finite"):
        encoded(a_pose(clip="sick"), Encoders(None, encoder), EncodeOptions())
    encoder.network.l10.gcn1.bn.weight.data[0] = 1e9
    with pytest.raises(DataError, match="beyond float16"):
        encoded(a_pose(clip="sick"), Encoders(None, encoder), EncodeOptions())


def test_repetitions_outside_the_clip_are_refused():
    encoders = Encoders(None, pose_encoder("ctrgcn", random=True))
    for cycles in ([[80, 120]], [[5, 5]], [[-3, 9]], np.zeros((0, 2))):
        with pytest.raises(DataError, match="clip 'x' has"):
            encoded(a_pose(clip="x"), encoders, EncodeOptions(), Part(np.array(cycles)))


def released(path, people: int = 2, base: int = 16) -> CTRGCN:
    """A checkpoint as the authors of CTR-GCN save it, small; the network it holds."""
    torch.manual_seed(1)
    network = CTRGCN(CTRGCNConfig(5, people=people, base=base)).eval()
    torch.nn.init.uniform_(network.data_bn.running_var, 0.5, 2)
    torch.save({f"module.{key}": value for key, value in network.state_dict().items()}, path)
    return network


def test_a_released_checkpoint_for_two_people_encodes_one(tmp_path):
    network = released(tmp_path / "ntu.pt")
    encoder = pose_encoder("ctrgcn", str(tmp_path / "ntu.pt"))
    assert (encoder.topology, encoder.channels) == ("ntu25", 64)
    assert encoder.record["licence"].startswith("CC BY-NC")
    pose = a_pose(FRAMES_SHOWN)
    seen = encoder.seen(pose)[None]
    tokens = encoder(seen)
    both = torch.from_numpy(np.stack([seen, np.zeros_like(seen)], -1))
    both[..., 0] = centred(torch.from_numpy(seen), NTU25.index("spine_mid"))
    with torch.no_grad():
        theirs = network.tokens(both.permute(0, 3, 1, 2, 4))[..., :1]
    assert torch.allclose(tokens, theirs, atol=1e-4)


def test_the_ntu_input_is_metres_with_y_up_about_the_spine():
    pose = a_pose(3)
    pose.world[1] = np.nan
    seen = metres(pose, "ntu25")
    shoulder, left = NTU25.index("left_shoulder"), 11
    assert seen[0, shoulder] == pytest.approx(pose.world[0, 0, left] * [-1, -1, 1])
    assert not seen[1].any()
    moved = centred(torch.from_numpy(seen)[None], NTU25.index("spine_mid"))[0]
    assert not moved[0, NTU25.index("spine_mid")].any() and not moved[1].any()
    assert torch.allclose(moved[2] - moved[0], torch.from_numpy(seen[2] - seen[0]), atol=1e-6)
    pose.world = None
    with pytest.raises(DataError, match="has no coordinates in metres"):
        metres(pose, "ntu25")


@pytest.mark.parametrize(("damage", "message"), [
    (lambda path: path.write_bytes(b"nothing"), "is no checkpoint of CTR-GCN"),
    (lambda path: torch.save({"a": torch.zeros(1)}, path), "is no checkpoint of CTR-GCN"),
    (lambda path: path.unlink(), "cannot open"),
])  # fmt: skip
def test_weights_that_do_not_fit_are_one_line(tmp_path, damage, message):
    path = tmp_path / "weights.pt"
    released(path)
    damage(path)
    with pytest.raises(DataError, match=message):
        pose_encoder("ctrgcn", str(path))


UNKNOWN = (
    {"encoder": "vgg", "pose_encoder": "none"},
    {"encoder": "none", "pose_encoder": "gcn"},
    {"encoder": "swin3d_t", "pose_encoder": "none"},
    {"encoder": "swin3d_t", "preset": "none", "random": True},
)
INVALID = (
    {"stride": 0},
    {"window": 1},
    {"rate": -1},
    {"encoder": "none", "pose_encoder": "none"},
    {"preset": "escounts"},
    {"random": True, "weights": "x"},
    {"compiled": True},
)
IDLE = (
    ({"encoder": "none"}, {"mask": "x"}),
    ({"pose_encoder": "none"}, {"pose": "x"}),
    ({"encoder": "swin3d_t"}, {"mask": "x"}),
)


@pytest.mark.parametrize("options", UNKNOWN, ids=str)
def test_names_that_no_encoder_has_are_refused(options):
    with pytest.raises(UsageError):
        load_encoders(EncodeOptions(**options), CPU)


@pytest.mark.parametrize("options", INVALID, ids=str)
def test_options_that_no_encoder_takes_are_refused(options):
    with pytest.raises(UsageError):
        EncodeOptions(**options).check()


@pytest.mark.parametrize(("options", "files"), IDLE, ids=str)
def test_files_that_no_encoder_looks_at_are_refused(options, files):
    with pytest.raises(UsageError):
        EncodeOptions(**options).refuse_idle_files(Files(**files))


@pytest.mark.parametrize("kind", ["mask", "pose"])
def test_a_model_beside_its_estimate_is_refused(folder, kind):
    words = [f"--{kind}", folder / f"clip.{kind}.npz", f"--{kind}-model", "selfie" if kind == "mask" else "lite"]
    assert f"'--{kind}-model'" in one_line(racctl("encode", folder / "clip.mp4", *words), 2)


@pytest.fixture(scope="module")
def llsp(tmp_path_factory):
    """A data set of RepCount's layout: a good clip, one that is no video, one that is not there."""
    path = tmp_path_factory.mktemp("llsp")
    (path / "video" / "test").mkdir(parents=True)
    write_clip(path / "video" / "test" / "good.mp4", bouncing(60, 20, 120), fps=30)
    (path / "video" / "test" / "bad.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and nothing else")
    (path / "test.csv").write_text(
        "type,name,count,L1,L2,L3,L4\nsquat,good.mp4,2,0,20,20,40\nsquat,bad.mp4,1,0,9,,\nsquat,gone.mp4,1,0,9,,\n"
    )
    return path


def test_a_data_set_is_encoded_past_its_bad_clips(llsp, tmp_path):
    words = ["encode", "--dataset", "repcount", "--root", llsp, "--split", "test", "--encoder", "none",
             "--random-weights", "-o", tmp_path / "out"]  # fmt: skip
    done = racctl(*words)
    assert done.returncode == 3, done.stderr
    assert "2 of 3 inputs failed" in done.stderr.decode() and "no video is called 'gone'" in done.stderr.decode()
    target = tmp_path / "out" / "good.features.npz"
    assert features(target.read_bytes()).pose.shape[0] == 4
    written = target.stat().st_mtime_ns
    racctl(*words)
    assert target.stat().st_mtime_ns == written  # what is current is not made again
    racctl(*words, "--seed", "1")
    assert target.stat().st_mtime_ns != written
    racctl(*words, "--exemplars")
    assert features((tmp_path / "out" / "good.exemplars.npz").read_bytes()).start.tolist() == [0, 20]


def test_the_layout_of_escounts(llsp, tmp_path):
    words = ["encode", "--dataset", "repcount", "--root", llsp, "--split", "test", "--random-weights", "--layout",
             "escounts", "-o", tmp_path]  # fmt: skip
    assert racctl(*words).returncode == 3
    assert racctl(*words, "--exemplars").returncode == 3
    result = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.npz"))
    assert result == [
        "exemplar_ctrgcntokens_repcount/good.npz", "exemplar_silhouettetokens_repcount/good.npz",
        "saved_ctrgcntokens_repcount/good.npz", "saved_silhouettetokens_repcount/good.npz",
    ]  # fmt: skip
    shapes = {name: np.load(tmp_path / name)["arr_0"].shape for name in result}
    assert shapes[result[0]] == (2, 256, 16, 25, 1) and shapes[result[1]] == (2, 192, 8, 4, 4)
    assert shapes[result[2]] == (4, 256, 16, 25, 1) and shapes[result[3]] == (4, 192, 8, 4, 4)
    with open(tmp_path / result[3], "rb") as file:
        assert read_tokens(file, "tokens").dtype == np.float32


def test_token_files_that_are_none_are_one_line():
    for arrays, message in (
        ({"arr_0": np.zeros((2, 3))}, "expected tokens under 'arr_0'"),
        ({"other": np.zeros((1, 1, 1, 1, 1))}, "expected tokens under 'arr_0'"),
        ({"arr_0": np.full((1, 1, 1, 1, 1), np.nan)}, "values that are not finite"),
    ):
        file = io.BytesIO()
        write_npz(file, "", {}, arrays)
        with pytest.raises(DataError, match=message):
            read_tokens(file, "tokens.npz")


def test_a_command_says_what_it_cannot_do(folder, arguments, tmp_path):
    clip = folder / "clip.mp4"
    (folder / "other.csv").write_text("type,name,count,L1,L2\nsquat,zzz.mp4,1,0,64\n")
    for words, code, message in (
        ([clip, "--encoder", "swin3d_t"], 2, "--random-weights"),
        ([clip, "--encoder", "nothing"], 2, "invalid value 'nothing' for '--encoder'"),
        ([clip, "--root", "x"], 2, "it is an option of '--dataset'"),
        (["--dataset", "repcount", "--root", tmp_path, "--split", "test", "-o", tmp_path], 1, "has no table"),
        (
            ["--dataset", "ucf", "--root", tmp_path, "--split", "test", "-o", tmp_path],
            2,
            "invalid value 'ucf' for '--dataset'",
        ),
        ([clip, "--layout", "escounts"], 2, "name a directory"),
        ([clip, "--layout", "other"], 2, "invalid value 'other' for '--layout'"),
        ([clip, "--video", clip, "--random-weights"], 2, "is a video itself"),
        ([folder / "clip.pose.npz", "--pose", clip, "--encoder", "none"], 2, "is a pose itself"),
        ([clip, *arguments, "--reps", folder / "reps.parquet", "--stop", 1.5], 1, "repetitions after frame 44"),
        ([clip, *arguments, "--reps", folder / "other.csv"], 1, "marks no repetitions of 'clip'"),
        ([clip, *arguments, "--reps", folder / "reps.parquet", "-o", folder / "reps.parquet"], 2, "end it in .npz"),
        ([folder / "clip.mask.npz", "--random-weights"], 1, "holds racctl.mask/1"),
        ([clip, "--reps", folder / "reps.parquet", "--pose", folder / "clip.mask.npz", "--random-weights"], 1, "holds"),
    ):
        assert message in one_line(racctl("encode", *words), code)


def test_what_is_stale_is_made_again(folder, arguments, tmp_path):
    """Other repetitions, another mask or pose, another part: none of them is what lies there."""
    target = tmp_path / "clip.exemplars.npz"
    words = ["encode", folder / "clip.mp4", *arguments, "-o", f"{tmp_path}/", "--reps"]
    racctl(*words, folder / "reps.parquet")
    first, written = features(target.read_bytes()), target.stat().st_mtime_ns
    racctl(*words, folder / "reps.parquet")
    assert target.stat().st_mtime_ns == written
    (tmp_path / "other.csv").write_text("type,name,count,L1,L2\nsquat,clip.mp4,1,0,30\n")
    racctl(*words, tmp_path / "other.csv")
    assert first.start.tolist() == [4, 36] and features(target.read_bytes()).start.tolist() == [0]
    written = target.stat().st_mtime_ns
    with open(tmp_path / "clip.mask.npz", "wb") as file:
        mask = a_mask()
        mask.mask[:, 0] = 1
        write_mask(file, mask)
    swapped = [tmp_path / "clip.mask.npz" if word == folder / "clip.mask.npz" else word for word in words]
    racctl(*swapped, tmp_path / "other.csv")
    assert target.stat().st_mtime_ns != written


def test_a_pose_in_a_folder_of_outputs_is_encoded_once(folder, tmp_path):
    words = ["encode", folder / "clip.pose.npz", "--encoder", "none", "--random-weights", "-o", f"{tmp_path}/"]
    racctl(*words)
    written = (tmp_path / "clip.features.npz").stat().st_mtime_ns
    assert racctl(*words).returncode == 0
    assert (tmp_path / "clip.features.npz").stat().st_mtime_ns == written


def test_masks_and_poses_come_from_folders_by_the_clips_names(folder, arguments, tmp_path):
    clips = [tmp_path / f"{name}.mp4" for name in ("a", "b", "c")]
    for kind, make, write in (("pose", a_pose, write_pose), ("mask", a_mask, write_mask)):
        (tmp_path / kind).mkdir()
        for clip in clips[:2]:
            with open(tmp_path / kind / f"{clip.stem}.{kind}.npz", "wb") as file:
                write(file, make(clip=clip.stem))
    for clip in clips:
        clip.write_bytes((folder / "clip.mp4").read_bytes())
    words = ["--mask", tmp_path / "mask", "--pose", tmp_path / "pose", "--random-weights"]
    done = racctl("encode", *clips, *words, "-o", f"{tmp_path}/out/")
    assert done.returncode == 3 and b"has no pose of clip 'c'" in done.stderr
    desired = features(racctl("encode", folder / "clip.mp4", *arguments).stdout)
    for name in ("a", "b"):
        result = features((tmp_path / f"out/{name}.features.npz").read_bytes())
        assert np.array_equal(result.video, desired.video) and np.allclose(result.pose, desired.pose, atol=2e-3)
    written = (tmp_path / "out/a.features.npz").stat().st_mtime_ns
    racctl("encode", *clips[:2], *words, "-o", f"{tmp_path}/out/")
    assert (tmp_path / "out/a.features.npz").stat().st_mtime_ns == written
    alone = features(racctl("encode", clips[0], *words).stdout)
    assert np.allclose(alone.pose, desired.pose, atol=2e-3)


def test_masks_and_poses_of_something_else_are_refused(folder, tmp_path):
    for name, part, message in (
        ("half", a_mask(40), "the mask given with 'clip.mp4' covers frames 0 to 39 of 0 to 89"),
        ("none", a_mask(0), "has no frame"),
    ):
        with open(tmp_path / f"{name}.npz", "wb") as file:
            write_mask(file, part)
        words = ["--mask", tmp_path / f"{name}.npz", "--pose-encoder", "none", "--random-weights"]
        text = one_line(racctl("encode", "clip.mp4", *words, cwd=folder), 1)
        assert message in text
    second = a_mask()
    second.meta["source"] = {"name": "clip.mp4", "sha256": "0" * 64}
    with open(tmp_path / "other.npz", "wb") as file:
        write_mask(file, second)
    words = ["--mask", tmp_path / "other.npz", "--pose-encoder", "none", "--random-weights"]
    assert "was made of another file" in one_line(racctl("encode", folder / "clip.mp4", *words), 1)
