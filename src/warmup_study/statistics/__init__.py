"""From runs to effects: endpoints, bootstrap intervals, decisions."""
