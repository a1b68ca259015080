"""The same SVG drawing in fewer bytes: what matplotlib repeats for every mark is said once.

Coordinates go to a tenth of a point, paths of straight lines go from point to point, each distinct style becomes one
class. No maintained library does it: scour, the usual one, has had no release since 2021 and takes seconds a figure.
"""

import hashlib
import re
from itertools import pairwise

_NUMBER = re.compile(r"-?\d+\.\d+")
_STRAIGHT = re.compile(r"(?:M-?[\d.]+ -?[\d.]+(?:L-?[\d.]+ -?[\d.]+)*)+")  # moves and lines, nothing curved or closed
_GROUP_ID = re.compile(r'<g id="(?!axes)[a-z0-9]+_\d+">')  # nothing refers to them


def compact(svg: str) -> str:
    """An SVG of matplotlib's, smaller; it looks the same to a tenth of a point."""
    bare = re.sub(r"\n\s*", "\n", re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL))
    paths = re.sub(r'(?<= d=")[^"]*', lambda path: _shorter_path(path[0]), _GROUP_ID.sub("<g>", bare))
    placed = re.sub(r'(?<= [xy]=")-?\d+\.\d+(?=")', lambda place: _tenths(place[0]), paths)
    return _styles_as_classes(placed.replace("xlink:href", "href"))


def _tenths(number: str) -> str:
    return _of_tenths(round(float(number) * 10))


def _shorter_path(path: str) -> str:
    """Coordinates to a tenth; from point to point where all lines are straight."""
    rounded = _NUMBER.sub(lambda found: _tenths(found[0]), path)
    tight = re.sub(r"\s*([MLQCzZ])\s*", r"\1", " ".join(rounded.split()))
    return "".join(map(_relative, re.findall(r"M[^M]*", tight))) if _STRAIGHT.fullmatch(tight) else tight


def _relative(line: str) -> str:
    """``M1 2L3 5L4 4`` as ``M1 2l2 3 1-1``."""
    points = [tuple(round(float(number) * 10) for number in point.split()) for point in line[1:].split("L")]
    steps = [(x1 - x0, y1 - y0) for (x0, y0), (x1, y1) in pairwise(points)]
    numbers = " ".join(_of_tenths(number) for step in steps for number in step).replace(" -", "-")
    start = " ".join(_of_tenths(number) for number in points[0])
    return f"M{start}l{numbers}" if steps else f"M{start}"


def _of_tenths(tenths: int) -> str:
    return f"{tenths / 10:g}"


def _styles_as_classes(svg: str) -> str:
    """Each distinct ``style`` attribute as a class that holds inside this drawing alone, whatever page it is put in."""
    names: dict[str, str] = {}
    classed = re.sub(r'style="([^"]*)"', lambda style: f'class="{names.setdefault(style[1], f"s{len(names)}")}"', svg)
    scope = f"f{hashlib.sha256(svg.encode()).hexdigest()[:8]}"
    rules = "".join(f"#{scope} .{name}{{{style}}}" for style, name in names.items())
    return re.sub(r"<svg ([^>]*>)", lambda tag: f'<svg id="{scope}" {tag[1]}<style>{rules}</style>', classed, count=1)
