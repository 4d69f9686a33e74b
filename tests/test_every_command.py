"""The same troubles for every tool: bad input, bad output, a reader that goes away, Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clips import bouncing, plain, write_clip, write_sound_only
from commands import RACCTL, Server, afresh, on_a_terminal, one_line, racctl, wait_for_frames
from poses import swinging_pose

from racctl.io.npz import pose_bytes, write_npz
from racctl.io.parquet import table_from_rows, write_table

TOOLS = (
    "pose",
    "mask",
    "remap-joints",
    "encode",
    "count",
    "classify",
    "log",
    "angles",
    "score",
    "check-labels",
    "info",
)


POSE = pose_bytes(swinging_pose())


def parquet(schema="racctl.counts/1"):
    rows = [{"clip": "swing", "person": 0, "count": 5.0, "low": 5.0, "high": 5.0, "frames": 150}]
    out = io.BytesIO()
    write_table(out, table_from_rows(schema, rows if "counts" in schema else []))
    return out.getvalue()


def npz(**members):
    out = io.BytesIO()
    np.savez_compressed(out, **members)
    return out.getvalue()


def mask():
    out = io.BytesIO()
    arrays = {"mask": np.zeros((2, 4, 4), np.uint8), "frame": np.arange(2), "time": np.arange(2) / 30}
    write_npz(out, "racctl.mask/1", {"clip": "m"}, arrays)
    return out.getvalue()


def bomb():
    """1 MB that unpacks to 1 GB."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("meta.npy", "w") as member:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 30,)})
        member.write(header.getvalue())
        for _ in range(1024):
            member.write(bytes(1 << 20))
    return out.getvalue()


def parquet_bomb():
    """A column that claims 2 billion rows in a few bytes."""
    out = io.BytesIO()
    table = pa.table({"a": pa.array(np.zeros(50_000_000, np.int8))})
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


@pytest.fixture(scope="module")
def trouble(tmp_path_factory):
    """Inputs that no tool can use, by name."""
    folder = tmp_path_factory.mktemp("trouble")
    whole = write_clip(folder / "whole.mp4", plain(60, 160, 120)).read_bytes()
    future = io.BytesIO()
    write_npz(future, "racctl.pose/9", {}, swinging_pose().arrays())
    return {
        "empty": b"",
        "noise": np.random.default_rng(1).bytes(5000),
        "truncated npz": POSE[: len(POSE) // 2],
        "npz without its last byte": POSE[:-1],
        "truncated Parquet": parquet()[:-20],
        "Parquet of somebody else": _foreign_parquet(),
        "zip bomb": bomb(),
        "Parquet bomb": parquet_bomb(),
        "pickle in an npz": npz(meta=np.array([{"a": 1}], dtype=object)),
        "pickle": b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94.",
        "future schema": future.getvalue(),
        "truncated mp4": whole[: len(whole) // 2],
        "mp4 header only": whole[:64],
        "sound only": write_sound_only(folder / "sound.m4a").read_bytes(),
        "text": b"hello\n",
        "html": b"<!doctype html><title>404</title>",
        "deep json": b"[" * 100_000,
        "safetensors with a huge header": (1 << 62).to_bytes(8, "little") + b"{}",
    }


def _foreign_parquet():
    out = io.BytesIO()
    pq.write_table(pa.table({"x": [1, 2]}), out)
    return out.getvalue()


def words_for(tool, path="-"):
    return {"score": ["score", "--truth", path, path]}.get(tool, [tool, path])


NAMES = (
    "empty", "noise", "truncated npz", "npz without its last byte", "truncated Parquet", "Parquet of somebody else",
    "zip bomb", "Parquet bomb", "pickle in an npz", "pickle", "future schema", "truncated mp4", "mp4 header only",
    "sound only", "text", "html", "deep json", "safetensors with a huge header",
)  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with Server() as process:
        yield process


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", NAMES)
def test_a_bad_file_is_one_line_and_exit_1(tool, name, trouble, tmp_path, server):
    path = tmp_path / "input"
    path.write_bytes(trouble[name])
    target = tmp_path / "out"
    done, peak = server.run(*words_for(tool, path), "-o", target)
    message = one_line(done, 1)
    assert str(path) in message
    assert not target.exists()
    assert peak < 3 << 19, "a bad file took more than 1 GiB, beside half of one for the packages"
    assert [p.name for p in tmp_path.iterdir()] == ["input"], "something was left behind"


def some_truth(folder):
    path = folder / "truth.csv"
    path.write_text("clip,count\nswing,5\n")
    return path


@pytest.mark.parametrize("tool", TOOLS)
def test_empty_stdin_asks_about_the_previous_command(tool, tmp_path):
    words = ["score", "--truth", some_truth(tmp_path)] if tool == "score" else [tool]
    assert "empty input on stdin (did the previous command fail?)" in one_line(racctl(*words), 1)


@pytest.mark.parametrize("tool", TOOLS)
def test_nothing_on_a_terminal_says_what_to_give(tool, tmp_path):
    words = ["score", "--truth", some_truth(tmp_path)] if tool == "score" else [tool, "-o", os.devnull]
    code, shown = on_a_terminal(*words)
    assert code == 2
    assert "nothing on stdin; give a FILE or pipe one in" in shown


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("words", "expected"),
    [(["--no-such-option"], "no such option"), (["missing.npz", "--truth", "missing.npz"], "missing.npz")],
)
def test_usage_and_missing_files(tool, words, expected):
    words = words[:1] if tool != "score" and len(words) > 1 else words
    code = 2 if "option" in expected else 1
    assert expected in one_line(racctl(tool, *words), code)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_directory_in_place_of_a_file(tool, tmp_path):
    done = racctl(*words_for(tool, tmp_path))
    assert done.returncode in (1, 2)
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("tool", "data", "schema"), [("count", mask(), "racctl.mask/1"), ("remap-joints", mask(), "racctl.mask/1")]
)
def test_the_wrong_schema_says_what_it_is_and_what_was_expected(tool, data, schema):
    message = one_line(racctl(tool, stdin=data), 1)
    assert schema in message
    assert "racctl.pose/1" in message


@pytest.mark.parametrize("tool", ["pose", "mask", "remap-joints"])
def test_npz_is_refused_on_a_terminal_before_any_work(tool, tmp_path):
    path = tmp_path / "input"
    path.write_bytes(POSE)
    code, shown = on_a_terminal(tool, path)
    assert code == 2
    assert "refusing to write npz to a terminal; use '-o FILE' or a pipe" in shown


@pytest.mark.parametrize("words", [["count"], ["count", "--reps"], ["score"], ["info"], ["remap-joints"]])
def test_a_full_disk_is_an_error(words, tmp_path):
    path = tmp_path / "input"
    path.write_bytes(POSE)
    if words == ["score"]:
        path.write_bytes(parquet())
        words = ["score", "--truth", some_truth(tmp_path)]
    for target in (["-o", "/dev/full"], None):
        if target:
            done = racctl(*words, path, *target)
        else:
            with open("/dev/full", "wb") as full:
                done = subprocess.run(
                    [RACCTL, *words, str(path)], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
                )
        assert done.returncode == 1, done.stderr
        assert b"no space left on device" in done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("tool", ["count", "info", "remap-joints"])
def test_a_reader_that_goes_away(tool, tmp_path):
    big = tmp_path / "big"
    frames = 400 if tool == "count" else 4000  # what `count` prints is short anyhow
    big.write_bytes(pose_bytes(swinging_pose(frames)))
    script = f'set -o pipefail; "{RACCTL}" {tool} "{big}" | true; echo ${{PIPESTATUS[0]}}'
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([RACCTL, tool, str(big)], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert done.returncode == 141, done.stderr
    assert done.stderr == b""
    shell = subprocess.run(["bash", "-c", script], capture_output=True, timeout=60, check=False)
    assert shell.stdout.strip() in (b"0", b"141")
    assert shell.stderr == b""


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """A clip that takes more than a few seconds to look at."""
    return write_clip(tmp_path_factory.mktemp("long") / "long.mp4", bouncing(30, 15) * 40)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("tool", ["pose", "mask", "count"])
def test_interrupted_leaves_nothing(tool, number, long_clip, tmp_path):
    target = tmp_path / "out" / "x"
    target.parent.mkdir()
    process = subprocess.Popen([RACCTL, tool, str(long_clip), "-o", str(target)], stderr=subprocess.PIPE)
    wait_for_frames(process)
    process.send_signal(number)
    shown = process.communicate(timeout=30)[1]
    assert process.returncode == (130 if number == signal.SIGINT else 143), shown
    assert b"Traceback" not in shown
    assert list(target.parent.iterdir()) == []


def test_an_old_file_survives_a_failure_and_keeps_its_mode(tmp_path):
    target = tmp_path / "p.npz"
    target.write_bytes(b"precious")
    target.chmod(0o640)
    one_line(racctl("remap-joints", "-o", target, stdin=b"nonsense"), 1)
    assert target.read_bytes() == b"precious"
    assert racctl("remap-joints", "-o", target, stdin=POSE).returncode == 0
    assert target.stat().st_mode & 0o777 == 0o640
    assert target.read_bytes() != b"precious"


def test_a_link_is_followed_and_a_pipe_written_to(tmp_path):
    real, link, fifo = tmp_path / "real", tmp_path / "link", tmp_path / "fifo"
    real.write_bytes(b"")
    link.symlink_to(real)
    assert racctl("remap-joints", "-o", link, stdin=POSE).returncode == 0
    assert link.is_symlink()
    assert real.stat().st_size > 1000
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE) as cat:
        assert racctl("remap-joints", "-o", fifo, stdin=POSE).returncode == 0
        assert cat.communicate()[0] == real.read_bytes()


def test_an_unwritable_folder(tmp_path):
    message = one_line(racctl("remap-joints", "-o", tmp_path / "no" / "such" / "p.npz", stdin=POSE), 1)
    assert "cannot write" in message


@pytest.mark.parametrize("tool", TOOLS)
def test_odd_file_names(tool, tmp_path):
    for name in ("name with spaces.npz", "-dash.npz", "ünï\ncode.npz", "[markup].npz"):
        path = tmp_path / name
        path.write_bytes(b"nonsense")
        done = racctl(*words_for(tool, str(path)))
        assert done.returncode == 1
        assert len(done.stderr.decode().splitlines()) == 1


def test_any_locale(tmp_path):
    path = tmp_path / "übung.npz"
    path.write_bytes(pose_bytes(swinging_pose(meta={"clip": "übung", "topology": "blazepose33"})))
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = afresh("count", path, "--format", "csv", env=env)
    assert done.returncode == 0, done.stderr
    assert "übung".encode() in done.stdout


def test_debug_shows_the_traceback():
    done = racctl("info", "--debug", stdin=b"nonsense")
    assert done.returncode == 1
    assert b"Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(b"racctl info: ")


def test_clips_that_hold_little(tmp_path):
    first = write_clip(tmp_path / "one.mp4", bouncing(1, 10))
    done = racctl("count", first, "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith(b"one,0,0.0,0.0,1.0,1,too little to tell")
    nobody = write_clip(tmp_path / "nobody.mp4", plain(20, 128, 96))
    assert "shows no person" in one_line(racctl("count", nobody), 1)
    assert "shows no person" in one_line(racctl("pose", nobody), 1)
    assert "shows no person" in one_line(racctl("mask", nobody), 1)
