"""Bodies of the generator in one file, for machines where anny is not installed.

python tests/benchmarks/gpu/bodies.py bodies.npz [--count 96]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from racctl.synth import body as anatomy
from racctl.synth.body import Body, make_body
from racctl.synth.plan import draw_person, generator

SEED = 77


def drawn_bodies(count: int) -> list[Body]:
    """Bodies of people as `racctl synth` draws them."""
    return [make_body(draw_person(generator(SEED, k, 13)).phenotype) for k in range(count)]


def write_bodies(path: Path, count: int) -> None:
    """Write what differs between bodies, and once what does not."""
    bodies = drawn_bodies(count)
    first = bodies[0]
    names = sorted(first.points)
    mean = np.mean([body.vertices for body in bodies], 0).astype(np.float32)
    np.savez_compressed(
        path, mean=mean, faces=first.faces, skin=first.skin, weights=first.weights.astype(np.float32),
        offset=np.stack([body.vertices - mean for body in bodies]).astype(np.float16),
        head=np.stack([body.bones.head for body in bodies]), face=np.stack([body.face for body in bodies]),
        points=np.stack([[body.points[name][0] for name in names] for body in bodies]),
        point_weights=np.stack([first.points[name][1] for name in names]).astype(np.float32),
        parent=first.bones.parent,
        names=np.array(json.dumps({"points": names, "bones": list(first.bones.names)})),
    )  # fmt: skip


def read_bodies(path: Path) -> list[Body]:
    """The bodies in a file that `write_bodies` wrote."""
    with np.load(path, allow_pickle=False) as file:
        stored = {name: file[name] for name in file.files}
    names = json.loads(str(stored["names"]))
    faces, skin, weights = stored["faces"], stored["skin"], stored["weights"].astype(float)
    weights /= weights.sum(1, keepdims=True)
    dense = np.zeros((len(weights), len(names["bones"])))
    np.put_along_axis(dense, skin, weights, 1)
    bodies = []
    for k in range(len(stored["offset"])):
        vertices = (stored["mean"] + stored["offset"][k]).astype(float)
        bones = anatomy._bones(tuple(names["bones"]), list(stored["parent"]), stored["head"][k])
        places = zip(stored["points"][k], stored["point_weights"].astype(float), strict=True)
        points = dict(zip(names["points"], places, strict=True))
        ankle = bones.head[bones.joint["left_foot"], 2]
        bodies.append(
            Body(
                vertices, faces, skin, weights, anatomy._along(bones, vertices, skin), stored["face"][k], bones,
                points, anatomy._hull(vertices, dense, bones), float(ankle - vertices[:, 2].min()),
            )
        )  # fmt: skip
    return bodies


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--count", type=int, default=96)
    inputs = parser.parse_args()
    write_bodies(inputs.path, inputs.count)
