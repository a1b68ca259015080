"""Training many runs at once: schedules, update rules, probes."""
