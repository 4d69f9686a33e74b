"""tests/benchmarks/gpu: it draws what the generator draws, and `racctl classify` reads what it trains."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the generator is the extra racctl[synth]")
pytest.importorskip("numba", reason="the generator is the extra racctl[synth]")
if importlib.util.find_spec("anny") is None:
    pytest.skip("the generator is the extra racctl[synth]", allow_module_level=True)

import torch

from racctl.models.layers import FrameEncoder
from racctl.recognisers.inputs import Look
from racctl.recognisers.recogniser import Recogniser, pictures
from racctl.synth.clip import play
from racctl.synth.plan import plan_clip
from racctl.synth.render import PERSON_LABEL, actor, shots

FOLDER = Path(__file__).parent / "benchmarks" / "gpu"
SIDE = 112


@pytest.fixture(scope="module")
def gpu():
    """The modules of the folder, which are no package."""
    sys.path.insert(0, str(FOLDER))
    try:
        names = ("bodies", "learning", "points", "scenes", "studio")
        yield {name: __import__(name) for name in names}
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def people(gpu):
    return gpu["bodies"].drawn_bodies(2)


def drawn(gpu, people, **options) -> tuple[dict, torch.Tensor]:
    """A squat's scene and its frames, with the true mask."""
    plan = {"seed": 5, "number": 1, "movement": "squat", "fps": 30.0, "size": (SIDE, SIDE), "alone": True}
    order = gpu["scenes"].Order("squat", "train", plan, 10, 3.0, options.pop("hard", False), True)
    scene = gpu["scenes"].scene(order, people)
    studio = gpu["studio"].Studio(gpu["scenes"].surface(people[0]), SIDE, torch.device("cpu"), 1)
    return scene, studio.pictured({**scene, **options}, exact=True)


def test_points_draw_the_rasterisers_person(gpu, people):
    scene = gpu["scenes"]
    plan = plan_clip(5, 1, "squat", fps=30.0, size=(SIDE, SIDE), alone=True)
    plan = replace(plan, camera=replace(plan.camera, pan=0.0, shake=0.0))
    whole = {"boxes": None, "exposures": 1, "noise": 0.0, "blur": -1.0}
    output, _ = drawn(gpu, people)
    whole["boxes"] = np.tile(np.array([0, 0, SIDE, SIDE], np.float32), (len(output["boxes"]), 1))
    whole["missing"] = np.zeros_like(output["missing"])
    _, packed = drawn(gpu, people, **whole)
    gray, mask = pictures(packed, SIDE)
    rng = np.random.default_rng(0)
    body = next(
        person for person in people if np.allclose(output["people"][0]["vertices"], _dressed(person, plan), atol=1e-5)
    )
    played = play(plan, body)
    first = _first(output, played, body)
    actors = [actor(body, played.placed, plan.person, PERSON_LABEL)]
    exact = list(shots(plan, actors, played.view, played.timeline.props, played.pixels))
    for k in rng.choice(len(mask), 3, replace=False):
        shot = exact[first + 10 * k]
        both, either = (shot.mask & mask[k].numpy().astype(int)).sum(), (shot.mask | mask[k].numpy().astype(int)).sum()
        assert both / either > 0.9
        luminance = shot.image @ scene.LUMA / 255
        assert np.abs(luminance - gray[k].numpy()).mean() < 0.04


def _dressed(body, plan) -> np.ndarray:
    from racctl.synth.wardrobe import dress

    return dress(body, plan.person)[0]


def _first(clip: dict, played, body) -> int:
    """The frame of the clip that the scene begins with, told by where its root bone is."""
    shift = played.placed.places[:, 0] - np.einsum("tij,j->ti", played.placed.turns[:, 0], body.bones.head[0])
    expected = clip["people"][0]["moves"][0, 0, 0].reshape(3, 4)
    off = np.abs(played.placed.turns[:, 0] - expected[:, :3]).sum((1, 2)) + np.abs(shift - expected[:, 3]).sum(1)
    assert off.min() < 1e-4
    return int(off.argmin())


def test_equal_scenes_give_equal_pictures(gpu, people):
    assert torch.equal(drawn(gpu, people, hard=True)[1], drawn(gpu, people, hard=True)[1])


def test_parts_that_the_mask_lacks_are_still_in_the_picture(gpu, people):
    output, _ = drawn(gpu, people)
    lost = {"missing": np.ones_like(output["missing"]), "noise": 0.0}
    _, without = drawn(gpu, people, **lost)
    _, with_all = drawn(gpu, people, missing=np.zeros_like(output["missing"]), noise=0.0)
    assert not pictures(without, SIDE)[1].any() and pictures(with_all, SIDE)[1].any()
    assert torch.equal(without[..., :SIDE], with_all[..., :SIDE])


def test_packed_frames_unpack_to_the_same_mask(gpu):
    mask = torch.rand((3, 20, 20), generator=torch.Generator().manual_seed(1)) > 0.5
    gray, bits = pictures(gpu["studio"].packed(torch.full((3, 20, 20), 0.4), mask), 20)
    assert torch.equal(bits > 0, mask) and torch.allclose(gray, torch.full_like(gray, 102 / 255))


def test_bodies_survive_their_file(gpu, people, tmp_path):
    path = tmp_path / "bodies.npz"
    gpu["bodies"].write_bodies(path, 2)
    for before, after in zip(people, gpu["bodies"].read_bodies(path), strict=True):
        assert np.abs(before.vertices - after.vertices).max() < 2e-4
        assert np.allclose(before.bones.head, after.bones.head) and abs(before.sole - after.sole) < 2e-4


@pytest.mark.parametrize("config", [{}, {"pose": True}, {"input": "mask"}])
def test_classify_reads_what_is_trained(gpu, tmp_path, config):
    look = Look(16, 10.0, 16, 4, "person", "d2stx25")
    shelf = gpu["studio"].Shelf(64, 16, 25, ["background", "squat"], torch.device("cpu"))
    shelf.add(torch.randint(0, 255, (40, 16, 18), dtype=torch.uint8), ["background"] * 20 + ["squat"] * 20,
              np.zeros((40, 25, 4), np.float32))  # fmt: skip
    teacher = gpu["learning"].Teacher(look, ["background", "squat"], 4, 0, torch.device("cpu"))
    run = gpu["learning"].Run("mcat", "mcat", {"width": 32, "layers": 1, **config})
    objective, row = teacher.trained(run, shelf, 0.0)
    row["results"] = {"test_1x": teacher.tested(objective, shelf)}
    teacher.keep(tmp_path / "mcat.safetensors", run, objective, row, {})
    recogniser = Recogniser(str(tmp_path / "mcat.safetensors"), torch.device("cpu"))
    assert recogniser.classes == ["background", "squat"]
    assert recogniser.look == teacher.seen_by(run) and bool(recogniser.look.topology) == bool(config.get("pose"))
    again = gpu["learning"].weights_of(tmp_path, "mcat")
    assert torch.allclose(again["classify.weight"].float(), objective.model.classify.weight, atol=1e-3)
    assert gpu["learning"].weights_of(tmp_path, "none") is None


def test_windows_of_the_shelf_are_those_of_classify(gpu):
    look = Look(16, 10.0, 16, 4, "person")
    shelf = gpu["studio"].Shelf(99, 16, 0, ["background", "squat"], torch.device("cpu"))
    frames = torch.arange(40, dtype=torch.uint8)[:, None, None].expand(40, 16, 18)
    shelf.add(frames, ["background"] * 20 + ["squat"] * 20, None)
    clip, middle, label = shelf.middles(look.window, look.stride)
    batch = shelf.batch(clip, middle, label, np.ones(len(clip)), look)
    rows = look.windows.rows(look.windows.starts(40), 40)
    assert batch["packed"][:, :, 0, 0].tolist() == rows.tolist()
    assert label.tolist() == [int(row[look.windows.middle] >= 20) for row in rows]


def test_training_on_what_is_drawn_needs_no_decoder():
    """As on a machine without PyAV, MediaPipe and anny."""
    blocked = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('av', 'mediapipe', 'anny', 'warp', 'roma'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        f"sys.path.insert(0, {str(FOLDER)!r})\n"
        "import mcat\n"
    )
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, by itself
def test_frame_encoders_alone_are_compiled(gpu):
    look, run = Look(16, 10.0, 16, 4, "person"), gpu["learning"].Run("mcat", "mcat", {"width": 32, "layers": 1})
    plain, compiled = (
        gpu["learning"]
        .Teacher(look, ["background", "squat"], 4, 0, torch.device("cpu"), how)
        .objective(run, np.ones(2))
        for how in (False, True)
    )
    changed = [module for module in compiled.modules() if "forward" in vars(module)]
    assert len(changed) == 2 and all(isinstance(module, FrameEncoder) for module in changed)
    assert all(hasattr(module.forward, "_torchdynamo_orig_callable") for module in changed)
    assert list(plain.state_dict()) == list(compiled.state_dict())
    gray, mask = torch.rand((2, 4, 16, 16)), torch.ones((2, 4, 16, 16))
    with torch.compiler.set_stance("force_eager"):
        assert torch.allclose(plain.eval().model(gray, mask), compiled.eval().model(gray, mask), atol=1e-5)
