"""HTTP: settings and storage become responses."""

VERSION = "0.1.0"
