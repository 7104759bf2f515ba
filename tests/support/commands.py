"""Commands that a reader would type, run as they stand."""

import asyncio
import os
from pathlib import Path


async def output(command: list[str], folder: Path, **environ: str) -> str:
    """What a command says, which has to succeed and complain of nothing."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, complaint = await process.communicate()
    assert (process.returncode, complaint) == (0, b""), complaint.decode()
    return told.decode().replace("\r\n", "\n")
