"""What the soak tests share: how figures that were noted over the time are judged.

The last third of the time is compared with the middle third, by the upper quartile, which is above the saw's teeth of
WAL, bloat and sessions that come and go, and below their tips: it may be at most 5 % and a fixed amount higher.
"""

import statistics

MB = 1_000_000


class Figure:
    """One thing that is noted. `grain` is what it may grow by besides 5 %, in its unit: MB (then figures are bytes), or
    a number of things."""

    def __init__(self, grain: float, unit: str = "MB"):
        self.unit = unit
        self.factor = MB if unit == "MB" else 1
        self.grain = grain * self.factor

    def text(self, value: float) -> str:
        return f"{value / self.factor:.1f}" if self.unit == "MB" else f"{value:.0f}"


def upper(values: list[float]) -> float:
    return statistics.quantiles(values, n=4)[2]


def grows(values: list[float], grain: float) -> bool:
    third = len(values) // 3
    return upper(values[2 * third :]) > upper(values[third : 2 * third]) * 1.05 + grain


def status_line(sample: dict[str, float], figures: dict[str, Figure]) -> str:
    return ", ".join(f"{key} {figures[key].text(value)}" for key, value in sample.items())


def judge(name: str, samples: list[dict[str, float]], figures: dict[str, Figure]) -> list[str]:
    """Prints a line for each figure; the keys of those that grow."""
    if len(samples) < 6:
        raise ValueError(f"{name}: {len(samples)} samples are too few to compare thirds of them")
    growing = []
    third = len(samples) // 3
    for key, figure in figures.items():
        values = [sample[key] for sample in samples]
        if grows(values, figure.grain):
            growing.append(key)
        middle, last = upper(values[third : 2 * third]), upper(values[2 * third :])
        print(f"{name:9} {key:12}: middle third {figure.text(middle):>9}, last third {figure.text(last):>9}, most"
              f" {figure.text(max(values)):>9} {figure.unit}{'  GROWS' if key in growing else ''}", flush=True)
    return growing
