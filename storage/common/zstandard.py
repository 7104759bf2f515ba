"""Zstandard: the standard library's since Python 3.14, before that the same from a package."""

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
