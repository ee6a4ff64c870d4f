"""The dashboards and alerts of this project, as lists of panels and rules."""
