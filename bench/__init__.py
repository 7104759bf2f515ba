"""The benchmarks: this service, its peers and the limits, measured side by side on one machine."""
