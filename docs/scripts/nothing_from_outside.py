"""The built site loads nothing from outside: a hook of MkDocs that fails the build where it would.

Links to other sites are no loads. What the theme's script fetches on demand (Mermaid) is known by its mark.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOADS = (
    re.compile(r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc\s*=\s*[\"']?(?:https?:)?//[^\"'\s>]+"),
    re.compile(r"<link\b(?![^>]*\brel\s*=\s*[\"']?(?:canonical|next|prev))[^>]*\bhref\s*=\s*[\"']?(?:https?:)?//[^\"'\s>]+"),
    re.compile(r"url\(\s*[\"']?(?:https?:)?//[^)\"']+"),
    re.compile(r"@import\s+[\"'](?:https?:)?//[^\"']+"),
    re.compile(r"class=\"mermaid\""),
)  # fmt: skip


def loads_from_outside(text: str) -> Iterator[str]:
    """Yield what a page or a style sheet would load from another site."""
    for pattern in LOADS:
        yield from (found[0] for found in pattern.finditer(text))


def on_post_build(config: Any) -> None:
    """Look through the pages and the style sheets."""
    from mkdocs.exceptions import PluginError

    site = Path(config.site_dir)
    for page in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        for load in loads_from_outside(page.read_text(encoding="utf-8")):
            raise PluginError(
                f"{page.relative_to(site)} must load nothing from outside, got {load!r}; ship a copy."
            )
