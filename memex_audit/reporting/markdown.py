"""Texts of unknown origin -> Markdown that shows them and does nothing else."""

import re

from memex_audit.explain import quoted

LONGEST = 120


def code(text: str, longest: int = 1000) -> str:
    """Show a text as it is, in a code span: no character of it is Markdown, HTML, a link or a new line.

    >>> code("a|b <b> @you")
    '`a|b <b> @you`'
    >>> code("``x`")
    '``` ``x` ```'
    """
    shown = quoted(text, longest)[1:-1] or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    pad = " " if not shown.isspace() and (shown[0] in "` " or shown[-1] in "` ") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def prose(text: str) -> str:
    r"""Show a sentence that may hold names of unknown origin: what Markdown reads as its own is escaped.

    >>> print(prose("prompts like those of *my* <b>file</b>.csv"))
    prompts like those of \*my\* \<b\>file\</b\>.csv
    """
    escaped = re.sub(r"([\\`*_\[\]<>&|~$])", r"\\\1", quoted(text, 4000)[1:-1])
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;")


def capped(text: str, most_bytes: int, note: str) -> str:
    """Cut a page to whole lines of at most so many bytes in all, with a note where something was cut."""
    if len(text.encode("utf-8", "replace")) <= most_bytes:
        return text
    room = most_bytes - len(note.encode()) - 4
    kept, size = [], 0
    for line in text.splitlines():
        size += len(line.encode("utf-8", "replace")) + 1
        if size > room:
            break
        kept.append(line)
    return "\n".join([*kept, "", note, ""])
