"""Running commands as a user would type them."""

import asyncio
import os
from pathlib import Path


async def output(command: list[str], folder: Path, **environ: str) -> str:
    """Return the output of a command, which must succeed and print no errors."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    assert (process.returncode, stderr) == (0, b""), stderr.decode()
    return stdout.decode().replace("\r\n", "\n")
