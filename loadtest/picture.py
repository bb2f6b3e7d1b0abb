#!/usr/bin/env python3
"""Draws the figures of a run as SVG: a panel for each job, a bar for each proxy.

    python3 loadtest/picture.py results/TIME.json peers.svg"""
import json, sys
from xml.sax.saxutils import escape

WIDTH, MARGIN, COLUMNS, GAP = 860, 24, 2, 28
PANEL = (WIDTH - 2 * MARGIN - GAP) // COLUMNS
BAR, STEP, NAMES, VALUES = 14, 22, 64, 132  # heights; room for names on the left and values on the right
HEAD, TITLE = 76, 40

# Neutral bars for the peers, one color for the gateway; user time is the dark part, system time the light one.
STYLE = """
svg { --back: #ffffff; --text: #1f2328; --dim: #59636e; --line: #d1d9e0;
  --user: #6e7781; --system: #b6bec7; --own-user: #7b2d8e; --own-system: #c796d4; }
@media (prefers-color-scheme: dark) { svg { --back: #0d1117; --text: #e6edf3; --dim: #9198a1; --line: #3d444d;
  --user: #848d97; --system: #4c545d; --own-user: #c77ddb; --own-system: #76418a; } }
.back { fill: var(--back) } text { font: 12px system-ui, sans-serif; fill: var(--text) }
.title { font-size: 17px; font-weight: 600 } .job { font-size: 13px; font-weight: 600 } .dim { fill: var(--dim); font-size: 11px }
.axis { stroke: var(--line) } .own { font-weight: 600 } .user { fill: var(--user) } .system { fill: var(--system) }
.own-user { fill: var(--own-user) } .own-system { fill: var(--own-system) }
"""


def text(x, y, words, kind="", end=False):
    anchor = ' text-anchor="end"' if end else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}"{anchor}>{escape(words)}</text>'


def rect(x, y, width, kind):
    return f'<rect x="{x:.1f}" y="{y:.0f}" width="{max(width, 0):.1f}" height="{BAR}" class="{kind}"/>'


def short(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"


def caption(row, part):
    """The value, and how it stands to the best peer."""
    memory = f", {row['peak_mib']:.0f} MiB" if "peak_mib" in row else ""
    against = f" ({row['to_best']:.2f}×)" if row["to_best"] is not None else ""
    return short(row["figure"]) + against + memory


def bar(x, y, who, row, part, most):
    """One proxy: its name, its bar (split into user and system time where it is CPU time), its value."""
    own = "own-" if who == "tyrian" else ""
    room = PANEL - NAMES - VALUES
    length = room * max(row["figure"] or 0, 0) / most
    split = not part["more_is_better"] and "rate" not in part
    share = row["user_us"] / max(row["user_us"] + row["system_us"], 1e-9) if split else 1
    left = x + NAMES
    parts = [text(left - 8, y + 11, who, "own" if own else "", True), rect(left, y, length * share, own + "user")]
    if split:
        parts.append(rect(left + length * share, y, length * (1 - share), own + "system"))
    return parts + [text(left + length + 6, y + 11, caption(row, part), "own" if own else "")]


def panel(x, y, part):
    most = max([row["figure"] or 0 for row in part["proxies"].values()] + [1e-9])
    better = "more is better" if part["more_is_better"] else "less is better"
    note = f", at {part['rate']:,} requests a second" if "rate" in part else ""
    parts = [text(x, y + 13, part["title"], "job"), text(x, y + 28, f"{part['unit']}, {better}{note}", "dim")]
    top = y + TITLE
    for number, (who, row) in enumerate(part["proxies"].items()):
        parts += bar(x, top + number * STEP, who, row, part, most)
    down = top + len(part["proxies"]) * STEP - (STEP - BAR)
    return parts + [f'<line x1="{x + NAMES}" x2="{x + NAMES}" y1="{top - 3}" y2="{down + 3}" class="axis"/>']


def versions(parts):
    found = {}
    for part in parts:
        found |= {who: row["version"] for who, row in part["proxies"].items() if who != "tyrian"}
    return ", ".join(found.values())


def legend(x, y):
    """What the two parts of a bar are, in both colors."""
    parts = []
    for kind, words in (("user", "user CPU time"), ("system", "system")):
        parts += [rect(x, y - 10, 10, kind), rect(x + 12, y - 10, 10, "own-" + kind), text(x + 28, y + 1, words, "dim")]
        x += 110
    return parts + [text(x, y + 1, "in brackets: to the best peer", "dim")]


def draw(raw, path):
    """Writes the picture of a run's raw figures."""
    parts = [part for part in raw["report"].values() if isinstance(part, dict) and part.get("proxies")]
    about = raw["machine"]
    lines = [text(MARGIN, 30, "The same work, beside its peers", "title")]
    lines.append(text(MARGIN, 48, f"{raw['binary']}; {versions(parts)}", "dim"))
    lines.append(text(MARGIN, 64, f"{about['cpu']}, {about['cores']} cores, {about['kernel']}; {raw['date']}; one core each", "dim"))
    y = HEAD + 16
    for first in range(0, len(parts), COLUMNS):
        row = parts[first : first + COLUMNS]
        for column, part in enumerate(row):
            lines += panel(MARGIN + column * (PANEL + GAP), y, part)
        y += TITLE + max(len(part["proxies"]) for part in row) * STEP + 18
    lines += legend(MARGIN, y)
    height = y + 20
    with open(path, "w") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">\n')
        f.write("<title>What the gateway and its peers take for the same work</title>\n")
        f.write(f'<style>{STYLE}</style>\n<rect class="back" width="{WIDTH}" height="{height}"/>\n')
        f.write("\n".join(lines) + "\n</svg>\n")


if __name__ == "__main__":
    with open(sys.argv[1]) as raw_file:
        draw(json.load(raw_file), sys.argv[2])
