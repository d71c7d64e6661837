"""What is measured (lines), what was measured (samples), and the report of both.

A line is one thing that engines are compared on, such as "process start to first answer"; it has a
series of samples for each engine that was measured. Lower is better in every line.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

OURS, NODE, NATIVE, FLOOR = "ours", "node", "native", "floor"
ENGINES = {
    OURS: "pglite-port",
    NODE: "PGlite on Node",
    NATIVE: "native PostgreSQL",
    FLOOR: "floor",
}


@dataclass
class Line:
    key: str
    what: str
    unit: str  # ms, us, MB
    target: float | None = None  # for ours: at most this
    times_floor: float | None = None  # the target as a multiple of the floor's median
    notes: dict[str, str] = field(default_factory=dict)  # engine: how it was measured there
    samples: dict[str, list[float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)  # engine: why there is no figure

    def median(self, engine: str) -> float | None:
        samples = self.samples.get(engine)
        return statistics.median(samples) if samples else None

    def limit(self) -> float | None:
        floor = self.median(FLOOR)
        if self.times_floor is not None and floor is not None:
            return self.times_floor * floor
        return self.target

    def met(self) -> bool | None:
        """None: there is no target, or no figure."""
        limit, ours = self.limit(), self.median(OURS)
        return None if limit is None or ours is None else ours <= limit


def number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def summary(samples: list[float]) -> dict[str, float]:
    quartiles = statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else (
        [samples[0]] * 3)
    return {
        "n": len(samples),
        "min": min(samples),
        "p25": quartiles[0],
        "median": statistics.median(samples),
        "p75": quartiles[2],
        "max": max(samples),
    }


def as_json(title: str, facts: dict, lines: list[Line], extra: dict) -> dict:
    return {
        "title": title,
        "machine": facts,
        "lines": [
            {
                "key": line.key,
                "what": line.what,
                "unit": line.unit,
                "target": line.limit(),
                "met": line.met(),
                "engines": {
                    engine: {
                        **summary(samples),
                        "ratio_to_ours": (
                            line.median(engine) / line.median(OURS) if line.median(OURS) else None
                        ),
                        "note": line.notes.get(engine),
                        "samples": [round(s, 4) for s in samples],
                    }
                    for engine, samples in line.samples.items()
                    if samples
                },
                "absent": line.absent,
            }
            for line in lines
        ],
        "details": extra,
    }


def _cell(line: Line, engine: str) -> str:
    median = line.median(engine)
    if median is None:
        return "not run" if engine in line.absent else ""
    ours = line.median(OURS)
    text = f"{number(median)} {line.unit}"
    if engine != OURS and ours:
        text += f" (×{number(median / ours)})"
    return text


def _target(line: Line) -> str:
    limit = line.limit()
    if limit is None:
        return ""
    text = f"≤ {number(limit).removesuffix('.00').removesuffix('.0')} {line.unit}"
    return f"{text} ({line.times_floor} × floor)" if line.times_floor else text


def as_markdown(title: str, facts: dict, lines: list[Line], extra: dict) -> str:
    out = [f"# {title}", ""]
    out += ["Medians; lower is better. In brackets: how many times ours. Written by `bench/run.py`;",
            "the JSON file beside this one holds all samples.", ""]
    out += [f"- {name}: {value}" for name, value in facts.items()]
    out += ["", "## Result", ""]
    out += ["| what | target | " + " | ".join([ENGINES[OURS], "", *list(ENGINES.values())[1:]]) + " |",
            "|---|---|---|---|---|---|---|"]
    for line in lines:
        verdict = {True: "met", False: "**missed**", None: ""}[line.met()]
        cells = [line.what, _target(line), _cell(line, OURS), verdict]
        cells += [_cell(line, engine) for engine in (NODE, NATIVE, FLOOR)]
        out.append("| " + " | ".join(cells) + " |")
    absent: dict[str, list[str]] = {}
    for line in lines:
        for engine, why in line.absent.items():
            if line.median(engine) is None:
                absent.setdefault(f"{ENGINES[engine]}: {why}", []).append(line.what)
    if absent:
        out += ["", "## Not run", ""]
        out += [f"- {why} ({'; '.join(what)})" for why, what in absent.items()]
    out += ["", "## Spread", "", "| what | engine | n | min | p25 | median | p75 | max |",
            "|---|---|---|---|---|---|---|---|"]
    for line in lines:
        for engine in ENGINES:
            if samples := line.samples.get(engine):
                s = summary(samples)
                figures = " | ".join(number(s[k]) for k in ("min", "p25", "median", "p75", "max"))
                out.append(f"| {line.what}, {line.unit} | {ENGINES[engine]} | {s['n']} | {figures} |")
    out += ["", "## How", ""]
    for line in lines:
        notes = [f"{ENGINES[engine]}: {line.notes[engine]}" for engine in ENGINES if
                 engine in line.notes]
        if notes:
            out.append(f"- **{line.what}** — " + "; ".join(notes) + ".")
    if extra:
        out += ["", "## Details", ""]
        out += [f"- {name}: {value}" for name, value in extra.items()]
    return "\n".join(out) + "\n"
