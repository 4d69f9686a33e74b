"""A log as people read it: few columns that fit on a screen, and what it adds up to in one line."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa


def for_a_terminal(table: pa.Table) -> pa.Table:
    """Return a log in few columns that fit on a screen."""
    rows = table.to_pylist()
    columns: dict[str, list[str]] = {
        "clip": [row["clip"] for row in rows],
        "set": [f"{row['set']}" + (f".{row['rep']}" if row.get("rep") else "") for row in rows],
        "exercise": [row["exercise"] for row in rows],
        "start": [clock_time(row["start_s"]) for row in rows],
        "stop": [clock_time(row["stop_s"]) for row in rows],
        "reps": [_count_in_words(row) for row in rows],
        "s/rep": [_in_words(row["rep_s"], ".1f") for row in rows],
        "tempo (s)": [row["tempo"] for row in rows],
        "range": [_range_in_words(row) for row in rows],
        "left-right": [_in_words(row["difference_deg"], "+.0f", "°") for row in rows],
        "rest": [_in_words(row["rest_s"], ".1f" if row.get("rep") else ".0f", " s") for row in rows],
        "conf.": [_in_words(row["confidence"], ".2f") for row in rows],
    }
    if len(set(columns["clip"])) == 1:
        del columns["clip"]
    people = [str(row["person"]) for row in rows]
    if len(set(people)) > 1:
        columns = {"person": people, **columns}
    return pa.table(columns)


def clock_time(seconds: float) -> str:
    """Return seconds as minutes and seconds, 1:02.5; with hours from one on."""
    minutes, rest_of_minute = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest_of_minute:04.1f}" if hours else f"{minutes}:{rest_of_minute:04.1f}"


def _count_in_words(row: dict[str, Any]) -> str:
    if row["reps"] is None:
        return f"{row['seconds']:.0f} s"
    if row["low"] is None or row["low"] == row["high"]:
        return f"{row['reps']:.0f}"
    return f"{row['reps']:.0f} ({row['low']:.0f}-{row['high']:.0f})"


def _range_in_words(row: dict[str, Any]) -> str:
    """Return the joint and its range of motion, such as "knee 112°"."""
    return "" if row["range_deg"] is None else f"{row['angle'].split('_')[0]} {row['range_deg']:.0f}°"


def _in_words(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"


def totals(table: pa.Table) -> str:
    """Return in one line what a log adds up to."""
    rows = table.select(["clip", "person", "set", "exercise", "seconds", "reps", "rest_s"]).to_pylist()
    by_exercise: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for row in rows:
        if row["reps"] is None:
            held[row["exercise"]] += row["seconds"]
        else:
            by_exercise[row["exercise"]] += int(row["reps"])
    sets = len({(row["clip"], row["person"], row["set"]) for row in rows})
    work = sum(row["seconds"] for row in rows)
    paused = sum(max(row["rest_s"] or 0.0, 0.0) for row in rows)
    parts = [f"{label} {count}" for label, count in by_exercise.items()]
    parts += [f"{label} {seconds:.0f} s" for label, seconds in held.items()]
    words = f": {', '.join(parts)}" if parts else ""
    return (
        f"{sets} {'set' if sets == 1 else 'sets'}, {sum(by_exercise.values())} repetitions, "
        f"{work:.0f} s of work, {paused:.0f} s of rest{words}"
    )
