"""The pictures of a stream as its packets tell of them; nothing is decoded."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import median

import av

from racctl.errors import DataError, reason

BACKWARDS = Fraction(1, 10)  # s; a decoding time that goes back by more is a clock that starts over
BACKWARDS_SHOWN = 2  # s; the same for times of presentation, which go back and forth
LOSES_PACKETS = {"mpegts", "matroska", "flv", "mpeg", "asf", "mxf"}  # damage to these leaves no trace but the times
STEADY_SHARE = 0.95  # of the steps from picture to picture that are alike, at least, for a leap to tell anything
LEAP = {True: 1.5, False: 2.5}  # steps at once, at least: beside a packet that is marked as torn, and elsewhere
BESIDE = 1  # s between a leap and such a packet, at most
NO_TIMESTAMPS = 0x80  # the flag of FFmpeg's formats that hold no times: raw streams
RAW_RATE = Fraction(25)  # pictures a second of a raw stream that states none; FFmpeg's own, by which it makes up times
STATED_RATES = (1, 500)  # pictures a second that a raw stream may state; from 600 on it is the clock of a variable rate
SHOWN_VP8 = 0x10  # the bit of a VP8 packet that says whether its picture is shown


class PacketClock:
    """The times of a stream's packets as one clock.

    Where they start over, as in recordings that were joined, they go on from where they were.

    restarts: the ticks at which that happened, on the clock that goes on.
    """

    def __init__(self, unit: Fraction) -> None:
        self.restarts: list[int] = []
        self._backwards = BACKWARDS / unit
        self._backwards_shown = BACKWARDS_SHOWN / unit
        self._shift = 0
        self._last: dict[bool, int] = {}  # of the times of decoding, and of presentation where a packet has only that
        self._next: int | None = None  # tick after the last picture
        self._step = 0  # ticks from one packet to the next, for those without a duration

    def set(self, packet: av.Packet) -> None:
        """Put a packet, the next of the stream, on this clock."""
        decoded = packet.dts is not None
        stamp = packet.dts if decoded else packet.pts
        if stamp is None:
            return
        back = self._backwards if decoded else self._backwards_shown
        last = self._last.get(decoded)
        starts_over = last is not None and stamp + self._shift < last - back
        if starts_over:  # the first picture shown follows the last
            self._shift = (self._next or 0) - (stamp if packet.pts is None else packet.pts)
        if self._shift:
            packet.dts = None if packet.dts is None else packet.dts + self._shift
            packet.pts = None if packet.pts is None else packet.pts + self._shift
        now = stamp + self._shift
        shown = now if packet.pts is None else packet.pts
        if starts_over:
            self.restarts.append(shown)
        if last is not None and now > last:
            self._step = now - last
        self._last[decoded] = now
        after = shown + (packet.duration or self._step)
        self._next = after if self._next is None else max(self._next, after)


@dataclass(frozen=True)
class Leap:
    """Where the times of a steady stream leap.

    Before picture `number`, from `begin` to `end` seconds, over about `count` pictures that the file does not hold.

    is_marked: beside a packet that is marked as torn, so that these were lost; otherwise it may be a pause as well.
    """

    number: int
    count: int
    begin: float
    end: float
    is_marked: bool


@dataclass(frozen=True)
class Index:
    """Times are in ticks of `unit` seconds.

    stamps: of all pictures, sorted.
    timed: False for a raw stream without times, its stamps are made up at `rate` pictures per second.
    exact: a stamp tells which picture it is; otherwise pictures can only be counted from the first one.
    keys: (presented, earliest stamp) of the key frames where decoding may begin, sorted.
    restarts: see `PacketClock`.
    end: of the last packet of any stream, seconds;
    pictures_end: of this stream.
    packets: of this stream, whether shown or not.
    torn: whether the last packet of all breaks off.
    torn_picture: whether that is one of this stream. whole: tick up to which no picture can be missing for the file's
        breaking off.
    data_end: the byte after the last packet.
    leaps: where packets are lost, as far as the times tell.
    remarks: clauses about a rate that is assumed.
    """

    stamps: list[int]
    unit: Fraction
    rate: Fraction
    timed: bool
    exact: bool
    keys: list[tuple[int, int]]
    restarts: list[int]
    end: float
    pictures_end: float
    packets: int
    torn: bool
    torn_picture: bool
    whole: int
    data_end: int
    leaps: tuple[Leap, ...]
    remarks: tuple[str, ...] = ()

    def seconds(self, tick: int) -> float:
        return tick * self.unit.numerator / self.unit.denominator

    def place(self, pts: int | None, following: int) -> tuple[int, int]:
        """Return the number and the tick of a decoded picture.

        following: the number after that of the picture before it.
        """
        number = max(following, bisect_left(self.stamps, pts)) if self.exact and pts is not None else following
        if self.timed and pts is not None:
            return number, pts
        return number, self.tick(number)

    def tick(self, number: int) -> int:
        """Return the tick of a picture, also of one after the last."""
        if number < len(self.stamps):
            return self.stamps[number]
        if self.timed:
            return self.stamps[-1] + round((number - len(self.stamps) + 1) / self.rate / self.unit)
        return round(number / self.rate / self.unit)

    def first_from(self, seconds: float | None) -> int:
        """Return the number of the first picture at or after a time; all of them for None."""
        if seconds is None:
            return len(self.stamps)
        return bisect_left(self.stamps, seconds, key=self.seconds)

    def key_before(self, start: float | None) -> tuple[int, int] | None:
        """Return the last key frame that is not after `start` seconds.

        None where decoding has to begin with the file.
        """
        before = [key for key in self.keys if start is not None and self.seconds(key[0]) <= start]
        return before[-1] if before and before[-1][0] > self.stamps[0] else None


@dataclass
class _Packets:
    """What is noted down while the packets go by."""

    pictures: list[tuple[int | None, int | None, bool]] = field(default_factory=list)  # pts, dts, whether a key frame
    count: int = 0
    end: float = -math.inf
    pictures_end: float = -math.inf
    data_end: int = 0
    next_dts: int | None = None
    torn: bool = False
    torn_picture: bool = False
    torn_at: list[float] = field(default_factory=list)  # seconds of all pictures that are marked as torn

    def add(self, packet: av.Packet, is_picture: bool) -> None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            end = float((stamp + (packet.duration or 0)) * packet.time_base)
            self.end = max(self.end, end)
            if is_picture:
                self.pictures_end = max(self.pictures_end, end)
        if packet.pos is not None:
            self.data_end = max(self.data_end, packet.pos + packet.size)
        self.torn = packet.is_corrupt
        self.torn_picture = self.torn and is_picture
        if not is_picture:
            return
        self.count += 1
        if self.torn and stamp is not None:
            self.torn_at.append(float(stamp * packet.time_base))
        if packet.dts is not None:
            self.next_dts = packet.dts + (0 if self.torn else packet.duration or 0)
        if not packet.is_discard and not _is_hidden(packet):
            self.pictures.append((packet.pts, packet.dts, packet.is_keyframe))


def read_index(container: av.container.InputContainer, stream: av.VideoStream, name: str) -> Index:
    """Read all packets of a container.

    Raises DataError when none is of the stream.
    """
    unit = Fraction(stream.time_base or 1)
    clock = PacketClock(unit)
    packets = _Packets()
    try:
        for packet in container.demux():
            is_picture = packet.stream is stream
            if is_picture:
                clock.set(packet)
            if packet.size:
                packets.add(packet, is_picture)
            elif is_picture and packet.dts is not None:
                packets.count += 1  # AVI has empty ones, for a picture that is the one before
    except av.FFmpegError as error:
        if not packets.pictures:
            raise DataError(f"'{name}' holds no readable video packets ({reason(error)})") from None
    if not packets.pictures:
        raise DataError(f"'{name}' has a video stream without frames")
    return _index(container, stream, unit, clock, packets)


def _index(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    unit: Fraction,
    clock: PacketClock,
    packets: _Packets,
) -> Index:
    pictures = packets.pictures
    rate, remarks = _rate(container, stream)
    known = [stamp for pts, dts, _ in pictures if (stamp := dts if pts is None else pts) is not None]
    timed = len(known) == len(pictures) and not remarks
    stamps = sorted(known) if timed else [round(k / rate / unit) for k in range(len(pictures))]
    decoding = [dts for _, dts, _ in pictures if dts is not None]
    exact = all(pts is not None for pts, _, _ in pictures) and len(set(stamps)) == len(stamps)
    exact = exact and all(a <= b for a, b in itertools.pairwise(decoding))
    # A raw stream loses its times when it is entered midway, and a clock that starts over has to be followed.
    seekable = exact and container.duration is not None and not clock.restarts
    keys = sorted(
        (pts, pts if dts is None else min(pts, dts))
        for pts, dts, is_key in pictures
        if is_key and seekable and pts is not None
    )
    # FFmpeg marks in a transport stream what follows a loss, and elsewhere what breaks off.
    marks_torn = container.format.name != "mpegts"
    whole = stamps[-1] if packets.next_dts is None else packets.next_dts
    loses = timed and container.format.name.split(",")[0] in LOSES_PACKETS
    return Index(
        stamps=stamps,
        unit=unit,
        rate=rate,
        timed=timed,
        exact=exact,
        keys=keys,
        restarts=clock.restarts,
        end=packets.end,
        pictures_end=packets.pictures_end,
        packets=packets.count,
        torn=packets.torn and marks_torn,
        torn_picture=packets.torn_picture and marks_torn,
        whole=whole,
        data_end=packets.data_end,
        leaps=_leaps(stamps, unit, packets.torn_at) if loses else (),
        remarks=remarks,
    )


def _rate(container: av.container.InputContainer, stream: av.VideoStream) -> tuple[Fraction, tuple[str, ...]]:
    """Return the pictures a second of a stream, and clauses about a rate that is assumed.

    A raw stream is a codec's data without a container; its codec may state a rate, and FFmpeg's others are made up.
    """
    if not container.format.flags & NO_TIMESTAMPS:
        return Fraction(stream.average_rate or stream.guessed_rate or 30), ()
    stated = stream.codec_context.framerate
    if stated and STATED_RATES[0] <= stated <= STATED_RATES[1]:
        return Fraction(stated), ()
    claim = f"a frame rate of {float(stated):g}, which is not believed" if stated else "no frame rate"
    return RAW_RATE, (f"the stream states {claim}; {RAW_RATE} frames/s are assumed",)


def _leaps(stamps: list[int], unit: Fraction, torn_at: list[float]) -> tuple[Leap, ...]:
    """Return where sorted times leap in a stream of pictures that follow each other steadily.

    A camera that leaves out pictures as it likes is not one.

    A last picture that is late is no sign of a loss.
    """
    steps = [after - before for before, after in itertools.pairwise(stamps)]
    step = median(steps) if steps else 0
    tolerance = max(0.1 * step, 1.5)
    steady = sum(abs(ticks - step) <= tolerance for ticks in steps)
    if step <= 0 or steady < STEADY_SHARE * len(steps):
        return ()
    leaps = []
    for number, ticks in enumerate(steps, 1):
        if ticks < min(LEAP.values()) * step:
            continue
        begin, end = float((stamps[number - 1] + step) * unit), float(stamps[number] * unit)
        is_marked = any(begin - BESIDE <= seconds <= end + BESIDE for seconds in torn_at)
        is_last = number == len(steps)
        if ticks >= LEAP[is_marked] * step and (is_marked or not is_last):
            leaps.append(Leap(number, round(ticks / step) - 1, begin, end, is_marked))
    return tuple(leaps)


def _is_hidden(packet: av.Packet) -> bool:
    """Return whether a packet only helps to decode others.

    VP8 has such, elsewhere they come in one packet with a picture.
    """
    context = packet.stream.codec_context
    return context is not None and context.name == "vp8" and not bytes(packet)[0] & SHOWN_VP8
