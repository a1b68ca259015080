"""The formulas' font, cut down to the characters of one page.

`page/stix-two-math.woff` is a subset of STIX Two Math 2.11 (SIL Open Font License, `page/stix-two-math.OFL.txt`):
Latin, Greek, mathematical alphabets and the common operators, with the MATH table that browsers lay formulas out by.
"""

import base64
import io
import unicodedata
from importlib.resources import files

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

from warmup_study.errors import StudyError

FAMILY = "STIX Two Math subset"
# Browsers draw a one-letter identifier with the italic letter of these blocks (MathML Core, "math-auto").
_ITALICS = "".join(map(chr, (*range(0x1D434, 0x1D468), 0x210E, *range(0x1D6A4, 0x1D6A6), *range(0x1D6E2, 0x1D71C))))
_FEATURES = ["ssty", "dtls", "flac"]  # smaller scripts, dotless letters, flat accents: what MathML asks for


ROOT = "√"  # browsers draw it for <msqrt> and <mroot>, whose text does not hold it


def font_face(text: str) -> str:
    """A CSS rule that embeds the font with the characters of `text`, the text of all formulas, and the sign of roots.

    Raises StudyError, naming the character, where the font lacks one.
    """
    characters = {character for character in text if character.isprintable() and not character.isspace()}
    characters.add(ROOT)
    characters |= {italic for italic in _ITALICS if unicodedata.normalize("NFKC", italic) in characters}
    data = base64.b64encode(_subset(characters)).decode("ascii")
    return f'@font-face {{ font-family: "{FAMILY}"; src: url("data:font/woff;base64,{data}") format("woff"); }}'


def _subset(characters: set[str]) -> bytes:
    """The font with these characters and what their layout needs, the same bytes for the same characters."""
    whole = files(__package__).joinpath("page", "stix-two-math.woff").read_bytes()
    font = TTFont(io.BytesIO(whole), recalcTimestamp=False)
    missing = sorted(character for character in characters if ord(character) not in font.getBestCmap())
    if missing:
        raise StudyError(f"report: the formulas' font lacks {missing[0]!r} (U+{ord(missing[0]):04X})")
    subsetter = Subsetter(Options(layout_features=_FEATURES))
    subsetter.populate(text="".join(characters))
    subsetter.subset(font)
    file = io.BytesIO()
    font.save(file)
    return file.getvalue()
