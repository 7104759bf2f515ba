"""The table in a report's file: its heading, and which lines are rows."""
