"""The section `limits`: the resources that one client may use."""

from pydantic import ByteSize, Field

from settings.section import Section

_BYTES = "a number of bytes such as 65536 or 64KiB"
_POSITIVE = "a whole number, 1 or more"
_SECONDS = "seconds, more than 0"


class LimitSettings(Section):
    """Limits of each worker; beyond them, a request is rejected or a client disconnected."""

    request_line: ByteSize = Field(ByteSize(64 * 1024), ge=1024, description=f"{_BYTES}, from 1KiB")
    header: ByteSize = Field(ByteSize(8 * 1024), ge=1024, description=f"{_BYTES}, from 1KiB")
    headers: int = Field(100, ge=20, description="a whole number, 20 or more")
    head: ByteSize = Field(ByteSize(80 * 1024), ge=1024, description=f"{_BYTES}, from 1KiB")
    body: ByteSize = Field(ByteSize(1024**2), ge=1, description=_BYTES)
    parameters: int = Field(100, ge=1, description=_POSITIVE)
    ids: int = Field(100_000, ge=1, description=_POSITIVE)
    connections: int = Field(1000, ge=1, description=_POSITIVE)
    connections_per_address: int = Field(200, ge=1, description=_POSITIVE)
    request_time: float = Field(75, gt=0, allow_inf_nan=False, description=_SECONDS)
    requests_per_user: int = Field(50_000, ge=1, description=_POSITIVE)
    requests_per_address: int = Field(100_000, ge=1, description=_POSITIVE)
    requests_window: float = Field(10, gt=0, allow_inf_nan=False, description=_SECONDS)
    streams_per_user: int = Field(100, ge=1, description=_POSITIVE)
    streams: int = Field(200, ge=1, description=_POSITIVE)
    figures_per_user: int = Field(16, ge=1, description=_POSITIVE)
    figures: int = Field(32, ge=1, description=_POSITIVE)
    figure_readings: int = Field(20_000_000, ge=1, description=_POSITIVE)
    slowest_client: ByteSize = Field(
        ByteSize(2 * 1024), ge=1, description="a number of bytes such as 2048 or 2KiB, in a second"
    )
    slow_after: float = Field(60, gt=0, allow_inf_nan=False, description=_SECONDS)
