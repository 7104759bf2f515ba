"""What a deployment may change: config.yaml and the environment."""

from settings.formats import HOUR, ISO, Column, Format, Time
from settings.limits import Limits
from settings.model import (
    MONITORING,
    Account,
    Auth,
    Cache,
    Database,
    Log,
    Meter,
    MysqlUrl,
    Network,
    Quality,
    Server,
    Settings,
    SqliteUrl,
    Tls,
    is_demonstration,
)
from settings.reading import load_settings, sources
from settings.section import SettingsError
from settings.signing import signing_secret

__all__ = [
    "HOUR",
    "ISO",
    "MONITORING",
    "Account",
    "Auth",
    "Cache",
    "Column",
    "Database",
    "Format",
    "Limits",
    "Log",
    "Meter",
    "MysqlUrl",
    "Network",
    "Quality",
    "Server",
    "Settings",
    "SettingsError",
    "SqliteUrl",
    "Time",
    "Tls",
    "is_demonstration",
    "load_settings",
    "signing_secret",
    "sources",
]
