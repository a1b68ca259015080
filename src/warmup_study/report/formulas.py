"""LaTeX formulas as MathML, which browsers draw without scripts."""

import re

from latex2mathml.converter import convert

from warmup_study.errors import StudyError

# Commands that latex2mathml 3.81 turns into wrong MathML without a word; each has a plain substitute.
SILENT_FAILURES = (r"\operatorname*", r"\label", r"\tag", r"{aligned}", r"{align}", r"{equation}")
# What any other silent failure leaves behind: an unknown command, an alignment mark, an empty operator.
TRACES = re.compile(r"\\|<mi>&(amp;)?</mi>|<mo ?/>|<mo></mo>")
# Browsers stretch a bare bar on one side only, and set it apart as if it stood between two things; bars that should
# grow are written \left| and \right|.
BARS = re.compile(r'<mo(?: stretchy="false")?>(&#x02016;|&#x02225;|&#x0007C;|\|)</mo>')

# Named functions come out as operators, with room on both sides, and the tilde of \sim as a letter, with none.
FUNCTIONS, SIMILAR = re.compile(r"<mo>([a-z]{2,})</mo>"), re.compile(r"<mi>(&#x0007E;|~)</mi>")


def mathml(latex: str, display: bool = False) -> str:
    r"""A formula (LaTeX without its dollar signs) as a `<math>` element, inline or on a line of its own.

    Raises StudyError, naming the formula, where the converter fails or would fail silently.
    """
    formula = " ".join(latex.split())
    unsupported = [command for command in SILENT_FAILURES if command in formula]
    if unsupported:
        raise StudyError(f"report: formula ${formula}$ uses {unsupported[0]}, which has no MathML form here")
    element = _converted(formula, display)
    if TRACES.search(element):
        raise StudyError(f"report: formula ${formula}$ has a part that the MathML converter does not know")
    element = SIMILAR.sub("<mo>&#x0223C;</mo>", FUNCTIONS.sub(r"<mi>\1</mi>", element))
    return BARS.sub(r'<mo stretchy="false" lspace="0em" rspace="0em">\1</mo>', element)


def _converted(formula: str, display: bool) -> str:
    """The converter's own answer; its failures become one clear line."""
    try:
        return str(convert(formula, display="block" if display else "inline"))
    except Exception as error:  # the converter's exceptions have no base class of their own
        raise StudyError(f"report: formula ${formula}$ cannot be converted ({type(error).__name__})") from error
