"""Make the README's pictures: draw a clip, count it, and keep one frame of the overlay and the plot.

python docs/pictures.py [DIR]

Writes overlay.png and plot.svg to DIR, by default the folder of this file. Needs racctl[synth] and no network.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import av
from PIL import Image

RACCTL = Path(sys.executable).with_name("racctl")
DRAWING = "--clips 1 --classes squat --reps 5 --clean --size 640x480 --fps 30 --seed 5"
REPETITION = 4  # the overlay's frame is from the middle of this one, when the person is low
COLOURS = 256  # of the overlay's palette, which keeps the file small
PALETTE = Image.Quantize.FASTOCTREE  # the default drops rare colours, such as the yellow of the ring
MAX_BYTES = 150_000


def draw_clip(folder: Path) -> Path:
    """Draw one clip of squats and return its path."""
    subprocess.run([RACCTL, "synth", "--out", folder / "drawn", *DRAWING.split(), "-q"], check=True)
    (drawn,) = (folder / "drawn" / "video").iterdir()
    return drawn.rename(folder / "squats.mp4")


def count_clip(clip: Path, plot: Path, overlay: Path) -> list[dict[str, str]]:
    """Count the clip, write its plot and its overlay, and return one row per repetition."""
    command = [RACCTL, "count", clip, "--reps", "--format", "csv", "--plot", plot, "--overlay", overlay, "-q"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return list(csv.DictReader(done.stdout.splitlines()))


def frame_of(video: Path, number: int) -> Image.Image:
    """Return one frame of a video."""
    with av.open(video) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == number:
                return frame.to_image()
    raise SystemExit(f"'{video}' has no frame {number}")


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    with tempfile.TemporaryDirectory() as scratch:
        overlay = Path(scratch) / "counted.mp4"
        repetitions = count_clip(draw_clip(Path(scratch)), target / "plot.svg", overlay)
        chosen = repetitions[REPETITION - 1]
        middle = (int(chosen["start"]) + int(chosen["stop"])) // 2
        picture = frame_of(overlay, middle).quantize(COLOURS, PALETTE, dither=Image.Dither.NONE)
    picture.save(target / "overlay.png", optimize=True)
    size = (target / "overlay.png").stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"'{target / 'overlay.png'}' has {size} bytes, expected at most {MAX_BYTES}")


if __name__ == "__main__":
    main()
