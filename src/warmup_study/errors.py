"""The study's own error."""


class StudyError(Exception):
    """An error whose message is one clear line for the reader, shown in notebooks without a traceback."""

    def __str__(self) -> str:
        """The message on one line, whatever was put into it."""
        return " ".join(super().__str__().split())

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython prints in place of a traceback."""
        return [f"StudyError: {self}"]
