"""The page for people, in a real browser."""

import urllib.parse

import pytest
from browser import needs_browser, shown_page

pytestmark = [pytest.mark.slow, needs_browser]


def shown(live, tmp_path, text):
    """The page after a text was tagged."""
    return shown_page(f"{live.url}/?{urllib.parse.urlencode({'text': text})}", tmp_path)


def test_a_text_shows_labels_with_reasons(live, tmp_path):
    text = "lead acid battery"
    _, answer = live.ask("/tag", {"texts": [text], "k": 5})
    page = shown(live, tmp_path, text)
    for label in answer["results"][0]["labels"]:
        assert label["uid"] in page and f"{100 * label['probability']:.0f} %" in page
    assert page.count("<article>") == 5 and "neighbours" in page and "% of the vote" in page
    assert "120 labels" in page


def test_what_a_text_holds_is_never_read_as_html(live, tmp_path):
    page = shown(live, tmp_path, "<img src=x onerror=\"document.title='owned'\">")
    assert "<title>RAMEN: tag a text</title>" in page and page.count("<article>") == 5


def test_an_error_is_shown(live, tmp_path):
    assert "expected words, found an empty text" in shown(live, tmp_path, "  ")
