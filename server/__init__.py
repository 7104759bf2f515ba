"""HTTP: settings and storage become responses."""
