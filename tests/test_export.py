"""racctl export: what onnxruntime computes is what PyTorch does, and the file says what it is."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import one_line, racctl
from poses import swinging_pose

from racctl.counters.calibration import calibration_of
from racctl.errors import UsageError
from racctl.io.checkpoint import write_model
from racctl.io.npz import pose_bytes
from racctl.models.catalog import COUNTER_MODELS, as_dict, built
from racctl.models.d2stx import SMALL_D2STX
from racctl.models.escounts import SMALL_ESCOUNTS
from racctl.models.mcat import MCATConfig
from racctl.models.skimfocus import SMALL_SKIMFOCUS
from racctl.models.transrac import SMALL_TRANSRAC
from racctl.weights import names

pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from racctl.weights.export import EXAMPLE_TOKENS, export_onnx, load_exportable  # noqa: E402

SMALL = {"d2stx": SMALL_D2STX, "escounts": SMALL_ESCOUNTS, "transrac": SMALL_TRANSRAC, "skimfocus": SMALL_SKIMFOCUS}
PARITY = 1e-4  # of values up to about 10


def session(payload: bytes):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(payload, options, providers=["CPUExecutionProvider"])


def difference(payload: bytes, exportable, examples) -> float:
    with torch.no_grad():
        expected = exportable.network(*examples.values()).numpy()
    (output,) = session(payload).run(None, {name: tensor.numpy() for name, tensor in examples.items()})
    assert output.shape == expected.shape
    return float(np.abs(output - expected).max())


@pytest.mark.parametrize("name", names())
def test_embedded_weights_give_the_same_without_torch(name):
    exportable, header = load_exportable(name)
    payload = export_onnx(name)
    assert difference(payload, exportable, exportable.examples) < PARITY
    half = export_onnx(name, "float16")
    assert len(half) < 0.75 * len(payload)
    assert difference(half, exportable, exportable.examples) < 0.05
    difference(export_onnx(name, "int8"), exportable, exportable.examples)  # runs
    about = json.loads(session(payload).get_modelmeta().custom_metadata_map["racctl"])
    assert about["model"] == header["model"] and about["licence"] == "MIT" and about["precision"] == "float32"


def written(path, model, config, header):
    torch.manual_seed(0)
    network = built(model, config)
    meta = {"model": model, "config": as_dict(config), "licence": "MIT", "steps": [], **header}
    with open(path, "wb") as file:
        write_model(file, meta, network.state_dict())
    return str(path)


@pytest.mark.parametrize("model", COUNTER_MODELS)
def test_counters_take_any_number_of_tokens(tmp_path, model):
    config = replace(SMALL[model], video=24) if model != "d2stx" else replace(SMALL[model], video=24, pose=16)
    fed = {name: {"encoder": "x", "weights": {}} for name in ("video", "pose")}
    header = {"classes": [], "input": {"step": 4, "stride": 32, **fed}}
    path = written(tmp_path / "m.safetensors", model, config, header)
    if model == "skimfocus":
        with pytest.raises(UsageError, match="in blocks"):
            load_exportable(path)
        return
    exportable, _ = load_exportable(path)
    payload = export_onnx(path)
    for tokens in (EXAMPLE_TOKENS, EXAMPLE_TOKENS + 9, EXAMPLE_TOKENS - 8):
        examples = {
            key: torch.rand(1, tokens, *tensor.shape[2:]) for key, tensor in exportable.examples.items()
        }
        assert difference(payload, exportable, examples) < PARITY, tokens


@pytest.mark.parametrize("fusion", ["cross", "concat"])
def test_recognisers_of_pictures_take_any_number_of_windows(tmp_path, fusion):
    config = MCATConfig(classes=3, width=32, layers=1, fusion=fusion, pose=fusion == "cross")
    look = {"size": 16, "window": 8, "stride": 4, "rate": 30.0, "crop": "frame", "topology": "d2stx25", "mask": True}
    look |= {} if config.pose else {"topology": ""}
    path = written(tmp_path / "m.safetensors", "mcat", config, {"classes": ["a", "b", "c"], "input": look})
    exportable, _ = load_exportable(path)
    payload = export_onnx(path)
    assert list(exportable.examples) == ["gray", "mask", *(["joints"] if config.pose else [])]
    examples = {key: torch.rand(5, *tensor.shape[1:]) for key, tensor in exportable.examples.items()}
    assert difference(payload, exportable, examples) < PARITY


def test_int8_with_ranges_of_clips_is_close_on_them(tmp_path):
    (tmp_path / "p.npz").write_bytes(pose_bytes(swinging_pose(150)))
    words = ("export", "joints", "--precision", "int8", "--calibrate", tmp_path / "p.npz")
    done = racctl(*words, "-o", tmp_path / "j.onnx")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == done.stderr == b""
    payload = (tmp_path / "j.onnx").read_bytes()
    exportable, _ = load_exportable("joints")
    assert len(payload) < 0.5 * len(export_onnx("joints"))
    (fed,) = calibration_of("joints", [str(tmp_path / "p.npz")])
    examples = {name: torch.from_numpy(values) for name, values in fed.items()}
    with torch.no_grad():
        spread = float(exportable.network(*examples.values()).std())
    assert difference(payload, exportable, examples) < spread
    assert b"QuantizeLinear" in payload  # what is computed is int8, too
    assert b"QuantizeLinear" not in export_onnx("joints", "float16")


def test_a_pipe_takes_it_and_what_cannot_be_is_one_line(tmp_path):
    assert racctl("export", "joints").stdout[:2000].find(b"pytorch") > 0  # the producer stands in the head
    (tmp_path / "p.npz").write_bytes(pose_bytes(swinging_pose(60)))
    for words, code, message in (
        (("nothing",), 2, "expected a file or one of"),
        (("joints", "--precision", "int4"), 2, "expected one of float32, float16, int8"),
        (("joints", "--calibrate", tmp_path / "p.npz"), 2, "goes with '--precision int8'"),
        (("joints", "--precision", "int8", "--calibrate", tmp_path / "none"), 1, "does not exist"),
        (("ctrgcn", "--precision", "int8", "--calibrate", tmp_path / "p.npz"), 2, "for recognisers and counters"),
        (("d2stx", "--precision", "int8", "--calibrate", tmp_path / "p.npz"), 1, "racctl.pose/1"),
        ((tmp_path / "p.npz",), 1, "p.npz"),
    ):
        assert message in one_line(racctl("export", *words, "-o", tmp_path / "m.onnx"), code)
        assert not (tmp_path / "m.onnx").exists()


def test_the_packages_that_lack_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match=r"pip install 'racctl\[export\]'"):
        export_onnx("joints")


def test_the_file_runs_without_torch(tmp_path):
    (tmp_path / "j.onnx").write_bytes(export_onnx("joints"))
    code = (
        "import sys, numpy as np, onnxruntime as ort\n"
        "s = ort.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "shape = [3 if isinstance(n, str) else n for n in s.get_inputs()[0].shape]\n"
        "print(s.run(None, {'joints': np.zeros(shape, np.float32)})[0].shape[0], 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "j.onnx"], capture_output=True, text=True, check=True)
    assert done.stdout == "3 False\n"
