"""What commands print: a terminal that lacks a character gets a substitute, not an error."""

import io
import sys


def forgive_encodings() -> None:
    """Let standard output and errors write what their encoding lacks as an escape, whatever the encoding is."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
