"""nbconvert's HTML exporter with this study's template, heading anchors and MathML formulas."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from traitlets.config import Config

from warmup_study.report.formulas import mathml

TEMPLATES = Path(__file__).parent
HIGHEST_HEADING = 2  # the page's own title is its only first-level heading
_KEPT = ' "/:;,=(){}.+-_@*!|'  # signs that an address in an attribute may hold as they are


class PageRenderer(IPythonRenderer):
    """Markdown to HTML for one cell: headings one level down with anchors, formulas as MathML."""

    def __init__(self, chapter: str, taken: set[str], escape: bool) -> None:
        """Anchors start with the `chapter`'s name; `taken` collects them over the whole page; `escape` shows tags."""
        super().__init__(escape=escape, exclude_anchor_links=True)
        self.chapter = chapter
        self.taken = taken

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        """A heading with an id that no other heading of the page has."""
        depth = min(max(level + 1, HIGHEST_HEADING), 6)
        place = self._anchor(text)
        link = f'<a class="permalink" href="#{place}" aria-label="Link to this section">#</a>'
        return f'<h{depth} id="{place}">{text}{link}</h{depth}>\n'

    def block_math(self, body: str) -> str:
        """A display formula in a box that scrolls by itself where the screen is narrow."""
        return f'<span class="formula" role="group" aria-label="Formula" tabindex="0">{mathml(body, True)}</span>'

    def inline_math(self, body: str) -> str:
        """A formula within a line."""
        return mathml(body)

    def latex_environment(self, name: str, body: str) -> str:
        """A bare LaTeX environment, drawn as a display formula."""
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")

    def _anchor(self, text: str) -> str:
        words = re.findall(r"[a-z0-9]+", re.sub(r"<[^>]+>", " ", text).lower())
        base = "-".join([self.chapter, *words[:8]])
        anchor, copy = base, 2
        while anchor in self.taken:
            anchor, copy = f"{base}-{copy}", copy + 1
        self.taken.add(anchor)
        return anchor


def svg_address(svg: str) -> str:
    """A drawing as a ``data:`` address in plain text, a quarter shorter than in base64; no line break counts in one."""
    drawing = svg[svg.index("<svg") :]
    return f"data:image/svg+xml,{quote(' '.join(drawing.split()), safe=_KEPT)}"


class PageExporter(HTMLExporter):
    """Renders the merged notebook as the whole page."""

    def __init__(self) -> None:
        filters = {"svg_address": svg_address}
        config = Config({"CoalesceStreamsPreprocessor": {"enabled": True}})  # one log for what came in pieces
        super().__init__(  # type: ignore[no-untyped-call]
            config, extra_template_basedirs=[str(TEMPLATES)], template_name="page", filters=filters
        )
        self.anchors: set[str] = set()

    @pass_context
    def markdown2html(self, context: Context, source: str, *, html: bool = True) -> str:
        """Markdown of the cell that is being rendered, as HTML (a filter of the template).

        Without ``html``, tags are shown as text: captions hold the titles of users' tasks.
        """
        cell: NotebookNode = context.get("cell", NotebookNode(metadata={}))
        renderer = PageRenderer(cell.metadata.get("chapter", "page"), self.anchors, escape=not html)
        return str(MarkdownWithMath(renderer=renderer).render(source))
