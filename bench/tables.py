"""Markdown and JSON of what the suites of throughput.py gave."""

from __future__ import annotations

from contenders import ENGINES, REFERENCE
from results import number, summary
from throughput import Times


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(cells: list[str]) -> list[str]:
    return [_row(cells), "|" + "---|" * len(cells)]


def verdict(times: Times, engine: str) -> str:
    part = times.suite.target_items
    target, mean = times.suite.targets.get(engine), times.geometric_mean(engine, part)
    if target is None or mean is None:
        return ""
    figure = f" ({part}: {mean:.2f})" if part else ""
    return f"target ≤ {target:.2f}{figure}: " + ("met" if mean <= target else "**missed**")


def as_json(times: Times) -> dict:
    return {
        "suite": times.suite.name,
        "title": times.suite.title,
        "metric": times.suite.metric,
        "reference": REFERENCE,
        "geometric_mean": {engine: times.geometric_mean(engine) for engine in times.engines()},
        "targets": times.suite.targets,
        "target_items": times.suite.target_items,
        "items": [
            {
                "name": item,
                "requests": times.requests[item],
                "transactions": times.transactions.get(item),
                "answer_bytes": times.bytes[item],
                "engines": {
                    engine: {
                        "ratio": times.ratio(item, engine),
                        **{metric: {**summary(table[item][engine]), "samples": table[item][engine]}
                           for metric, table in times.samples.items()
                           if item in table and engine in table[item]},
                    }
                    for engine in times.engines()
                    if engine in times.samples["ms"][item]
                },
            }
            for item in times.items
        ],
        "not_run": times.absent,
        "other_rows": times.wrong,
        "failed": times.failed,
    }


def summary_table(all_times: list[Times]) -> list[str]:
    """Geometric means: a line for each suite."""
    shown = [name for name in ENGINES if not ENGINES[name].is_floor and any(name in times.engines() for times in all_times)]
    out = _head(["suite", *(ENGINES[name].title for name in shown), "targets"])
    for times in all_times:
        cells = []
        for name in shown:
            mean = times.geometric_mean(name)
            partial = name in times.engines() and mean is None and REFERENCE in times.engines()
            cells.append("some items missing" if partial else _ratio(mean))
        verdicts = [f"{ENGINES[name].title} {text}" for name in shown
                    if (text := verdict(times, name))]
        out.append(_row([times.suite.title, *cells, "; ".join(verdicts)]))
    return out


def as_markdown(times: Times) -> str:
    suite, engines = times.suite, times.engines()
    unit = {"ms": "ms", "p50_us": "us"}[suite.metric]
    out = [f"## {suite.title}", "", suite.about, ""]
    what = {"ms": "Medians in ms", "p50_us": "Medians of a request in us"}[suite.metric]
    out += [f"{what}; in brackets the ratio to {ENGINES[REFERENCE].title}.", ""]
    out += _head(["", *(ENGINES[name].title for name in engines)])
    for item in times.items:
        cells = []
        for engine in engines:
            median = times.median(item, engine)
            ratio = times.ratio(item, engine)
            text = "" if median is None else number(median)
            cells.append(text if engine == REFERENCE or ratio is None else f"{text} ({ratio:.2f})")
        out.append(_row([item, *cells]))
    means = [_ratio(times.geometric_mean(engine)) for engine in engines]
    out.append(_row(["**geometric mean of ratios**", *(f"**{m}**" if m else "" for m in means)]))
    if any(verdict(times, engine) for engine in engines):
        out.append(_row(["", *(verdict(times, engine) for engine in engines)]))
    if times.transactions:
        out += ["", "Transactions per second:", ""]
        out += _head(["", *(ENGINES[name].title for name in engines)])
        for item, count in times.transactions.items():
            medians = [times.median(item, engine) for engine in engines]
            out.append(_row([item, *(f"{count / m * 1000:,.0f}" if m else "" for m in medians)]))
    for engine, why in times.absent.items():
        out += ["", f"Not run: {ENGINES[engine].title}: {why}"]
    for engine, items in times.wrong.items():
        out += ["", f"Other rows than the reference's, so no time: {ENGINES[engine].title}: "
                + "; ".join(items)]
    for engine, errors in times.failed.items():
        out += ["", f"Errors, so no time: {ENGINES[engine].title}:", ""]
        out += [f"- {item}: {' '.join(error.split())}" for item, error in errors.items()]
    if times.charted:
        out += ["", f"![{suite.title}]({times.charted})"]
    rounds = max((len(s) for item in times.items for s in times.samples["ms"][item].values()),
                 default=0)
    if rounds < 2:  # no spread
        return "\n".join([*out, ""]) + "\n"
    out += ["", f"<details><summary>Spread: least - most of {rounds} runs, {unit}</summary>", ""]
    out += _head(["", *(ENGINES[name].title for name in engines)])
    for item in times.items:
        cells = []
        for engine in engines:
            samples = times.samples[suite.metric][item].get(engine, [])
            cells.append(f"{number(min(samples))} - {number(max(samples))}" if samples else "")
        out.append(_row([item, *cells]))
    if suite.metric == "p50_us":
        out += ["", "p99 of a request, us (median of the runs):", ""]
        out += _head(["", *(ENGINES[name].title for name in engines)])
        for item in times.items:
            cells = [number(summary(times.samples["p99_us"][item][engine])["median"])
                     if engine in times.samples["p99_us"][item] else "" for engine in engines]
            out.append(_row([item, *cells]))
    out += ["", "</details>", ""]
    return "\n".join(out) + "\n"
