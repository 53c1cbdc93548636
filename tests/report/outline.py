"""What a page is made of: that its tags close in order, and what it would load or run."""

from html.parser import HTMLParser

HOSTILE = "</div></details><script>alert(1)</script><img src=x onerror=alert(1)> {{ 7*7 }} \x00\x1b[2J \ud800 \u202e"
VOID = {"meta", "img", "br", "wbr", "link", "input", "hr"}


class Outline(HTMLParser):
    """Checks that tags close in order, and keeps what the page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.loads: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.loads.extend(value for name, value in attrs if name in ("src", "href") and not value.startswith("#"))
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(html: str) -> Outline:
    parsed = Outline()
    parsed.feed(html)
    parsed.close()
    assert parsed.open == []
    return parsed
