"""Bytes and sockets: connections, streaming, content coding, parameters."""
