#!/usr/bin/env python3
"""Follows every link of the built book: `book_links.py DIRECTORY`; exit 1 if one leads nowhere."""

import os
import sys
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """The links of a page, and the places in it that links can name."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, _, attributes):
        for name, value in attributes:
            if name == "id":
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.add(value)


def broken(pages, path, link):
    if "://" in link or link.startswith("mailto:"):
        return False
    target, _, place = link.partition("#")
    target = Path(os.path.normpath(path.parent / target.partition("?")[0])) if target else path
    return not target.exists() or bool(place) and target in pages and place not in pages[target].places


book = Path(sys.argv[1])
pages = {path: Page(path) for path in book.rglob("*.html")}
# These repeat the others: from elsewhere, or with other anchors.
checked = {path: page for path, page in pages.items() if path.name not in ("404.html", "print.html", "toc.html")}
wrong = [f"{path}: {link}" for path, page in checked.items() for link in page.links if broken(pages, path, link)]
print("\n".join(sorted(wrong)), file=sys.stderr)
sys.exit(bool(wrong) or len(checked) < 50)
