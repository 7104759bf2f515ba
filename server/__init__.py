"""HTTP: settings and storage become responses."""

VERSION = "1.0.0"
