"""The section `formats`: descriptions of reports."""
