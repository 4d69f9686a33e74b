"""Where BlazePose's networks and the selfie segmenter come from: MediaPipe's wheel, the cache, pip, npm, .task."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import io
import logging
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from racctl.errors import DataError, UsageError
from racctl.estimators import model_files
from racctl.estimators.download import Bundle, cache_folder, fetch
from racctl.estimators.model_files import (
    MODEL_FILES,
    TASK_FILES,
    blazepose_files,
    blazepose_paths,
    selfie_model,
    selfie_path,
)
from racctl.io import bounds

CONTENT = {name: f"TFL3 of {name}, ".encode() * 1000 for name in MODEL_FILES}
TASK = ("pose_detector.tflite", "pose_landmarks_detector.tflite")
IN_WHEEL = ("detector", "full", "selfie")

needs_pip = pytest.mark.skipif(not model_files._has_pip(), reason="pip is not installed")


def task_file(detector: bytes = b"detector", landmarks: bytes = b"landmarks") -> bytes:
    payload = io.BytesIO()
    with zipfile.ZipFile(payload, "w") as archive:
        archive.writestr(TASK[0], detector)
        archive.writestr(TASK[1], landmarks)
    return payload.getvalue()


def executable(path: Path, lines: str) -> None:
    path.write_text(lines)
    path.chmod(0o755)


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without models, npm and network, whose mediapipe carries none; with pins of a few bytes."""
    for folder in ("bin", "temporary", "index", "site/mediapipe"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "site/mediapipe/__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.delitem(sys.modules, "mediapipe", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("RACCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    for name, content in CONTENT.items():
        pin = replace(MODEL_FILES[name], size=len(content), sha256=hashlib.sha256(content).hexdigest())
        monkeypatch.setitem(MODEL_FILES, name, pin)
    for name, bundle in list(TASK_FILES.items()):
        task = task_file(landmarks=CONTENT[name])
        pin = replace(bundle, size=len(task), sha256=hashlib.sha256(task).hexdigest())
        monkeypatch.setitem(TASK_FILES, name, pin)
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: pytest.fail(f"{url} was opened"))
    return tmp_path


def publish_wheel(bare: Path, **changes: bytes | None) -> Path:
    """Put a wheel of mediapipe 0.10.21 into the index; changes: by name of a network, None to leave it out."""
    wheel = bare / "index" / "mediapipe-0.10.21-cp312-cp312-manylinux_2_28_x86_64.whl"
    about = "mediapipe-0.10.21.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in IN_WHEEL:
            content = changes.get(name, CONTENT[name])
            if content is not None:
                archive.writestr(MODEL_FILES[name].member, content)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: mediapipe\nVersion: 0.10.21\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: cp312-cp312-manylinux_2_28_x86_64\n")
        archive.writestr(f"{about}/RECORD", "")
    return wheel


def publish_npm(bare: Path, **changes: bytes) -> None:
    """Put a client `npm` on the path that packs @mediapipe/pose as npm does, and writes down how it was called."""
    with tarfile.open(bare / "pose.tgz", "w:gz") as archive:
        for name in ("lite", "heavy"):
            content = changes.get(name, CONTENT[name])
            entry = tarfile.TarInfo(MODEL_FILES[name].member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    executable(
        bare / "bin/npm", f'#!/bin/sh\necho "$@" > {bare}/called\n/bin/cp {bare}/pose.tgz "$5"/mediapipe-pose.tgz\n'
    )


def serve(monkeypatch, answers: dict[str, bytes]) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(answers[url]))


def install_wheel(bare: Path) -> Path:
    """Give the installed mediapipe the files of 0.10.21."""
    for name in IN_WHEEL:
        target = bare / "site" / MODEL_FILES[name].member
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(CONTENT[name])
    return bare / "site"


def assert_nothing_is_left(bare: Path) -> None:
    assert not list(bare.glob("cache/*"))
    assert not list((bare / "temporary").iterdir())


def test_the_pins_are_those_of_the_installed_wheel():
    spec = importlib.util.find_spec("mediapipe")
    folder = Path(next(iter(spec.submodule_search_locations))).parent if spec else Path()
    if not (folder / MODEL_FILES["full"].member).is_file():
        pytest.skip("no mediapipe with models is installed")
    for name in IN_WHEEL:
        content = (folder / MODEL_FILES[name].member).read_bytes()
        assert len(content) == MODEL_FILES[name].size
        assert hashlib.sha256(content).hexdigest() == MODEL_FILES[name].sha256


def test_an_installed_wheel_serves_full_and_the_selfie_segmenter(bare):
    site = install_wheel(bare)
    files = blazepose_files("full", download=True)  # nothing need be fetched
    assert (files.detector, files.landmarks) == (CONTENT["detector"], CONTENT["full"])
    assert files.name == "pose_landmark_full.tflite"
    assert files.record == {"name": files.name, "sha256": MODEL_FILES["full"].sha256, "licence": "Apache-2.0"}
    content, record = selfie_model(download=False)
    assert content == CONTENT["selfie"] and record["name"] == "selfie_segmentation.tflite"
    assert selfie_path(download=False).is_relative_to(site)
    assert "mediapipe" not in sys.modules


def test_looking_reads_no_network(bare, monkeypatch):
    install_wheel(bare)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"'{path}' was read"))
    assert blazepose_paths("full", download=False).name == "pose_landmark_full.tflite"
    selfie_path(download=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("full", r"of MediaPipe only 0.10.21 carries them; use '--download' \(about 36 MB\) or a .task FILE"),
        ("lite", "'lite' does not come with the installation; use '--download' or a .task FILE"),
        ("huge", "no such pose model 'huge'; expected full, lite, heavy or a .task file"),
    ],
)
@needs_pip
def test_nothing_is_fetched_unasked(bare, name, message):
    publish_wheel(bare)
    publish_npm(bare)
    with pytest.raises(UsageError, match=message):
        blazepose_paths(name, download=False)
    with pytest.raises(UsageError, match=r"the selfie segmenter is not here: .*; use '--download'"):
        selfie_path(download=False)
    assert not (bare / "called").exists()
    assert_nothing_is_left(bare)


@needs_pip
def test_pip_fetches_all_of_the_wheel_once(bare, caplog, monkeypatch):
    wheel = publish_wheel(bare)
    # What lies in the current folder is no business of pip's; a set-up that asks for a virtual environment is met.
    monkeypatch.chdir(bare)
    (bare / "logging.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    with caplog.at_level(logging.WARNING, "racctl"):
        files = blazepose_files("full", download=True)
    assert (files.detector, files.landmarks) == (CONTENT["detector"], CONTENT["full"])
    assert files.record["licence"] == "Apache-2.0"
    assert [record.getMessage() for record in caplog.records] == [
        "downloading mediapipe 0.10.21 (about 36 MB) through pip; of its files pose_detection.tflite, "
        f"pose_landmark_full.tflite, selfie_segmentation.tflite are kept in '{bare / 'cache'}'"
    ]
    names = {path.name for path in (bare / "cache").iterdir()}
    assert names == {"pose_detection.tflite", "pose_landmark_full.tflite", "selfie_segmentation.tflite"}
    assert not list((bare / "temporary").iterdir())
    wheel.unlink()
    assert blazepose_files("full", download=True) == files == blazepose_files("full", download=False)
    assert selfie_model(download=True)[0] == CONTENT["selfie"]


@needs_pip
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"full": CONTENT["full"][:-1] + b"?"}, "is not the file that was pinned"),
        ({"selfie": CONTENT["selfie"] + b"?"}, "is not the file that was pinned"),
        ({"detector": None}, "holds no 'mediapipe/modules/pose_detection/pose_detection.tflite'; nothing was kept"),
    ],
)
def test_a_wheel_that_is_not_the_pinned_one_is_refused_whole(bare, changes, message):
    publish_wheel(bare, **changes)
    with pytest.raises(DataError, match=message):
        blazepose_paths("full", download=True)
    assert_nothing_is_left(bare)


@needs_pip
@pytest.mark.parametrize("harm", ["absent", "cut short", "unreachable"])
def test_pip_fails_in_one_line(bare, harm, monkeypatch):
    why = "No matching distribution found"
    if harm == "cut short":
        wheel = publish_wheel(bare)
        wheel.write_bytes(wheel.read_bytes()[:-30])
        why = "invalid"
    if harm == "unreachable":
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("PIP_RETRIES", "1")
        why = "the package index cannot be reached"
    with pytest.raises(DataError) as raised:
        blazepose_paths("full", download=True)
    message = str(raised.value)
    assert message.startswith("cannot get mediapipe 0.10.21 through pip (") and why in message
    assert message.endswith("; see that pip reaches a package index that has it")
    assert_nothing_is_left(bare)


@pytest.mark.usefixtures("bare")
def test_without_pip_the_task_file_is_fetched(monkeypatch, caplog):
    monkeypatch.setattr(model_files, "_has_pip", lambda: False)
    serve(monkeypatch, {TASK_FILES["full"].url: task_file(landmarks=CONTENT["full"])})
    with caplog.at_level(logging.WARNING, "racctl"):
        files = blazepose_files("full", download=True)
    (record,) = caplog.records
    assert f"downloading '{TASK_FILES['full'].url}' (" in record.getMessage() and " MB) into" in record.getMessage()
    assert files.name == "pose_landmarker_full.task" and files.landmarks == CONTENT["full"]
    assert files.record["sha256"] == TASK_FILES["full"].sha256 and files.record["licence"] == "Apache-2.0"
    with pytest.raises(DataError, match="the selfie segmenter takes pip, which this Python lacks; python -m ensurepip"):
        selfie_path(download=True)


@needs_pip
def test_npm_serves_lite_and_heavy(bare, caplog):
    publish_npm(bare)
    publish_wheel(bare)
    with caplog.at_level(logging.WARNING, "racctl"):
        files = blazepose_files("lite", download=True)
    assert (files.detector, files.landmarks) == (CONTENT["detector"], CONTENT["lite"])
    assert files.record["name"] == "pose_landmark_lite.tflite" and files.record["licence"] == "Apache-2.0"
    assert "downloading @mediapipe/pose 0.5.1675469404 (about 41 MB) through npm" in caplog.records[0].getMessage()
    words = (bare / "called").read_text().split()
    assert words[-1] == "@mediapipe/pose@0.5.1675469404" and "--silent" not in words  # npm would hide why it fails
    assert not (bare / "cache/pose_landmark_heavy.tflite").exists()
    (bare / "index").rename(bare / "no index")  # the detector is here by now
    assert blazepose_files("heavy", download=True).landmarks == CONTENT["heavy"]
    assert not list((bare / "temporary").iterdir())


@pytest.mark.parametrize("harm", ["altered", "refused", "silent", "empty"])
def test_npm_fails_in_one_line(bare, harm):
    install_wheel(bare)  # so that the detector is here
    publish_npm(bare, lite=CONTENT["lite"][:-1] + b"?")
    message = "'package/pose_landmark_lite.tflite' in 'mediapipe-pose.tgz' is not the file that was pinned"
    if harm == "refused":
        complaint = "npm error code E404\\nnpm error 404 Not Found\\nnpm error A complete log of this run"
        executable(bare / "bin/npm", f"#!/bin/sh\nprintf '{complaint}' >&2\nexit 1\n")
        message = r"through npm \(404 Not Found\); see that npm reaches a package index that has it"
    if harm == "silent":
        executable(bare / "bin/npm", "#!/bin/sh\nexit 1\n")
        message = r"cannot get @mediapipe/pose 0.5.1675469404 through npm \(exit status 1\)"
    if harm == "empty":
        executable(bare / "bin/npm", "#!/bin/sh\nexit 0\n")
        message = r"through npm \(it left 0 files\)"
    with pytest.raises(DataError, match=message):
        blazepose_paths("lite", download=True)
    assert_nothing_is_left(bare)


@pytest.mark.parametrize("lacks", ["npm", "pip"])
def test_lite_is_a_task_file_where_no_client_serves_it(bare, lacks, monkeypatch):
    if lacks == "pip":
        publish_npm(bare)  # without the detector, which takes pip
        monkeypatch.setattr(model_files, "_has_pip", lambda: False)
    serve(monkeypatch, {TASK_FILES["lite"].url: task_file(landmarks=CONTENT["lite"])})
    assert blazepose_files("lite", download=True).name == "pose_landmarker_lite.task"
    assert not (bare / "called").exists()


def test_an_interrupted_download_leaves_nothing(bare):
    """As Ctrl-C on a terminal does, the signal reaches the command alone or its client as well; here the command."""
    install_wheel(bare)
    publish_npm(bare)
    executable(bare / "bin/npm", f'#!/bin/sh\necho cut > "$5"/part.tgz\necho $$ > {bare}/pid\nexec /bin/sleep 100\n')
    code = "import sys; from racctl.estimators.model_files import blazepose_paths; blazepose_paths('lite', True)"
    environment = {**os.environ, "TMPDIR": str(bare / "temporary"), "PYTHONPATH": str(bare / "site")}
    command = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (bare / "pid").exists() or not (bare / "pid").read_text().strip():
        assert command.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    command.send_signal(signal.SIGINT)
    _, printed = command.communicate(timeout=60)
    assert command.returncode and "KeyboardInterrupt" in printed
    with pytest.raises(ProcessLookupError):
        os.kill(int((bare / "pid").read_text()), 0)
    assert_nothing_is_left(bare)


@pytest.mark.usefixtures("bare")
def test_a_file_damaged_in_the_cache_is_refused():
    cache_folder().mkdir()
    for name in ("detector", "full", "selfie"):
        MODEL_FILES[name].cached.write_bytes(CONTENT[name])
    blazepose_files("full", download=False)
    for name, read in (("full", lambda: blazepose_files("full", False)), ("selfie", lambda: selfie_model(False))):
        MODEL_FILES[name].cached.write_bytes(CONTENT[name][:-1] + b"?")
        with pytest.raises(DataError, match=r"\.tflite' is damaged; delete it and use '--download'"):
            read()


def test_a_task_file_of_the_user(tmp_path):
    path = tmp_path / "mine.task"
    path.write_bytes(task_file(b"one", b"two"))
    files = blazepose_files(str(path), download=False)
    assert (files.name, files.detector, files.landmarks) == ("mine.task", b"one", b"two")
    assert files.record["licence"] == "unknown" and len(files.record["sha256"]) == 64


@pytest.mark.parametrize("harm", ["no zip", "member", "checksum", "large"])
def test_a_file_that_is_no_pose_model_is_refused(tmp_path, harm, monkeypatch):
    path = tmp_path / "mine.task"
    content = task_file(landmarks=b"l" * 2000)
    message = f"'{re.escape(str(path))}' is not a .task file of a pose model"
    if harm == "no zip":
        content = b"TFL3"
    if harm == "member":
        content = content.replace(TASK[1].encode(), TASK[1].encode()[::-1])
        message += f": it holds no '{TASK[1]}'"
    if harm == "checksum":
        content = content.replace(b"lll", b"lkl", 1)
    if harm == "large":
        monkeypatch.setattr(bounds, "MAX_MEMORY", 1999)
        message = "is too large"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        blazepose_files(str(path), download=False)


def test_a_download_that_breaks_off_leaves_nothing(bare, monkeypatch):
    bundle = Bundle("https://example.org/tiny.task", 100, "0" * 64)

    class Broken(io.BytesIO):
        def read(self, _size=-1):
            raise http.client.IncompleteRead(b"half", 50)

    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Broken())
    with pytest.raises(DataError, match=r"cannot fetch 'https://example.org/tiny.task' \(IncompleteRead"):
        fetch(bundle)
    assert_nothing_is_left(bare)


@pytest.mark.usefixtures("bare")
def test_a_mediapipe_without_a_specification_is_passed_over(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", type(sys)("mediapipe"))
    assert sys.modules["mediapipe"].__spec__ is None
    with pytest.raises(UsageError):
        model_files.selfie_path(download=False)
