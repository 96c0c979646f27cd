#!/usr/bin/env python3
"""Draws docs/stores.svg from what `cargo bench --bench stores` has printed: plot.py benches/stores/figures.jsonl > docs/stores.svg

Needs nothing but Python. Above: answers a second over HTTP, by store and flow, on a logarithmic scale. Below: answers a second as the
number of live tokens grows, as a part of what they are with the fewest.
"""

import json
import math
import sys

FLOWS = ["client credentials", "code", "refresh", "introspection"]
STORES = ["bare", "memory", "redis", "redis_always", "sqlite", "postgres"]
NAMES = {
    "bare": "bare handler",
    "memory": "memory",
    "redis": "Redis, everysec",
    "redis_always": "Redis, always",
    "sqlite": "SQLite",
    "postgres": "PostgreSQL",
}
COLOURS = ["#4269d0", "#efb118", "#3ca951", "#9c6b4e"]
WIDTH, LEFT, RIGHT = 860, 60, 20


def lines():
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            yield from (json.loads(line) for line in file if line.startswith("{"))


def text(x, y, words, anchor="middle", size=12, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{more}>{words}</text>'


def rule(y):
    return f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#888" stroke-opacity=".35"/>'


def legend(y):
    for i, flow in enumerate(FLOWS):
        x = LEFT + i * 170
        yield f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{COLOURS[i]}"/>'
        yield text(x + 18, y, flow, "start")


def short(number):
    return f"{number / 1e6:g}M" if number >= 1e6 else f"{number / 1e3:g}k" if number >= 1e3 else f"{number:g}"


def rates(figures, top, height):
    low, high = 3, 5.3  # powers of ten

    def at(rate):
        return top + height * (1 - (math.log10(max(rate, 10**low)) - low) / (high - low))

    yield text(LEFT, top - 34, "Answers a second over HTTP, 64 connections, all processes on two cores", "start", 15)
    yield from legend(top - 12)
    for rate in (1e3, 3e3, 1e4, 3e4, 1e5):
        yield rule(at(rate))
        yield text(LEFT - 8, at(rate) + 4, short(rate), "end")
    step = (WIDTH - LEFT - RIGHT) / len(STORES)
    for i, store in enumerate(STORES):
        for j, flow in enumerate(FLOWS):
            rate = figures.get((store, flow))
            if rate is None:
                continue
            width = step / 5
            x = LEFT + i * step + width * (j + 0.5)
            y = at(rate)
            yield f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{top + height - y:.1f}" fill="{COLOURS[j]}"/>'
            yield text(x + width / 2 - 1, y - 4, short(round(rate, 1 - len(str(int(rate))) + 1)), size=9)
        yield text(LEFT + (i + 0.5) * step, top + height + 18, NAMES[store])


def growth(figures, left, top, width, height, store):
    sizes = sorted({size for of, size, _ in figures if of == store})
    if not sizes:
        return
    first, last = math.log10(sizes[0]), math.log10(sizes[-1])

    def at(size, part):
        x = left + width * ((math.log10(size) - first) / ((last - first) or 1))
        return x, top + height * (1 - part / 1.3)

    yield text(left, top - 12, f"{NAMES[store]}: part of the rate with {short(sizes[0])} live tokens, 64 callers", "start", 13)
    for part in (0, 0.7, 1.0, 1.3):
        y = at(sizes[0], part)[1]
        yield f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#888" stroke-opacity=".35"/>'
        yield text(left - 6, y + 4, f"{part:g}", "end", 11)
    for size in sizes:
        yield text(at(size, 0)[0], top + height + 16, short(size))
    for j, flow in enumerate(FLOWS):
        points = [(size, figures[store, size, flow]) for size in sizes if (store, size, flow) in figures]
        path = " ".join("{:.1f},{:.1f}".format(*at(size, rate / points[0][1])) for size, rate in points)
        yield f'<polyline points="{path}" fill="none" stroke="{COLOURS[j]}" stroke-width="2.5"/>'
        for size, rate in points:
            x, y = at(size, rate / points[0][1])
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{COLOURS[j]}"/>'


def main():
    found = list(lines())
    over_http = {(f["store"], f["flow"]): f["rate"] for f in found if f["part"] == "rates" and f["how"] == "http"}
    grown = {
        (f["store"], f["tokens"], f["flow"]): f["rate"] for f in found if f["part"] == "growth" and f["how"] == "many"
    }
    height = 640
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" '
        'fill="#222" role="img">'
    )
    print("<title>Answers a second of each store, and as the number of live tokens grows</title>")
    print(f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>')
    for line in rates(over_http, 70, 260):
        print(line)
    half = (WIDTH - 2 * LEFT - RIGHT) / 2
    for i, store in enumerate(("sqlite", "postgres")):
        for line in growth(grown, LEFT + i * (half + LEFT), 410, half, 190, store):
            print(line)
    print("</svg>")


if __name__ == "__main__":
    main()
