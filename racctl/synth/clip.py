"""A plan played out: the motion, the camera's view of it, the pictures, and the truth as racctl.pose/1."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from racctl import __version__
from racctl.contracts import Meta, Pose, step
from racctl.skeleton.topology import BLAZEPOSE33
from racctl.synth.body import Body, landmarks, make_body
from racctl.synth.camera import CameraView, hip_centred, set_up
from racctl.synth.ground import Placed, stand
from racctl.synth.motion import Bout, Timeline, timeline
from racctl.synth.plan import Person, Plan, generator
from racctl.synth.render import BYSTANDER_LABEL, PERSON_LABEL, Actor, actor, shots
from racctl.synth.rotate import about, apply

TICKS = 90000  # per second, of the video's clock
X264_PARAMS = "mbtree=0:rc-lookahead=0"  # with its AVX2 code x264's macroblock tree gives other bytes every time
INSIDE = 0.13  # m that a landmark may lie under the skin it is seen by
HIDDEN_SCORE = 0.2  # score of a landmark that is in the picture, but behind something
FIRM = 4  # decimals that truth is rounded to, so that the last bits of different processors do not show

RepetitionRow = tuple[int, int, float, float, str, str]  # start, stop in frames, start, stop in seconds, label, kind


@dataclass(frozen=True)
class Played:
    """A plan in three dimensions.

    world: (T, 33, 3) m, in the room.
    pixels: (T, 33, 3) x, y in pixels, depth in m.
    """

    body: Body
    timeline: Timeline
    placed: Placed
    view: CameraView
    world: np.ndarray
    pixels: np.ndarray


@dataclass(frozen=True)
class SynthClip:
    """One clip with everything that is true of it.

    video: the bytes of an mp4, empty for pose alone.
    mask: (T, H, W) uint8 or None.
    pose: blazepose33, the truth.
    reps: see `RepetitionRow`, counted and not.
    label: (T,) class of every frame.
    camera: see `camera_record`, over the frames of the recording.
    company: the repetitions of each further person of the pose.
    """

    name: str
    plan: Plan
    pose: Pose
    reps: list[RepetitionRow]
    label: list[str]
    camera: Meta
    video: bytes = b""
    mask: np.ndarray | None = None
    company: list[list[RepetitionRow]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Repetitions that count: full ones and shallow ones."""
        return sum(kind in ("full", "partial") for *_, kind in self.reps)


def play(plan: Plan, body: Body | None = None, seconds: float | None = None) -> Played:
    """Move the body through its bouts and set up the camera.

    body: instead of the one that the plan describes.
    """
    body = body or make_body(plan.person.phenotype)
    moves = timeline(list(plan.bouts), plan.picture.fps, generator(plan.seed, plan.number, 7), seconds)
    placed = stand(body, moves.track)
    world = landmarks(body, BLAZEPOSE33.joints, placed.turns, placed.places)
    view = set_up(plan.camera, plan.picture, world, plan.picture.fps, (plan.seed, plan.number))
    return Played(body, moves, placed, view, world, view.see(world))


def render_clip(plan: Plan, name: str, seconds: float | None = None) -> SynthClip:
    """Return the whole clip: video, masks and truth."""
    played = play(plan, seconds=seconds)
    actors = [actor(played.body, played.placed, plan.person, PERSON_LABEL)]
    if plan.bystander and plan.bystander_bout:
        actors.append(_second_person(plan, plan.bystander, plan.bystander_bout, played))
    return film(plan, name, [played], actors)


def film(plan: Plan, name: str, cast: list[Played], actors: list[Actor]) -> SynthClip:
    """Return the clip of `actors`, with the truth of those in `cast`: the first of them, the exerciser first of all."""
    played = cast[0]
    recorded = _kept_frames(plan, len(played.world))
    points = np.concatenate([playing.pixels for playing in cast], 1)
    frames, masks, fronts, owners = [], [], [], []
    frame_numbers = set(recorded.tolist())
    for t, shot in enumerate(shots(plan, actors, played.view, played.timeline.props, points)):
        if t in frame_numbers:
            frames.append(shot.image)
            masks.append(shot.mask)
            fronts.append(shot.front)
            owners.append(shot.by)
    stamps = np.round(played.timeline.time[recorded] * TICKS).astype(np.int64)
    video = encode_video(frames, stamps, plan.picture.fps, plan.picture.crf)
    source = {"name": f"{name}.mp4", "sha256": hashlib.sha256(video).hexdigest()}
    poses = []
    for playing, figure, front, by in zip(
        cast,
        actors[: len(cast)],
        np.split(np.stack(fronts), len(cast), 1),
        np.split(np.stack(owners), len(cast), 1),
        strict=True,
    ):
        score = visibility(playing.pixels[recorded], front, by, playing.view.size, figure.label)
        poses.append(truth(plan, playing, recorded, stamps / TICKS, score, name, source))
    label = [played.timeline.label[t] for t in recorded]
    return SynthClip(
        name,
        plan,
        _together(poses),
        rows(played.timeline, poses[0].time),
        label,
        camera_record(played.view, recorded),
        video,
        np.stack(masks),
        [rows(playing.timeline, poses[0].time) for playing in cast[1:]],
    )


def _together(poses: list[Pose]) -> Pose:
    """Return the people of several poses of a clip as tracks of one."""
    return replace(
        poses[0],
        xyz=np.concatenate([pose.xyz for pose in poses], 1),
        world=np.concatenate([pose.world for pose in poses if pose.world is not None], 1),
        score=np.concatenate([pose.score for pose in poses], 1),
        track=np.arange(len(poses), dtype=np.int32),
    )


def _kept_frames(plan: Plan, frames: int) -> np.ndarray:
    """Return the frames that the recording has: some are missing where the plan says so, never the first."""
    lost = generator(plan.seed, plan.number, 10).random(frames) < plan.picture.dropped
    lost[0] = False
    return np.flatnonzero(~lost)


def _second_person(plan: Plan, person: Person, bout: Bout, played: Played, body: Body | None = None) -> Actor:
    """Put in somebody else, idle, beside or behind the person and for as long.

    body: instead of the one that the plan describes.
    """
    body = body or make_body(person.phenotype)
    rng = generator(plan.seed, plan.number, 11)
    again = replace(bout, repetitions=bout.repetitions * 200)
    frames = len(played.world)
    moves = timeline([again], plan.picture.fps, rng, frames / plan.picture.fps)
    placed = stand(body, moves.track)
    away = played.placed.places[:, 0].mean(0) - played.view.places[0]
    away = away[:2] / np.linalg.norm(away[:2])
    beside = np.array([-away[1], away[0]]) * rng.choice([-1, 1]) * rng.uniform(0.9, 1.6)
    turn = about(2, np.array(rng.uniform(-np.pi, np.pi)))
    spot = played.placed.places[:, 0].mean(0) * [1, 1, 0] + np.append(away * rng.uniform(0.9, 2.2) + beside, 0)
    middle = placed.places[:, 0].mean(0) * [1, 1, 0]
    use = np.minimum(np.arange(frames), len(placed.places) - 1)
    moved = Placed(turn @ placed.turns[use], apply(turn, placed.places[use] - middle) + spot)
    return actor(body, moved, person, BYSTANDER_LABEL)


def visibility(
    pixels: np.ndarray, front: np.ndarray, by: np.ndarray, size: tuple[int, int], label: int = PERSON_LABEL
) -> np.ndarray:
    """Return (T, 33) score: 1 seen, `HIDDEN_SCORE` behind something or behind one's own body, 0 outside the picture.

    label: of the person's own surface in `by`.
    """
    inside = (pixels[..., :2] >= 0).all(-1) & (pixels[..., :2] < np.array(size)).all(-1) & (pixels[..., 2] > 0)
    slack = np.where(by == label, INSIDE, 0.03)
    seen = front >= pixels[..., 2] - slack
    return np.where(inside, np.where(seen, 1.0, HIDDEN_SCORE), 0.0).astype(np.float32)


def truth(
    plan: Plan, played: Played, recorded: np.ndarray, time: np.ndarray, score: np.ndarray, name: str, source: Meta
) -> Pose:
    """Return the truth as racctl.pose/1 with blazepose33.

    Xyz in pixels (z against the middle of the hips, on the scale of x), world in metres in the camera's axes around the
    hips, score as `visibility` has it (coordinates are known there too).
    """
    hips = [BLAZEPOSE33.index(joint) for joint in ("left_hip", "right_hip")]
    pixels, world = played.pixels[recorded], played.world[recorded]
    middle = pixels[:, hips, 2].mean(1)[:, None]
    depth = (pixels[..., 2] - middle) * (played.view.focal / middle)
    view = CameraView(played.view.turns[recorded], played.view.places[recorded], played.view.focal, played.view.size)
    frames = len(recorded)
    source = {
        **source,
        "fps": plan.picture.fps,
        "frames": frames,
        "width": plan.picture.width,
        "height": plan.picture.height,
    }
    entry = step("synth", __version__, seed=plan.seed, number=plan.number)
    meta = {
        "clip": name,
        "source": source,
        "steps": [entry],
        "topology": "blazepose33",
        "scale": "pixels",
        "truth": True,
    }
    return Pose(
        xyz=_firm(np.concatenate([pixels[..., :2], depth[..., None]], -1), 2)[:, None],
        world=_firm(hip_centred(view, world, world[:, hips].mean(1)), FIRM)[:, None],
        score=score[:, None],
        frame=np.arange(frames),
        time=time,
        track=np.zeros(1, np.int32),
        meta=meta,
    ).check(name)


def _firm(array: np.ndarray, decimals: int) -> np.ndarray:
    return np.round(array, decimals).astype(np.float32) + np.float32(0)  # + 0: no negative zero


def camera_record(view: CameraView, recorded: np.ndarray) -> Meta:
    """Return the camera as JSON: one pose for a still camera, one per frame for a moving one."""
    keep = recorded[:1] if view.still else recorded
    return {
        "focal": round(view.focal, 4),
        "size": list(view.size),
        "world_to_camera": np.round(view.turns[keep], 6).tolist(),
        "position": np.round(view.places[keep], 5).tolist(),
    }


def rows(moves: Timeline, time: np.ndarray) -> list[RepetitionRow]:
    """Return the repetitions in frames of the recording, without those of which no frame is left."""
    repetitions = []
    for start, stop, label, kind in moves.reps:
        first, last = (int(k) for k in np.searchsorted(time, (start - 1e-6, stop - 1e-6)))
        if last > first and kind != "held":
            repetitions.append((first, last, round(start, 5), round(stop, 5), label, kind))
    return repetitions


def encode_video(frames: list[np.ndarray], stamps: np.ndarray, fps: float, crf: int) -> bytes:
    """Encode frames as H.264 in MP4.

    frames: (H, W, 3) uint8 each, even sides.
    stamps: (T,) presentation times in ticks.
    """
    import av  # here, so that poses can be made where it is not installed

    buffer = io.BytesIO()
    height, width = frames[0].shape[:2]
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(crf), "preset": "veryfast", "x264-params": X264_PARAMS}
        for image, stamp in zip(frames, stamps, strict=True):
            picture = av.VideoFrame.from_ndarray(image, "rgb24")
            picture.pts, picture.time_base = int(stamp), Fraction(1, TICKS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return buffer.getvalue()
