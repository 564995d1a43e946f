"""Draw `_static/overview.svg`, what both models read and give: `python docs/overview.py`."""

from html import escape
from pathlib import Path

WIDTH, HEIGHT = 1000, 520
#: Fill and border of what a box stands for: data, a frozen network, what is trained, and what comes out.
COLOURS = {
    "data": ("#f3f4f6", "#6b7280"),
    "frozen": ("#e0f2fe", "#0369a1"),
    "trained": ("#ffedd5", "#c2410c"),
    "result": ("#dcfce7", "#15803d"),
}
LEGEND = {"data": "your data", "frozen": "frozen network", "trained": "trained", "result": "what you get"}


def box(x: int, y: int, width: int, height: int, kind: str, title: str, *lines: str) -> str:
    """A rounded box with a bold line and others below."""
    fill, border = COLOURS[kind]
    middle = x + width / 2
    top = y + height / 2 - 8.5 * len(lines) + 5
    text = f'<text x="{middle}" y="{top}" class="title">{escape(title)}</text>'
    for number, line in enumerate(lines, start=1):
        text += f'<text x="{middle}" y="{top + 17 * number}" class="line">{escape(line)}</text>'
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{border}"/>{text}'


def arrow(*points: tuple[int, int]) -> str:
    """A line through points with a head at its end."""
    return f'<path d="M{" L".join(f"{x} {y}" for x, y in points)}" class="arrow" marker-end="url(#head)"/>'


def heading(y: int, name: str, text: str) -> str:
    """Of one of the models."""
    return f'<text x="24" y="{y}" class="heading"><tspan class="name">{name}</tspan> {escape(text)}</text>'


def legend(y: int) -> str:
    """What the colours mean."""
    parts = []
    for number, (kind, text) in enumerate(LEGEND.items()):
        fill, border = COLOURS[kind]
        x = 24 + 150 * number
        parts.append(f'<rect x="{x}" y="{y - 11}" width="14" height="14" rx="3" fill="{fill}" stroke="{border}"/>')
        parts.append(f'<text x="{x + 22}" y="{y}" class="key">{text}</text>')
    return "".join(parts)


def drawing() -> str:
    """The whole picture, on a ground of its own, so that it can be read on dark pages too."""
    parts = [
        heading(40, "SCMPT", "annotate with a labelled reference"),
        box(24, 106, 130, 60, "data", "cells", "AnnData"),
        box(196, 60, 190, 44, "data", "cell sentence", "MS4A1 CD79A CD74 …"),
        box(196, 114, 190, 44, "data", "gene tokens", "expression in bins"),
        box(196, 168, 190, 44, "data", "expression itself", "proteins, niche, …"),
        box(428, 60, 150, 44, "frozen", "text encoder"),
        box(428, 114, 150, 44, "frozen", "scGPT"),
        box(622, 90, 150, 92, "trained", "fusion head", "on your labels,", "calibrated"),
        box(
            816,
            74,
            160,
            124,
            "result",
            "label of each cell",
            "confidence, novelty,",
            "sets of labels,",
            "which modality and",
            "which genes decided",
        ),
        arrow((154, 128), (174, 128), (174, 82), (192, 82)),
        arrow((154, 136), (192, 136)),
        arrow((154, 144), (174, 144), (174, 190), (192, 190)),
        arrow((386, 82), (424, 82)),
        arrow((386, 136), (424, 136)),
        arrow((578, 82), (600, 82), (600, 116), (618, 116)),
        arrow((578, 136), (618, 136)),
        arrow((386, 190), (600, 190), (600, 156), (618, 156)),
        arrow((772, 136), (812, 136)),
        '<line x1="24" y1="238" x2="976" y2="238" class="rule"/>',
        heading(272, "SCMMGPT", "annotate and search by text, without a reference"),
        box(24, 300, 172, 62, "data", "text", "“B cell”, a description,", "markers"),
        box(24, 404, 172, 44, "data", "cells", "AnnData"),
        box(238, 309, 148, 44, "frozen", "text encoder"),
        box(428, 300, 150, 62, "trained", "text tower", "comes with", "the package"),
        box(428, 404, 150, 44, "data", "genes", "standardised"),
        box(622, 340, 150, 72, "trained", "comparison", "gene by gene,", "calibrated"),
        box(
            816,
            302,
            160,
            148,
            "result",
            "label of each cell",
            "cells found by text,",
            "clusters described,",
            "pseudo-cells,",
            "which genes decided",
        ),
        arrow((196, 331), (234, 331)),
        arrow((386, 331), (424, 331)),
        arrow((578, 331), (600, 331), (600, 364), (618, 364)),
        arrow((196, 426), (424, 426)),
        arrow((578, 426), (600, 426), (600, 390), (618, 390)),
        arrow((772, 376), (812, 376)),
        legend(492),
    ]
    style = (
        "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#111827;"
        "text-anchor:middle}.title{font-size:15px;font-weight:600}.line{font-size:13px;fill:#374151}"
        ".heading,.key{text-anchor:start}.heading{font-size:17px}.name{font-weight:700}.key{font-size:13px}"
        ".arrow{fill:none;stroke:#4b5563;stroke-width:1.5}.rule{stroke:#d1d5db}rect{stroke-width:1.3}"
    )
    head = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#4b5563"/></marker></defs>'
    )
    title = "<title>What SCMPT and SCMMGPT read, what is frozen, what is trained, and what they give</title>"
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="#ffffff"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{title}'
        f"<style>{style}</style>{head}{ground}\n" + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    (Path(__file__).parent / "_static" / "overview.svg").write_text(drawing(), encoding="utf-8")
