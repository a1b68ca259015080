"""The lab itself: controls, a figure that follows them, up to four pinned setups, and plain outputs without widgets."""

import asyncio
import base64
import hashlib
import html
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets

from warmup_study.errors import StudyError
from warmup_study.lab.controls import Controls, probe_picker
from warmup_study.lab.figures import LETTERS, lab, labels
from warmup_study.lab.parameters import Lab, Setup
from warmup_study.lab.setups import Glance, Seen, glance, names, see, summary
from warmup_study.paths import Folders
from warmup_study.presentation.canvas import StudyFigure
from warmup_study.running.progress import watched

PATIENCE = 0.3  # seconds without a further change before a change is acted on
_IMAGE = "max-width:100%;background:#fff;color-scheme:light;padding:4px;box-sizing:border-box"
_CAPTION = "line-height:1.4;margin-top:.6em"


class Shown:
    """Figure and table of final losses of some setups, the current one last."""

    def __init__(self, setups: list[Setup], probe: str) -> None:
        self.seen: list[Seen] = [see(setup) for setup in setups]
        self.notes: list[str] = []
        self.figure: StudyFigure = lab(self.seen, probe, self._glances(probe))

    def _glances(self, probe: str) -> dict[str, Glance]:
        """Probe values by short name; where a setup has none, the reason goes into the notes."""
        found = {}
        for letter, seen in zip(labels(len(self.seen)), self.seen, strict=True) if probe else ():
            try:
                found[letter] = glance(seen.setup, probe)
            except StudyError as problem:
                self.notes.append(f"{letter}: {problem}")
        return found

    @property
    def table(self) -> str:
        """Final losses of the setups, as HTML."""
        table = summary(self.seen, labels(len(self.seen)))
        return str(table.rename_axis(None).style.set_table_styles(_TABLE).to_html())


_TABLE: Any = [
    {"selector": "td, th", "props": "text-align: left; padding: 0 .9em 0 0; font-weight: normal; line-height: 1.5"},
    {"selector": "tbody th", "props": "font-weight: bold"},
    {"selector": "", "props": "border: none; margin: 0"},
]


class Instrument:
    """The lab of one notebook. Shows itself as widgets where somebody looks on, and as a plain figure elsewhere."""

    def __init__(self, parameters: Lab) -> None:
        self.parameters = parameters
        setup = Setup(**parameters.model_dump(include=set(Setup.model_fields)))
        without = setup.model_copy(update={"warmup": "none"})
        self.look(setup, [without] if parameters.compare and without != setup else [], parameters.probe)
        self._panel: _Panel | None = None

    def look(self, setup: Setup, pins: list[Setup], probe: str) -> None:
        """Train what is not trained yet, and draw it. Where that fails, all stays as it was."""
        self.shown = Shown([*pins, setup], probe)
        self.setup, self.pins, self.probe = setup, pins, probe

    def save(self) -> str:
        """Write the figure beside its words, and return where."""
        drawn = hashlib.sha256(self.shown.figure.svg.encode()).hexdigest()[:8]
        folders = Folders.of(self.parameters.output_dir, "lab")
        return str(folders.figures / f"{self.shown.figure.save(folders, 'lab', drawn).stem}.svg")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        plain = {"image/svg+xml": self.shown.figure.svg, "text/plain": self.shown.figure.words.alt}
        if not watched():
            for note in self.shown.notes:
                print(note)
            return plain
        self._panel = self._panel or _Panel(self)
        bundle: dict[str, Any] = self._panel.box._repr_mimebundle_()
        return bundle | plain


class Patient:
    """Calls an action once the calls to it have paused, so that a slider's way does not train at every stop."""

    def __init__(self, action: Callable[[], None], seconds: float) -> None:
        self._action, self._seconds = action, seconds
        self._waiting: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Act soon, or at once where nothing could call back."""
        self.forget()
        try:
            self._waiting = asyncio.get_running_loop().call_later(self._seconds, self._action)
        except RuntimeError:
            self._action()

    def forget(self) -> None:
        """Do not act after all."""
        if self._waiting is not None:
            self._waiting.cancel()


class _Panel:
    """Widgets around an instrument: controls on the left, figure and table on the right."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.follow = Patient(self.run, PATIENCE)
        self.controls = Controls(instrument.setup, self._changed)
        self.probe = probe_picker(instrument.probe)
        self.probe.observe(lambda _: self.follow(), "value")
        self.live = widgets.Checkbox(
            value=True, indent=False, description="run after every change", layout={"width": "auto"}
        )
        self.buttons = [
            _button("Run", "train and plot these settings", "play", self.run, "primary"),
            _button("Pin", "keep this setup in the figure for comparison", "thumb-tack", self.pin),
            _button("Save", "write the figure as SVG", "save", self.save),
        ]
        self.pinned = widgets.VBox(layout={"width": "100%"})
        self.status, self.image, self.table = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.box = self._laid_out()
        self._show("Change a setting, or press Run.")

    def _laid_out(self) -> Any:
        buttons = widgets.HBox(self.buttons, layout={"width": "100%"})
        asked = [*self.controls.widgets, self.probe, buttons, self.live, self.pinned]
        left = widgets.VBox(asked, layout={"width": "290px", "flex": "0 0 290px", "padding": "0 12px 0 0"})
        right = widgets.VBox([self.status, self.image, self.table], layout={"flex": "1 1 420px", "min_width": "0"})
        return widgets.HBox([left, right], layout={"flex_flow": "row wrap", "width": "100%"})

    def _changed(self) -> None:
        if self.live.value:
            self.follow()
        else:
            self._say("Press Run to train these settings.")

    def run(self) -> None:
        """Train and draw what the controls say."""
        self.follow.forget()
        self._attempt(self._run)

    def _run(self) -> str:
        started, setup = time.perf_counter(), self.controls.setup
        runs = f"{setup.seeds} runs of {setup.updates} updates"
        self._say(f"Training {runs} on {html.escape(setup.task)} …")
        self.instrument.look(setup, self.instrument.pins, self.probe.value)
        notes = "".join(f"<br>{html.escape(note)}" for note in self.instrument.shown.notes)
        return f"{runs}, trained and plotted in {time.perf_counter() - started:.1f} s.{notes}"

    def pin(self) -> None:
        """Keep the current setup; the oldest goes where there is no more room."""
        self._attempt(self._pin)

    def _pin(self) -> str:
        mine = self.instrument
        if mine.setup in mine.pins:
            return "This setup is already pinned."
        mine.look(mine.setup, [*mine.pins, mine.setup][-len(LETTERS) :], mine.probe)
        return "Pinned. Further changes are plotted next to it."

    def _drop(self, setup: Setup) -> None:
        def drop() -> str:
            mine = self.instrument
            mine.look(mine.setup, [pin for pin in mine.pins if pin != setup], mine.probe)
            return "Unpinned."

        self._attempt(drop)

    def save(self) -> None:
        """Write the figure."""
        self._attempt(lambda: f"Written to <code>{html.escape(self.instrument.save())}</code>")

    def _attempt(self, action: Callable[[], str]) -> None:
        """Do it with the buttons off; what goes wrong is one line, and the last figure stays."""
        for button in self.buttons:
            button.disabled = True
        try:
            self._show(action())
        except StudyError as problem:
            self._say(html.escape(str(problem)), wrong=True)
        except Exception as problem:  # nothing else would show it: a widget's callback has no cell of its own
            self._say(html.escape(f"{type(problem).__name__}: {problem}"), wrong=True)
        finally:
            for button in self.buttons:
                button.disabled = False

    def _say(self, words: str, wrong: bool = False) -> None:
        role, colour = ("alert", "#b00020") if wrong else ("status", "inherit")
        self.status.value = f'<div role="{role}" style="color:{colour};line-height:1.4">{words}</div>'

    def _show(self, words: str) -> None:
        """Put the instrument's figure, table and pins on the screen."""
        figure = self.instrument.shown.figure
        data = base64.b64encode(figure.svg.encode()).decode()
        alt = html.escape(figure.words.alt, quote=True)
        self.image.value = f'<img alt="{alt}" style="{_IMAGE}" src="data:image/svg+xml;base64,{data}">'
        self.table.value = f'{self.instrument.shown.table}<p style="{_CAPTION}">{html.escape(figure.words.caption)}</p>'
        setups = [*self.instrument.pins, self.instrument.setup]
        self.pinned.children = tuple(
            _button(f"{letter}: {name}", f"unpin {letter}", "times", partial(self._drop, setup))
            for letter, name, setup in zip(LETTERS, names(setups), self.instrument.pins, strict=False)
        )
        self._say(words)


def _button(description: str, tooltip: str, icon: str, action: Callable[[], None], style: str = "") -> Any:
    made = widgets.Button(
        description=description, tooltip=tooltip, icon=icon, button_style=style, layout={"width": "auto", "flex": "1"}
    )
    made.on_click(lambda _: action())
    return made


def open_lab(parameters: Lab) -> Instrument:
    """The lab, opened with these parameters; let the notebook show it."""
    return Instrument(parameters)
