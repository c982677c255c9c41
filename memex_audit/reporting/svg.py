"""Shapes -> an SVG file: no script, no font of its own, nothing fetched, every text escaped."""

from xml.sax.saxutils import escape, quoteattr

# Colours of Okabe and Ito, told apart by readers who see few colours; the dark ones are lighter.
_STYLE = """
.memex-ground{fill:#fff}.memex-ink{fill:#1c2128}.memex-soft{fill:#57606a}
.memex-axis{stroke:#57606a}.memex-grid{stroke:#d8dee4}.memex-interval{stroke:#1c2128;stroke-width:2}
.memex-threshold{stroke:#b3261e;stroke-width:2;stroke-dasharray:6 4}.memex-mark{fill:#b3261e}
.memex-extracted{fill:#c8401c}.memex-near-miss{fill:#e69f00}.memex-flagged{fill:#9a5ba4}
.memex-undecided{fill:#8c959f}.memex-nothing-given-back{fill:#0072b2}
@media (prefers-color-scheme:dark){
.memex-ground{fill:#1b1f24}.memex-ink{fill:#e6edf3}.memex-soft{fill:#a5afb9}
.memex-axis{stroke:#a5afb9}.memex-grid{stroke:#3a424b}.memex-interval{stroke:#e6edf3}
.memex-threshold{stroke:#ff7b72}.memex-mark{fill:#ff7b72}
.memex-extracted{fill:#f0703f}.memex-near-miss{fill:#f2b632}.memex-flagged{fill:#c79bd0}
.memex-undecided{fill:#8b949e}.memex-nothing-given-back{fill:#56a8e0}
}
"""


class Drawing:
    """A picture that is drawn shape by shape, in pixels from the upper left corner."""

    def __init__(self, width: int, height: int, *, title: str, description: str) -> None:
        self._shapes = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" font-family="system-ui, sans-serif">',
            f"<title>{_escaped(title)}</title>",
            f"<desc>{_escaped(description)}</desc>",
            f"<style>{''.join(_STYLE.splitlines())}</style>",
        ]
        self.rectangle(0, 0, width, height, css="ground", corner=6)

    def rectangle(
        self, left: float, top: float, width: float, height: float, *, css: str, corner: int = 0
    ) -> None:
        """Draw a filled rectangle."""
        self._add("rect", css, x=left, y=top, width=width, height=height, rx=corner)

    def line(self, x1: float, y1: float, x2: float, y2: float, *, css: str) -> None:
        """Draw a straight line."""
        self._add("line", css, x1=x1, y1=y1, x2=x2, y2=y2)

    def circle(self, x: float, y: float, radius: float, *, css: str) -> None:
        """Draw a filled circle."""
        self._add("circle", css, cx=x, cy=y, r=radius)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        css: str = "ink",
        size: int = 12,
        anchor: str = "start",
        weight: str = "normal",
        turned: bool = False,
    ) -> None:
        """Write a line; `anchor` says which end of it lies at x, `turned` writes it upwards."""
        turn = f' transform="rotate(-90 {_number(x)} {_number(y)})"' if turned else ""
        self._shapes.append(
            f'<text class="memex-{css}" x="{_number(x)}" y="{_number(y)}" font-size="{size}" '
            f'text-anchor="{anchor}" font-weight="{weight}"{turn}>{_escaped(text)}</text>'
        )

    def svg(self) -> str:
        """Return the file."""
        return "\n".join([*self._shapes, "</svg>", ""])

    def _add(self, tag: str, css: str, **attributes: float) -> None:
        written = " ".join(f"{name}={quoteattr(_number(value))}" for name, value in attributes.items())
        self._shapes.append(f'<{tag} class="memex-{css}" {written}/>')


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _escaped(text: str) -> str:
    """Escape a text; what XML cannot hold becomes a question mark."""
    return escape("".join(c if c.isprintable() else "?" for c in text))
