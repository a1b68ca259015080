"""The build's gates. Each raises StudyError with one line that names the thing; a page that fails is not written."""

import re
from collections import Counter

from bs4 import BeautifulSoup, Tag

from warmup_study.errors import StudyError

LARGEST_PAGE = 5 * 2**20  # bytes
SHORTEST_ALT = 4  # words; less cannot say what a figure shows
STOCK_ALT = "No description has been provided for this image"
_RESOURCES = {"src": "[src]", "srcset": "[srcset]", "poster": "[poster]", "data": "object[data]"}
_SCHEME, _SCHEMES = re.compile(r"[^/?#]*:"), ("http:", "https:", "mailto:")
_STYLE_RESOURCE = re.compile(r"@import|url\((?!\s*[\"']?(?:data:|#))[^)]*\)", re.IGNORECASE)


def check_page(soup: BeautifulSoup) -> None:
    """All gates on the finished page."""
    check_self_contained(soup)
    check_no_scripts(soup)
    check_alt_texts(soup)
    check_formulas(soup)
    check_ids(soup)
    check_links(soup)
    check_headings(soup)


def check_size(page: str) -> None:
    """Refuse a page above 5 MB."""
    size = len(page.encode())
    if size > LARGEST_PAGE:
        raise StudyError(f"report: the page has {size / 2**20:.1f} MB, more than {LARGEST_PAGE / 2**20:.0f}")


def check_self_contained(soup: BeautifulSoup) -> None:
    """Refuse whatever a browser would fetch; links that a reader may follow are fine."""
    fetched = [str(tag[name]) for name, selector in _RESOURCES.items() for tag in soup.select(selector)]
    fetched += [str(tag.get("href", "")) for tag in soup.select("link, base")]
    fetched += [str(tag[name]) for tag in soup.select("image, use, feImage") for name in _hrefs(tag)]
    for address in fetched:
        if not address.startswith(("data:", "#")):
            raise StudyError(f"report: the page would fetch {address[:80]!r}")
    styles = [style.get_text() for style in soup("style")] + [str(tag["style"]) for tag in soup.select("[style]")]
    for match in filter(None, map(_STYLE_RESOURCE.search, styles)):
        raise StudyError(f"report: a style would fetch {match[0][:80]!r}")


def _hrefs(tag: Tag) -> list[str]:
    """Attributes of an SVG element that name a resource."""
    return [name for name in ("href", "xlink:href") if name in tag.attrs]


def check_no_scripts(soup: BeautifulSoup) -> None:
    """Refuse scripts, frames and event handlers: the page must work without running anything."""
    for tag in soup.select("script, iframe, object, embed"):
        raise StudyError(f"report: the page has a <{tag.name}> element")
    for tag in soup.find_all(lambda tag: any(name.startswith("on") for name in tag.attrs)):
        raise StudyError(f"report: <{tag.name}> has an event handler")


def check_alt_texts(soup: BeautifulSoup) -> None:
    """Refuse an image without words of its own."""
    for image in soup("img"):
        alt = " ".join(str(image.get("alt", "")).split())
        if len(alt.split()) < SHORTEST_ALT or alt == STOCK_ALT:
            section = image.find_parent("section")
            where = section.get("id") if section else "the page"
            raise StudyError(f"report: an image in {where} has no alt text that describes it (got {alt!r})")


def check_formulas(soup: BeautifulSoup) -> None:
    """Refuse LaTeX that was left over inside a formula."""
    for formula in soup("math"):
        if "\\" in formula.get_text():
            raise StudyError(f"report: LaTeX left in the formula {formula.get_text()[:80]!r}")


def check_ids(soup: BeautifulSoup) -> None:
    """Refuse two elements of one name."""
    counts = Counter(str(tag["id"]) for tag in soup.select("[id]"))
    for name, count in counts.items():
        if count > 1:
            raise StudyError(f"report: the id {name!r} appears {count} times on the page")


def check_links(soup: BeautifulSoup) -> None:
    """Refuse a link to a place that the page does not have, and one that would run something."""
    for link in soup.select("[href]"):
        scheme = _SCHEME.match(str(link["href"]))
        if scheme and scheme[0].lower() not in _SCHEMES:
            raise StudyError(f"report: a link starts with {scheme[0][:80]!r}")
    ids = {str(tag["id"]) for tag in soup.select("[id]")}
    for link in soup.select('a[href^="#"]'):
        if str(link["href"])[1:] not in ids:
            raise StudyError(f"report: the link {link['href']!r} leads nowhere")


def check_headings(soup: BeautifulSoup) -> None:
    """Refuse a heading that skips a level, and more or less than one title."""
    headings = soup.select("h1, h2, h3, h4, h5, h6")
    levels = [int(heading.name[1]) for heading in headings]
    if levels.count(1) != 1 or levels[0] != 1:
        raise StudyError(f"report: the page has {levels.count(1)} titles, or one that is not first")
    for before, heading, level in zip(levels, headings[1:], levels[1:], strict=False):
        if level > before + 1:
            raise StudyError(f"report: the heading {heading.get_text()!r} skips a level")
