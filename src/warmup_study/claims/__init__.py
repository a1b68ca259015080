"""The claims under test, and how effects become verdicts."""
