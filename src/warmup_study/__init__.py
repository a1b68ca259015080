"""The warmup study: every claim about learning-rate warmup put to a test that it could fail."""

from importlib.metadata import version

__version__ = version("warmup-study")
