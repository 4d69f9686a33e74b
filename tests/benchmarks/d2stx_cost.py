"""What the fusion of D2-STX costs: folded, as loops, coupled; and the size of the whole model.

python tests/benchmarks/d2stx_cost.py fusion [--tokens T ...] [--ways WAY ...] [--backward] [--device cuda] [--csv FILE]
python tests/benchmarks/d2stx_cost.py model [--tokens T] [--csv FILE]

Every case of `fusion` runs in processes of its own, one for memory and one for time. Peak memory is what its first run
adds: on a CPU the kernel's record of resident memory (VmHWM, put back just before; Linux), the libraries' scratch
included; on a GPU that of torch's allocator. Seconds are the median of the runs after the first: of processor time on
one thread of a CPU, so that a busy machine can be measured on, of the clock otherwise. GFLOP are of matrix products, a
multiplication and an addition are two; of attention, with all its scores. Exponents are slopes of log cost over log T.

Ways: folded and coupled are `racctl.models.fusion.Fusion`; +mask with a clip that ends early; +scores with an attention
that keeps its (queries, keys) matrix, as the paper reckons. loops are Algorithms 1 to 4 as they stand, an attention
being one call; loops+heads goes over the heads one by one too.
"""

from __future__ import annotations

import argparse
import csv
import gc
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent.parent))

from d2stx_loops import LoopedFusion, by_head

from racctl.encoders.ctrgcn import pose_encoder
from racctl.encoders.kinetics import video_encoder
from racctl.encoders.silhouette import silhouette_encoder
from racctl.errors import UsageError
from racctl.models.ctrgcn import CTRGCN, CTRGCNConfig
from racctl.models.d2stx import D2STX, SMALL_D2STX, D2STXConfig
from racctl.models.fusion import Fusion

PRESETS = {"paper": D2STXConfig(), "small": SMALL_D2STX}
WAYS = ("folded", "folded+mask", "folded+scores", "loops", "loops+heads", "coupled", "coupled+mask", "coupled+scores")
LARGEST = 3  # points of an exponent
GIB = 1 << 30
SCORES = 3  # copies of its scores that an attention which keeps them is reckoned to hold at once, gradients not counted


@dataclass(frozen=True)
class Case:
    way: str
    guide: str
    tokens: int  # T
    joints: int
    places: int  # H W, a square
    width: int
    heads: int
    backward: bool
    device: str
    threads: int
    runs: int
    most_seconds: float

    def fusion(self, device: str) -> Fusion:
        torch.manual_seed(0)
        if not self.way.startswith("loops"):
            return Fusion(self.width, self.heads, self.guide, self.way.startswith("coupled")).to(device)
        fusion = LoopedFusion(self.width, self.heads, self.guide).to(device)
        if self.way == "loops+heads":
            fusion.attend = by_head
        return fusion

    def streams(self, device: str) -> tuple[Tensor, Tensor, Tensor | None]:
        """pose (1, T, J, C), video (1, T, H, W, C), and which of the tokens are the clip's, three quarters of them."""
        t, side = self.tokens, math.isqrt(self.places)
        pose = torch.randn(1, t, self.joints, self.width, device=device)
        video = torch.randn(1, t, side, side, self.width, device=device)
        valid = torch.arange(t, device=device)[None] < (3 * t + 3) // 4
        return pose, video, valid if self.way.endswith("+mask") else None

    def attention(self):
        """The context that its attention runs in."""
        return sdpa_kernel(SDPBackend.MATH) if self.way.endswith("+scores") else nullcontext()

    def pairs(self) -> int:
        """Queries times keys of its attentions, of one head: the paper's H W J T + J T^2 for each guide, or 2 J T H W T
        of its (H W T + J T)^2, the cross terms."""
        t, joints, places = self.tokens, self.joints, self.places
        if self.way.startswith("coupled"):
            return 2 * joints * t * places * t
        queries = {"both": joints + places, "pose": joints, "video": places}[self.guide]
        return (2 if self.guide == "both" else 1) * joints * places * t + queries * t**2


def median_seconds(case: Case) -> float:
    """Of its runs after the first."""
    run = prepared(case)
    run()
    clock = time.process_time if case.device == "cpu" and case.threads == 1 else time.perf_counter
    times: list[float] = []
    while len(times) < case.runs and sum(times) < case.most_seconds:
        began = clock()
        run()
        times.append(clock() - began)
    return statistics.median(times)


def peak_mib(case: Case) -> float:
    """What its first run holds at most, beyond what was there before."""
    run = prepared(case)
    gc.collect()
    if case.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins again from now
    before = resident("VmRSS")
    run()
    return (resident("VmHWM") - before) / 1024


def prepared(case: Case) -> Callable[[], None]:
    """One run of the case, once the libraries are loaded."""
    torch.set_num_threads(case.threads)
    torch.set_grad_enabled(case.backward)
    fusion = case.fusion(case.device)

    def run(streams: tuple[Tensor, Tensor, Tensor | None]) -> None:
        with case.attention():
            density, _ = fusion(*streams)
            if case.backward:
                density.sum().backward()
                fusion.zero_grad()
        if case.device != "cpu":
            torch.cuda.synchronize()

    run(replace(case, tokens=4).streams(case.device))
    return partial(run, case.streams(case.device))


def alone(measure: Callable[[Case], float], case: Case, **environment: str) -> float:
    """In a process of its own, so that nothing of another case is in memory."""
    with mock.patch.dict(os.environ, environment), ProcessPoolExecutor(1, get_context("spawn")) as child:
        return child.submit(measure, case).result()


def resident(name: str) -> int:
    """KiB of this process by a name of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def gigaflops(run: Callable[[], object]) -> dict[str, tuple[float, float]]:
    """By name of the module, "Global" for all: of all products, and of linear layers and convolutions alone. On the
    device "meta" nothing is computed."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # it knows not all fused attentions
        run()
    result = {}
    for module, counts in counter.get_flop_counts().items():
        linear = sum(count for name, count in counts.items() if "bmm" not in str(name))
        result[module] = sum(counts.values()) / 1e9, linear / 1e9
    return result


def exponent(lengths: list[int], costs: list[float]) -> float:
    """Slope of log cost over log T through the largest T; nan with fewer than two."""
    x = torch.tensor(lengths[-LARGEST:], dtype=torch.float64).log()
    y = torch.tensor(costs[-LARGEST:], dtype=torch.float64).log()
    return float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())


# The table of the fusion.


def fusion_table(arguments: argparse.Namespace) -> list[dict]:
    clock = "processor" if arguments.device == "cpu" and arguments.threads == 1 else "clock"
    passes = "forward and backward" if arguments.backward else "forward"
    setup = f"{arguments.device}, {arguments.threads} threads, torch {torch.__version__}"
    print(f"{passes}, {setup}; seconds of the {clock}\n")
    print(
        f"{'way':<16}{'guide':<7}{'T':>5}{'J':>4}{'HW':>4}{'C':>5}{'seconds':>10}{'MiB':>10}{'GFLOP':>9}{'M pairs':>9}"
    )
    rows = []
    for case in cases(arguments):
        # Or the C library keeps some of what was freed, and takes it for its own.
        mib = alone(peak_mib, case, MALLOC_MMAP_THRESHOLD_="65536")
        seconds, flops = alone(median_seconds, case), fusion_gigaflops(case)
        rows.append(asdict(case) | {"seconds": seconds, "mib": mib, "gflop": flops, "pairs": case.pairs()})
        print(
            f"{case.way:<16}{case.guide:<7}{case.tokens:>5}{case.joints:>4}{case.places:>4}{case.width:>5}"
            f"{seconds:>10.4f}{mib:>10.1f}{flops:>9.1f}{case.pairs() / 1e6:>9.1f}",
            flush=True,
        )
    print_growth(rows)
    print_ratios(rows)
    return rows


def fusion_gigaflops(case: Case) -> float:
    fusion, streams = case.fusion("meta").requires_grad_(False), case.streams("meta")
    return gigaflops(lambda: fusion(*streams))["Global"][0]


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Those asked for, less loops that take too long and scores that would not fit."""
    config, result = PRESETS[arguments.preset], []
    shape = config.branch("pose").places, arguments.places or config.grid**2, config.width, config.heads
    remainder = arguments.backward, arguments.device, arguments.threads, arguments.runs, arguments.most_seconds
    for way in arguments.ways:
        for guide in arguments.guides:
            for tokens in arguments.tokens:
                case = Case(way, guide, tokens, *shape, *remainder)
                remaining = case.pairs() * case.heads * 4 * SCORES if way.endswith("+scores") else 0
                if remaining < arguments.most_gib * GIB and not (
                    way.startswith("loops") and tokens > arguments.loops_up_to
                ):
                    result.append(case)
    return result


def print_growth(rows: list[dict]) -> None:
    """Exponents, beside that of the paper's expression (`Case.pairs`) at the same T."""
    print(f"\n{'way':<16}{'guide':<7}{'T':<12}{'seconds':>9}{'memory':>9}{'GFLOP':>9}{'paper':>9}   exponents of T")
    for way, guide in dict.fromkeys((row["way"], row["guide"]) for row in rows):
        ours = [row for row in rows if (row["way"], row["guide"]) == (way, guide)]
        lengths = [row["tokens"] for row in ours]
        if len(ours) > 1:
            slopes = [exponent(lengths, [row[name] for row in ours]) for name in ("seconds", "mib", "gflop", "pairs")]
            over = f"{lengths[-LARGEST:][0]}..{lengths[-1]}"
            print(f"{way:<16}{guide:<7}{over:<12}" + "".join(f"{slope:>9.2f}" for slope in slopes))


def print_ratios(rows: list[dict]) -> None:
    """How many times as much as the folded fusion every other way takes."""
    folded = {(row["guide"], row["tokens"]): row for row in rows if row["way"] == "folded"}
    compared = [row for row in rows if row["way"] != "folded" and (row["guide"], row["tokens"]) in folded]
    if compared:
        print(f"\n{'way':<16}{'guide':<7}{'T':>5}{'seconds':>9}{'memory':>9}   times the folded fusion's")
    for row in compared:
        base = folded[row["guide"], row["tokens"]]
        times = "".join(f"{row[name] / base[name]:>9.2f}" for name in ("seconds", "mib"))
        print(f"{row['way']:<16}{row['guide']:<7}{row['tokens']:>5}{times}")


# The table of the whole model.

PAPER = {"branches.video": 20.431849, "branches.pose": 26.694121, "fusion": 4.997122}  # M, the authors' modules
PAPER_PARAMS, PAPER_FLOPS = 52.12, 20.32  # Table 6


@dataclass
class Size:
    preset: str
    part: str
    params: int
    used: int  # that the densities, or the tokens, depend on
    gflop: float
    linear_gmac: float  # multiplications with additions of linear layers and convolutions, as thop counts
    shot_gflop: float
    shot_linear_gmac: float

    def __add__(self, size: Size) -> Size:
        figures = {name: getattr(self, name) + getattr(size, name) for name in list(asdict(self))[2:]}
        return replace(self, part="", **figures)


def model_table(arguments: argparse.Namespace) -> list[dict]:
    t = arguments.tokens[0]
    print(f"one clip of {t} tokens; with a shot: an exemplar for each branch in place of the learnt stand-in\n")
    print(
        f"{'':<31}{'params M':>10}{'used M':>9}{'GFLOP':>9}{'lin. GMAC':>10}{'GFLOP':>11}{'lin. GMAC':>10}  with a shot"
    )
    sizes = [size for preset in PRESETS for size in sizes_of(preset, t)]
    for s in sizes:
        print(
            f"{s.preset:<7}{s.part:<24}{s.params / 1e6:>10.3f}{s.used / 1e6:>9.3f}{s.gflop:>9.2f}{s.linear_gmac:>10.2f}"
            f"{s.shot_gflop:>11.2f}{s.shot_linear_gmac:>10.2f}"
        )
    print_account(sizes)
    return [asdict(size) for size in sizes]


def sizes_of(preset: str, t: int) -> list[Size]:
    """The parts of D2-STX, their sum, the frozen encoders, and all."""
    config = PRESETS[preset]
    model = D2STX(config).to("meta")
    video, pose = clip_tokens(config, t, t)
    shots = {"video_shots": [clip_tokens(config, 8, 16)[0]], "pose_shots": [clip_tokens(config, 8, 16)[1]]}
    used = depended_on(model, lambda: sum(x.sum() for x in vars(model(video, pose)).values() if torch.is_tensor(x)))
    free, shot = gigaflops(lambda: model(video, pose)), gigaflops(lambda: model(video, pose, **shots))
    parts = []
    for part in PAPER:
        ours = dict(model.get_submodule(part).named_parameters(part))
        (flop, linear), (shot_flop, shot_linear) = free[f"D2STX.{part}"], shot[f"D2STX.{part}"]
        numbers = [sum(p.numel() for p in ours.values()), sum(p.numel() for name, p in ours.items() if name in used)]
        parts.append(Size(preset, part, *numbers, flop, linear / 2, shot_flop, shot_linear / 2))
    whole = replace(parts[0] + parts[1] + parts[2], part="branches + fusion")
    try:
        encoders = encoder_sizes(preset, t)
    except UsageError as error:  # no torchvision that fits
        print(f"without encoders: {error}", file=sys.stderr)
        return [*parts, whole]
    return [*parts, whole, *encoders, replace(whole + encoders[0] + encoders[1], part="with the encoders")]


def clip_tokens(config: D2STXConfig, video: int, pose: int) -> tuple[Tensor, Tensor]:
    """Of so many tokens in time, before they are averaged over places."""
    side = 7 if config.grid == 3 else 4  # of Swin-T, of the silhouettes
    moving = torch.empty(1, video, config.video, side, side, device="meta")
    return moving, torch.empty(1, pose, config.pose, config.joints, device="meta")


def encoder_sizes(preset: str, t: int) -> list[Size]:
    """The frozen encoders on the windows that cover t tokens, none twice; an exemplar is one window more."""
    if preset == "paper":
        encoder = video_encoder("swin3d_t", random=True)
        joints = CTRGCN(CTRGCNConfig(classes=0, people=1))
    else:
        encoder, joints = silhouette_encoder(), pose_encoder("ctrgcn").network
    side = encoder.look.side
    channels = 2 if preset == "small" else 3
    frames = torch.empty(1, channels, encoder.frames, side, side, device="meta")
    poses = torch.empty(1, joints.config.channels, 64, 25, 1, device="meta")
    network, joints = encoder.network.to("meta"), joints.to("meta")
    return [
        encoder_size(preset, encoder.name, network, lambda: network(frames), -(-t // encoder.shape[1])),
        encoder_size(preset, "ctrgcn", joints, lambda: joints.tokens(poses), -(-t // 16)),
    ]


def encoder_size(preset: str, name: str, network: nn.Module, run: Callable[[], Tensor], windows: int) -> Size:
    used = depended_on(network, lambda: run().sum())
    params = {name: p.numel() for name, p in network.named_parameters()}
    flop, linear = gigaflops(run)["Global"]
    work = [flop * windows, linear / 2 * windows, flop * (windows + 1), linear / 2 * (windows + 1)]
    return Size(preset, f"{name} x {windows}", sum(params.values()), sum(params[part] for part in used), *work)


def depended_on(network: nn.Module, run: Callable[[], Tensor]) -> set[str]:
    """Names of the parameters that a number depends on. No gradients are asked of them from then on."""
    network.requires_grad_(True)
    run().backward()
    result = {name for name, p in network.named_parameters() if p.grad is not None}
    network.requires_grad_(False)
    return result


def print_account(sizes: list[Size]) -> None:
    """How the paper's numbers come about."""
    ours = {size.part: size for size in sizes if size.preset == "paper"}
    print(
        f"\n{'':<20}{'theirs M':>9}{'ours M':>9}{'more':>9}   0.26 of it for 768 channels of the pose, the rest unused"
    )
    for part, theirs in PAPER.items():
        used = ours[part].used / 1e6
        print(f"{part:<20}{theirs:>9.3f}{used:>9.3f}{theirs - used:>9.3f}")
    whole = ours["branches + fusion"]
    used = whole.used / 1e6
    print(f"{'sum':<20}{sum(PAPER.values()):>9.3f}{used:>9.3f}{sum(PAPER.values()) - used:>9.3f}   {PAPER_PARAMS}")
    print(
        f"Table 6: {PAPER_FLOPS} G. Linear layers alone, a multiplication with its addition as one, an exemplar: "
        f"{whole.shot_linear_gmac:.2f};\nall products, the two as two, no exemplar: {whole.gflop:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=["fusion", "model"])
    parser.add_argument("--tokens", type=int, nargs="+", help="default: 32 to 1024, 31 for the model")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--guides", nargs="+", choices=["both", "pose", "video"], default=["both", "pose"])
    parser.add_argument("--preset", choices=PRESETS, default="paper")
    parser.add_argument("--places", type=int, default=0, help="a square; default: the preset's")
    parser.add_argument("--backward", action="store_true", help="with gradients")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--most-seconds", type=float, default=10, help="no further run of a case after so many")
    parser.add_argument("--most-gib", type=float, default=8, help="of scores; cases above are left out")
    parser.add_argument("--loops-up-to", type=int, default=256, metavar="T")
    parser.add_argument("--csv", type=Path)
    requested = parser.parse_args()
    if math.isqrt(requested.places) ** 2 != requested.places:
        parser.error("'--places' is a square, 9 or 49")
    requested.tokens = sorted(
        requested.tokens or ([31] if requested.table == "model" else [32, 64, 128, 256, 512, 1024])
    )
    rows = fusion_table(requested) if requested.table == "fusion" else model_table(requested)
    if requested.csv:
        with open(requested.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
