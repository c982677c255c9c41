"""Nothing of unknown origin becomes Markdown, HTML, a link or a line of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from memex_audit.explain import quoted
from memex_audit.reporting.markdown import capped, code, prose

TEXTS = st.text(max_size=60) | st.text(alphabet="`|\\ *_[]()<>&#$~!\n\"'a1:/.@-", max_size=40)


def parser():
    markdown = MarkdownIt("gfm-like", {"html": True})
    # As GitHub does it: what has no scheme and no www is no link.
    markdown.linkify.set({"fuzzy_link": False, "fuzzy_email": False})
    return markdown


def inline_tokens(markdown):
    (paragraph,) = [token for token in parser().parse(markdown) if token.type == "inline"]
    return paragraph.children


@given(TEXTS)
def test_a_code_span_holds_the_text_and_nothing_else(text):
    first, span, last = inline_tokens(f"x {code(text)} y")
    assert (first.content, last.content) == ("x ", " y")
    assert span.type == "code_inline"
    assert span.content == quoted(text, 1000)[1:-1] or (text == "" and span.content == " ")


@given(TEXTS)
def test_prose_is_text_and_nothing_else(text):
    tokens = inline_tokens(f"x {prose(text)} y")
    assert {token.type for token in tokens} <= {"text", "text_special"}
    assert "".join(token.content for token in tokens) == f"x {quoted(text, 4000)[1:-1]} y"


@given(TEXTS, TEXTS)
def test_two_code_spans_in_a_list_item_stay_two(one, other):
    markdown = f"- {code(one)}: {code(other)}\n- z\n"
    spans = [
        child.content
        for token in parser().parse(markdown)
        for child in token.children or ()
        if child.type == "code_inline"
    ]
    assert len(spans) == 2


@pytest.mark.parametrize("link", ["https://example.org/x", "http://example.org", "www.example.org/x"])
def test_an_address_in_prose_is_no_link(link):
    assert not any(token.type.startswith("link") for token in inline_tokens(f"see {prose(link)}"))


def test_a_page_is_cut_at_a_line_and_says_so():
    page = "".join(f"line {number} é\n" for number in range(1000))
    cut = capped(page, 200, "Cut here.")
    assert len(cut.encode()) <= 200
    assert cut.endswith("é\n\nCut here.\n")
    assert page.startswith(cut.removesuffix("\nCut here.\n"))
    assert capped("short\n", 200, "Cut here.") == "short\n"
