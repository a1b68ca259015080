"""What commands tell a terminal: a lacking character gets a substitute, not an error; an interrupt has one status."""

import io
import sys

INTERRUPTED = 130  # exit status after ctrl-C, by the shells' convention


def forgive_encodings() -> None:
    """Let standard output and errors write what their encoding lacks as an escape, whatever the encoding is."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
