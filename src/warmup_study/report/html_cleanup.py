"""What the rendered page still needs: sound tables, links that lead somewhere, a table of contents."""

import re

from bs4 import BeautifulSoup, Tag

NOTEBOOK_LINK = re.compile(r"^(?:\./)?([\w-]+)\.ipynb(?:#(.*))?$")

_BY_CHANCE = "T_"  # how the ids begin that pandas' Styler draws
CODE = re.compile(r"`([^`]+)`")


def tidy(page: str) -> BeautifulSoup:
    """Parse the page and mend it for every reader, screen readers and narrow screens included."""
    soup = BeautifulSoup(page, "html.parser")
    for style in soup.select("main style"):  # pandas puts one into every table
        style.decompose()
    for place, table in enumerate(soup.select("table"), start=1):
        _join_header_rows(table)
        _name_headers(table)
        _set_code(soup, table)
        _let_scroll(soup, table, place)
    _name_claims_once(soup)
    _lead_links_home(soup)
    _fill_contents(soup)
    return soup


def _join_header_rows(table: Tag) -> None:
    """One header row where pandas writes two: the columns' names, and the index's name below them."""
    rows = table.select("thead tr")
    if len(rows) != 2 or len(rows[0]("th")) != len(rows[1]("th")):
        return
    pairs = list(zip(rows[0]("th"), rows[1]("th"), strict=True))
    if any(upper.get_text(strip=True) and lower.get_text(strip=True) for upper, lower in pairs):
        return
    for upper, lower in pairs:
        upper.string = upper.get_text(strip=True) or lower.get_text(strip=True)
    rows[1].decompose()


def _name_headers(table: Tag) -> None:
    """Tell columns from rows, and make an empty header cell an ordinary one."""
    for tag in [table, *table.find_all(True)]:
        for attribute in ("border", "style"):
            tag.attrs.pop(attribute, None)
        if str(tag.get("id", "")).startswith(_BY_CHANCE):
            del tag["id"]
    for head in table("th"):
        if not head.get_text(strip=True):
            head.name = "td"
        elif "scope" not in head.attrs:
            head["scope"] = "col" if head.find_parent("thead") else "row"


def _set_code(soup: BeautifulSoup, table: Tag) -> None:
    """Names between backticks, which a table of plain texts shows as they are, become code."""
    for text in table.find_all(string=CODE):
        if text.find_parent("code"):
            continue
        pieces = CODE.split(str(text))
        for place, piece in enumerate(pieces):
            text.insert_before(soup.new_tag("code", string=piece) if place % 2 else piece)
        text.extract()


def _let_scroll(soup: BeautifulSoup, table: Tag, place: int) -> None:
    """Put the table into a box of its own, which the keyboard can reach and scroll."""
    caption = table.find("caption")
    name = caption.get_text(" ", strip=True).split(".")[0] if caption else f"Table {place}"
    box = soup.new_tag("div", attrs={"class": "scroll", "role": "group", "tabindex": "0", "aria-label": name})
    table.wrap(box)


def _name_claims_once(soup: BeautifulSoup) -> None:
    """A claim that two chapters test is found where the first of them shows its verdict."""
    seen: set[str] = set()
    for claim in soup.select(".claim[id]"):
        if claim["id"] in seen:
            del claim["id"]
        else:
            seen.add(str(claim["id"]))


def _lead_links_home(soup: BeautifulSoup) -> None:
    """Links between notebooks become links within the page; one to a notebook that is not here becomes text."""
    ids = {str(tag["id"]) for tag in soup.select("[id]")}
    for link in soup.select("a[href]"):
        match = NOTEBOOK_LINK.match(str(link["href"]))
        if not match:
            continue
        chapter, place = match.groups()
        target = next((name for name in (f"claim-{place}", f"{chapter}-{place}", chapter) if name in ids), None)
        if target:
            link["href"] = f"#{target}"
        else:
            link.unwrap()


def _fill_contents(soup: BeautifulSoup) -> None:
    """List the page's second-level headings."""
    contents = soup.select_one("#contents")
    if contents is None:
        return
    for heading in soup.select("main h2[id]"):
        item, link = soup.new_tag("li"), soup.new_tag("a", attrs={"href": f"#{heading['id']}"})
        link.string = _words(heading)
        item.append(link)
        contents.append(item)


def _words(heading: Tag) -> str:
    """A heading's text without the sign that links to it."""
    texts = [text for text in heading.find_all(string=True) if not text.find_parent("a", class_="permalink")]
    return " ".join(" ".join(texts).split())
