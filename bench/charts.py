#!/usr/bin/env python3
"""Draws the ratios of a result as SVG.

usage: bench/charts.py RESULT.json

Writes RESULT-summary.svg, with the geometric means of all suites, and RESULT-SUITE.svg for each,
with its items. Of a result of bench/server.py it writes RESULT-curve.svg: throughput over clients. Colours and grey text are chosen to be read on a white page and on a dark one.
"""

from __future__ import annotations

import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402  (after the backend is chosen)
from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: E402

TEXT = "#7a828e"
# Engine: label, colour, marker. What is not here is not drawn: floors are no databases.
# Those on disk with fsync are hollow.
STYLE = {
    "ours": ("pglite-port, in process", "#2f81f7", "o"),
    "port": ("pglite-port, port", "#1fa39a", "D"),
    "ours-durable": ("pglite-port, durable (fsync on, disk)", "#2f81f7", "o"),
    "native-our-settings": ("native, our settings", "#8b949e", "d"),
    "native": ("native, defaults (fsync on, disk)", "#8b949e", "s"),
    "node": ("PGlite on Node, in process", "#e3762b", "^"),
    "pglite-socket": ("pglite-socket", "#d64f8c", "v"),
    "pglite-oxide": ("pglite-oxide", "#a371f7", "P"),
    "pglite-go-wasmtime": ("pglite-go, wasmtime", "#bf8700", "X"),
    "pglite-go-wazero": ("pglite-go, wazero", "#c93c37", "*"),
}
# The servers of bench/server.py.
SERVER_STYLE = {
    "ours": ("pglite-port serve", "#2f81f7", "o"),
    "ours-relaxed": ("pglite-port serve, relaxed", "#1fa39a", "D"),
    "native": ("native PostgreSQL", "#8b949e", "s"),
    "pglite-socket": STYLE["pglite-socket"],
    "pglite-oxide": STYLE["pglite-oxide"],
}
DURABLE = ("ours-durable", "native")

matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "pglite-port", "font.family": "sans-serif", "font.size": 10,
    "text.color": TEXT, "axes.labelcolor": TEXT, "axes.edgecolor": TEXT, "xtick.color": TEXT,
    "ytick.color": TEXT,
})


def draw(path: pathlib.Path, title: str, rows: list[tuple[str, dict[str, float]]],
         targets: dict[str, float]) -> None:
    """`rows` are names and ratios by engine."""
    figure, axes = plt.subplots(figsize=(9, 1.6 + 0.34 * len(rows)))
    for line in range(len(rows)):
        axes.axhline(line, color=TEXT, alpha=0.2, linewidth=0.8, zorder=0)
    axes.axvline(1, color=TEXT, linewidth=1.5, zorder=1)
    for value in sorted(set(targets.values())):
        if value != 1:
            axes.axvline(value, color="#3fb950", linestyle="--", linewidth=1.2, zorder=1,
                         label=f"target {value:g}")
    for engine, (label, colour, marker) in STYLE.items():
        points = [(ratios[engine], line) for line, (_, ratios) in enumerate(rows) if engine in ratios]
        if points:
            axes.scatter(*zip(*points), s=42, marker=marker, edgecolors=colour, linewidths=1.5,
                         facecolors="none" if engine in DURABLE else colour, label=label, zorder=2)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_xlim()
    ticks = [t for t in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100) if low <= t <= high]
    axes.set_xticks(ticks, minor=False)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("time, native PostgreSQL with fsync off = 1; left is faster")
    axes.set_title(title, loc="left", fontsize=12)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def draw_curve(path: pathlib.Path, curve: dict[str, dict[str, list[list[float]]]]) -> None:
    """`curve` has for each of pgbench's scripts, and each server, pairs of clients and transactions a second."""
    figure, all_axes = plt.subplots(1, len(curve), figsize=(4.8 * len(curve), 3.6), squeeze=False)
    for axes, (script, servers) in zip(all_axes[0], curve.items()):
        for server, (label, colour, marker) in SERVER_STYLE.items():
            if server in servers:
                axes.plot(*zip(*servers[server]), color=colour, marker=marker, label=label)
        ticks = sorted({clients for points in servers.values() for clients, _ in points})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{clients:g}" for clients in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.grid(axis="y", color=TEXT, alpha=0.2, linewidth=0.8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.set_xlabel("clients")
        axes.set_title(f"{script}, transactions a second", loc="left", fontsize=11)
    handles = {label: handle for axes in all_axes[0] for handle, label in zip(*axes.get_legend_handles_labels())}
    all_axes[0][-1].legend(handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    figure.tight_layout()
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: bench/charts.py RESULT.json", file=sys.stderr)
        return 64
    source = pathlib.Path(sys.argv[1])
    result = json.loads(source.read_text())

    def path(name: str) -> pathlib.Path:
        return source.with_name(f"{source.stem}-{name}.svg")

    if "curve" in result:
        draw_curve(path("curve"), result["curve"])
        return 0
    suites = result["suites"]
    rows = [(suite["title"], {engine: mean for engine, mean in suite["geometric_mean"].items() if mean})
            for suite in suites]
    draw(path("summary"), "Geometric means of all suites", rows, {})
    for suite in suites:
        items = [(item["name"], {engine: figures["ratio"] for engine, figures in item["engines"].items()
                                 if figures["ratio"]}) for item in suite["items"]]
        draw(path(suite["suite"]), suite["title"], items,
             {} if suite["target_items"] else suite["targets"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
