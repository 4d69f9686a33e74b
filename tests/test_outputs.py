"""Outputs are looked at before the work: no file that is read is ever replaced, and no wrong name is accepted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clips import plain, write_clip
from commands import RACCTL, in_process, one_line, racctl
from poses import swinging_pose

from racctl.io.npz import pose_bytes
from racctl.io.output import remove_unfinished, write_file
from racctl.io.parquet import table_from_rows, write_table
from racctl.weights import embedded


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A folder with a little of everything that a command may read."""
    folder = tmp_path_factory.mktemp("originals")
    (folder / "p.npz").write_bytes(pose_bytes(swinging_pose(60)))
    (folder / "t.csv").write_text("clip,count\na,2\n")
    (folder / "counts.csv").write_text("clip,count\na,2\n")
    (folder / "segments.csv").write_text("clip,start,stop,label\na,0,1,squat\n")
    (folder / "predicted.csv").write_text("clip,start,stop,label\na,0,1,squat\n")
    for name in ("vids", "poses", "masks"):
        (folder / name).mkdir()
    video = write_clip(folder / "vids" / "a.mp4", plain(10, 64, 48))
    shutil.copy(video, folder / "clip")
    shutil.copy(video, folder / "y.pose.npz")
    shutil.copy(video, folder / "y.mask.npz")
    shutil.copy(video, folder / "y.features.npz")
    (folder / "poses" / "a.pose.npz").write_bytes(pose_bytes(swinging_pose(10)))
    shutil.copy(embedded("d2stx"), folder / "counter")
    shutil.copy(embedded("joints"), folder / "recogniser")
    shutil.copy(embedded("joints"), folder / "recogniser.svg")
    shutil.copy(embedded("d2stx"), folder / "counter.svg")
    return folder


@pytest.fixture
def desk(originals, tmp_path, monkeypatch):
    shutil.copytree(originals, tmp_path / "desk")
    monkeypatch.chdir(tmp_path / "desk")
    return tmp_path / "desk"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "line",
    [
        "count p.npz --model counter -o counter --format csv",
        "count p.npz --model counter.svg --plot counter.svg",
        "count p.npz --pose-model counter -o counter",
        "count clip --overlay clip",
        "count p.npz --model d2stx --video clip -o clip --format csv",
        "classify p.npz --model recogniser -o recogniser --format csv",
        "classify p.npz --mask-model clip -o clip --format csv",
        "classify p.npz --pose poses/a.pose.npz -o poses/a.pose.npz --format csv",
        "classify --dataset segments.csv -o segments.csv",
        "classify --dataset segments.csv --videos vids -o vids/a.mp4 --format csv",
        "classify --dataset segments.csv --poses poses -o poses/a.pose.npz --format csv",
        "check-labels t.csv vids -o vids/a.mp4",
        "check-labels t.csv vids -o vids/a.mp4 --format csv",
        "score --truth t.csv counts.csv -o t.csv",
        "score --truth t.csv counts.csv --against counts.csv -o counts.csv",
        "score --truth segments.csv predicted.csv --confusion recogniser.svg --against recogniser.svg",
        "encode clip --encoder none --pose poses -o poses/a.pose.npz",
        "encode clip --encoder none --pose poses/a.pose.npz -o poses/a.pose.npz",
        "encode clip --weights recogniser -o recogniser",
        "encode clip --reps t.csv -o t.csv",
        "mask clip --model recogniser -o recogniser",
        "mask clip --overlay clip",
        "pose clip --model recogniser -o recogniser",
        "pose y.pose.npz -o ./",
        "mask y.mask.npz -o ./",
        "encode y.features.npz -o ./",
        "remap-joints p.npz -o p.npz",
        "info clip -o clip",
        "train recogniser poses --init run/model.safetensors -o run",
    ],
)
def test_what_a_command_reads_is_never_its_output(desk, capsys, line):
    (desk / "run").mkdir()
    shutil.copy("recogniser", "run/model.safetensors")
    before = contents(desk)
    code, message = in_process(capsys, *line.split())
    assert code == 2, message
    assert len(message.splitlines()) == 1, message
    assert contents(desk) == before


def test_what_lies_beside_a_manifest_is_read_too(desk, capsys):
    (desk / "set").mkdir()
    rows = {"video": None, "mask": None, "features": None, "speed": None, "split": "test", "label": "squat"}
    row = {"clip": "a", "pose": "pose/a.npz", "count": 1.0, **rows}
    write_file(desk / "set/manifest.parquet", lambda f: write_table(f, table_from_rows("racctl.manifest/1", [row], {})))
    shutil.copy("counts.csv", "set/labels.parquet")
    before = contents(desk)
    for line in ("score --truth set/manifest.parquet counts.csv", "check-labels set/manifest.parquet",
                 "classify --dataset set/manifest.parquet"):  # fmt: skip
        code, message = in_process(capsys, *line.split(), "-o", "set/labels.parquet")
        assert code == 2 and "which this command reads" in message, message
    assert contents(desk) == before


def test_one_folder_may_hold_what_every_tool_makes(desk, capsys):
    """Poses are found among masks and features, and features that were written there are no reason to refuse."""
    about = {"clip": "a", "topology": "blazepose33", "steps": []}
    (desk / "vids" / "a.pose.npz").write_bytes(pose_bytes(swinging_pose(10, meta=about)))
    (desk / "vids" / "a.mask.npz").write_bytes(b"no pose")
    for _ in range(2):
        code, message = in_process(
            capsys, *["encode", "vids/a.mp4", "--encoder", "none", "--pose", "vids", "-o", "vids/"]
        )
        assert code == 0 and (desk / "vids" / "a.features.npz").is_file(), message


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_link_to_an_input_is_that_input(desk, capsys, link):
    link(desk / "counter", desk / "linked")
    before = (desk / "counter").read_bytes()
    assert in_process(capsys, "count", "p.npz", "--model", "counter", "-o", "linked")[0] == 2
    assert (desk / "counter").read_bytes() == before


def test_a_file_of_another_kind_is_not_replaced(desk, capsys):
    before = contents(desk)
    for line in ("count p.npz -o clip", "pose vids/a.mp4 -o counter", "score --truth t.csv counts.csv -o recogniser"):
        code, message = in_process(capsys, *line.split())
        assert code == 2 and "would be replaced" in message, message
    assert contents(desk) == before


NPZ = ["pose clip", "mask clip", "remap-joints p.npz", "encode clip"]
TABLES = ["count p.npz", "classify p.npz", "score --truth t.csv counts.csv", "check-labels t.csv"]


@pytest.mark.parametrize("line", NPZ)
@pytest.mark.parametrize("name", ["p.csv", "m.png", "x.parquet", "x.mp4", "x.npy", "x.jpeg"])
def test_an_npz_is_not_called_something_else(desk, capsys, line, name):
    code, message = in_process(capsys, *line.split(), "-o", name)
    assert code == 2 and f"not {Path(name).suffix}; end it in .npz" in message, message
    assert not (desk / name).exists()


@pytest.mark.parametrize("line", TABLES)
@pytest.mark.parametrize("name", ["x.xlsx", "x.npz", "x.txt", "x.tsv", "x.mp4"])
def test_a_table_is_not_called_something_else(desk, capsys, line, name):
    code, message = in_process(capsys, *line.split(), "-o", name)
    assert code == 2 and ".parquet or .csv or .json" in message, message
    assert not (desk / name).exists()


def test_names_that_scripts_and_data_sets_use_are_fine(desk, capsys):
    for name in ("out", "9m9b5cdDcJQ_0.00000_6.91525", "out.npz.tmp", "out.NPZ"):
        code, message = in_process(capsys, "remap-joints", "p.npz", "--to", "coco17", "-o", name)
        assert code == 0 and (desk / name).exists(), message
    code, message = in_process(capsys, "check-labels", "t.csv", "-o", "found.txt", "--format", "table")
    assert code == 0 and (desk / "found.txt").exists(), message


@pytest.mark.parametrize("line", [*NPZ, *TABLES, "info clip"])
@pytest.mark.usefixtures("desk")
def test_a_folder_that_is_not_there_is_said_before_the_work(capsys, line):
    for words in (["-o", "nowhere/x"], ["-o", "t.csv/x"]):
        code, message = in_process(capsys, *line.split(), *words)
        assert code == 1 and "there is no folder" in message, message
    if line.startswith("count"):
        for words in (["--plot", "nowhere/x.png"], ["--overlay", "nowhere/x.mp4", "--video", "clip"]):
            code, message = in_process(capsys, *line.split(), *words)
            assert code == 1 and "there is no folder" in message, message


def test_inputs_that_say_they_are_one_clip_are_refused_before_the_work(desk, capsys):
    shutil.copy("p.npz", "q.npz")
    (desk / "broken.npz").write_bytes(b"PK\x03\x04 not read")
    for tool in ("count", "classify"):
        code, message = in_process(capsys, tool, "p.npz", "q.npz", "broken.npz")
        assert code == 1 and "both called 'swing' by their own account" in message, message
        assert len(message.splitlines()) == 1


def test_the_reader_of_a_help_text_may_go_away():
    for words in ("--help", "count --help", "--version"):
        done = subprocess.run(["bash", "-c", f"'{RACCTL}' {words} | true; echo ${{PIPESTATUS[0]}}"],
                              capture_output=True, timeout=60, check=True)  # fmt: skip
        assert done.stdout in (b"141\n", b"0\n") and done.stderr == b""


def test_a_terminal_is_told_before_the_input_is_read(tmp_path):
    assert "does not exist" in one_line(racctl("pose", tmp_path / "missing.mp4"), 1)


def test_what_a_killed_process_left_half_written_is_removed_and_nothing_else(tmp_path):
    program = (
        "import sys, time\n"
        "from racctl.io.output import write_file\n"
        "def build(file):\n"
        "    file.write(b'half')\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(60)\n"
        "write_file(sys.argv[1], build)\n"
    )
    target = tmp_path / "deep" / "clip.npz"
    target.parent.mkdir()
    (tmp_path / ".notes.tmp").write_text("a person's own")
    with subprocess.Popen([sys.executable, "-c", program, target], stdout=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdout.readline() == b"begun\n"
        writer.kill()
    assert len(list(target.parent.iterdir())) == 1
    remove_unfinished(tmp_path, [writer.pid + 1])
    assert len(list(target.parent.iterdir())) == 1
    remove_unfinished(tmp_path, [writer.pid])
    assert contents(tmp_path) == {".notes.tmp": b"a person's own"}
