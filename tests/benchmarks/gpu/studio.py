"""Scenes from worker processes, drawn on the GPU and kept there as a recogniser sees them: packed uint8."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import queue
import time
from pathlib import Path

import numpy as np
import points
import torch
import torch.nn.functional as F
from torch import Tensor

from racctl.recognisers.inputs import Look
from racctl.windows import retimed

AHEAD = 400  # scenes that wait to be drawn, at most


def read_or_make_bodies(path: str, count: int) -> list:
    """Bodies from a file that `bodies.py` wrote, or, without one, from anny."""
    import bodies

    return bodies.read_bodies(Path(path)) if path else bodies.drawn_bodies(count)


def produce(share: slice, bodies: str, folder: str, ready, stop) -> None:
    """In a worker process: make the scenes of a share of the orders, which lie in the folder, and announce their
    files."""
    import scenes

    orders = pickle.loads(Path(folder, "orders").read_bytes())[share]
    people = read_or_make_bodies(bodies, 8)
    began = time.monotonic()
    for number, order in enumerate(orders):
        if stop.is_set():
            break
        if number in (1, 10, 100):
            print(f"  a process made {number} scenes in {time.monotonic() - began:.1f} s", flush=True)
        try:
            path = str(scenes.save(order, people, Path(folder)))
        except Exception as error:  # the parent says which and goes on
            path = f"!{order.name}: {type(error).__name__}: {error}"
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(path, timeout=0.5)
                break


class Producers:
    """Worker processes that make scenes in the orders' order, `AHEAD` of the drawing at most."""

    def __init__(self, orders: list, bodies: str, folder: Path, jobs: int) -> None:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = "1"
        context = multiprocessing.get_context("spawn")
        self.ready, self.stop, self.left, self.failed = context.Queue(AHEAD), context.Event(), len(orders), []
        Path(folder, "orders").write_bytes(pickle.dumps(orders))  # as an argument it would hold up each start
        self.workers = [
            context.Process(
                target=produce, args=(slice(k, None, jobs), bodies, str(folder), self.ready, self.stop), daemon=True
            )
            for k in range(jobs)
        ]
        for worker in self.workers:
            worker.start()

    def next(self, wait: float) -> dict | None:
        """A scene; None where none is ready within `wait` seconds."""
        try:
            path = self.ready.get(timeout=wait)
        except queue.Empty:
            return None
        self.left -= 1
        if path.startswith("!"):
            self.failed.append(path[1:])
            return {}
        with open(path, "rb") as file:
            scene = pickle.load(file)
        os.unlink(path)
        return scene

    def close(self) -> None:
        self.stop.set()
        for worker in self.workers:
            worker.join(1.0)
            if worker.is_alive():
                worker.terminate()


class Shelf:
    """Clips as they are seen: packed (N, side, side + side / 8) uint8, joints (N, V, 4), labels (N,), on the device."""

    def __init__(self, room: int, side: int, joints: int, classes: list[str], device: torch.device) -> None:
        self.packed = torch.empty((room, side, side + -(-side // 8)), dtype=torch.uint8, device=device)
        self.joints = torch.zeros((room, joints, 4), device=device) if joints else None
        self.number = {name: k for k, name in enumerate(classes)}
        self.side, self.device, self.filled = side, device, 0
        self.first: list[int] = []
        self.length: list[int] = []
        self.label: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self.first)

    def add(self, packed: Tensor, labels: list[str], joints: np.ndarray | None) -> bool:
        """False where the shelf is full."""
        count = len(packed)
        if self.filled + count > len(self.packed):
            return False
        rows = slice(self.filled, self.filled + count)
        self.packed[rows] = packed
        if self.joints is not None:
            self.joints[rows] = torch.from_numpy(joints).to(self.device)
        self.first.append(self.filled)
        self.length.append(count)
        self.label.append(np.array([self.number[name] for name in labels], np.int64))
        self.filled += count
        return True

    def middles(self, window: int, stride: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of all windows at that stride: clip, middle tick, class."""
        clips, middles, labels = [], [], []
        for k, length in enumerate(self.length):
            middle = np.arange(0, max(length - window, 0) + 1, stride) + window // 2
            clips.append(np.full(len(middle), k))
            middles.append(middle)
            labels.append(self.label[k][middle.clip(0, length - 1)])
        return np.concatenate(clips), np.concatenate(middles), np.concatenate(labels)

    def batch(self, clip: np.ndarray, middle: np.ndarray, label: np.ndarray, tempo: np.ndarray, look: Look) -> dict:
        """As `racctl.training.clip_windows.WindowSet.batch`, from what lies on the device."""
        rows = retimed(middle, tempo, look.window, np.array(self.length)[clip]) + np.array(self.first)[clip][:, None]
        rows = torch.from_numpy(rows).to(self.device, non_blocking=True)
        output = {"packed": self.packed[rows], "label": torch.from_numpy(label).to(self.device, non_blocking=True)}
        return output | ({"joints": self.joints[rows]} if look.topology else {})


class Studio:
    """Draws scenes onto shelves. shared: `scenes.surface`."""

    def __init__(self, shared: dict[str, np.ndarray], side: int, device: torch.device, seed: int) -> None:
        self.shared = {name: torch.from_numpy(array).to(device) for name, array in shared.items()}
        self.side, self.device = side, device
        self.random = torch.Generator(device).manual_seed(seed)
        self.rng = np.random.default_rng(seed)

    def scene(self, clip: dict) -> points.Scene:
        """From the plain dict of `scenes.scene`."""

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, non_blocking=True)

        common = (self.shared["corner"], self.shared["share"], self.shared["part"])
        clouds = [
            points.Cloud(
                tensor(each["vertices"]), tensor(each["gray"]), self.shared["weights"], tensor(each["moves"]), *common
            )
            for each in clip["people"]
        ]
        held = clip["held"]
        held = held and points.Held(*(tensor(held[name]) for name in ("places", "gray", "corner", "share")))
        return points.Scene(
            clouds[0], clouds[1:], held, tensor(clip["turn"]), tensor(clip["place"]), clip["focal"], clip["size"],
            clip["frame"], tensor(clip["boxes"]), tensor(clip["room"]).float(), tensor(clip["light"]),
            clip["strength"], clip["ambient"], clip["gain"], clip["curve"], clip["shutter"], clip["exposures"],
            tensor(clip["missing"]), clip["held_masked"],
        )  # fmt: skip

    def pictured(self, clip: dict, exact: bool = False) -> Tensor:
        """(K, side, side + side / 8) uint8 of a scene. exact: the true mask instead of one as it might be found."""
        gray, mask = points.draw(self.scene(clip), self.side)
        gray = self._developed(gray, clip)
        mask = mask if exact else self._detected(mask)
        return packed(gray, mask)

    def _developed(self, gray: Tensor, clip: dict) -> Tensor:
        """Lens and noise."""
        blur = max(0.0, clip["blur"]) + self.rng.uniform(0, 0.5)
        if blur > 0.35:
            gray = blurred(gray, blur)
        noise = torch.randn(gray.shape, generator=self.random, device=self.device) * (0.7 * clip["noise"])
        return (gray + noise).clamp(0, 1)

    def _detected(self, mask: Tensor) -> Tensor:
        """A mask as an estimator finds it: its outline rounded, too wide here and too narrow there, lost at times."""
        count = len(mask)
        soft = blurred(mask.float(), self.rng.uniform(0.6, 1.8))
        size, cells = self.rng.uniform(0.0, 0.45), int(self.rng.integers(5, 14))
        still = torch.randn((1, 1, cells, cells), generator=self.random, device=self.device)
        moving = torch.randn((count, 1, cells, cells), generator=self.random, device=self.device)
        moving = (moving + moving.roll(1, 0) + moving.roll(-1, 0)) / 3**0.5
        field = F.interpolate(0.7 * still + 0.7 * moving, size=mask.shape[1:], mode="bicubic")[:, 0]
        result = soft + size * field * 4 * soft * (1 - soft) > 0.5 + self.rng.uniform(-0.2, 0.2)
        lost = np.zeros(count, bool)
        for start in np.flatnonzero(self.rng.random(count) < (0.02 if self.rng.random() < 0.15 else 0.002)):
            lost[start : start + int(self.rng.integers(1, 6))] = True
        return result & ~torch.from_numpy(lost).to(self.device)[:, None, None]


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """(K, H, H) under a Gaussian, as two matrix products: a convolution would be planned anew for every K."""
    place = torch.arange(pictures.shape[-1], device=pictures.device)
    line = torch.exp(-(((place[:, None] - place) / sigma) ** 2) / 2)
    line = line / line.sum(1, keepdim=True)
    return line @ pictures @ line.T


def packed(gray: Tensor, mask: Tensor) -> Tensor:
    """As `racctl.recognisers.inputs.Streams.packed`: (K, H, W + W / 8) uint8."""
    side = mask.shape[-1]
    bits = F.pad(mask.to(torch.uint8), (0, -side % 8)).unflatten(-1, (-1, 8))
    weight = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=mask.device)
    return torch.cat([(gray * 255 + 0.5).to(torch.uint8), (bits * weight).sum(-1, dtype=torch.uint8)], -1)


def stocked(producers: Producers, studio: Studio, shelves: dict[str, Shelf], until: float, most: int) -> int:
    """Draw scenes until the time `until` (monotonic), `most` clips, or none are left. Returns how many were drawn."""
    drawn, waited, began = 0, 0.0, time.monotonic()
    while producers.left and drawn < most and time.monotonic() < until:
        now = time.monotonic()
        output = producers.next(0.5)
        waited += time.monotonic() - now
        if output and shelves[output["split"]].add(studio.pictured(output), output["label"], output.get("joints")):
            drawn += 1
    print(
        f"  drew {drawn} clips in {time.monotonic() - began:.1f} s, {waited:.1f} s of them waiting for scenes",
        flush=True,
    )
    return drawn
