"""What a deployment may change: config.yaml and the environment."""

from settings.formats import HOUR, ISO, Column, Format, Time
from settings.model import (
    MONITORING,
    Account,
    Auth,
    Cache,
    Database,
    Meter,
    MysqlUrl,
    Quality,
    Server,
    Settings,
    SqliteUrl,
    is_demonstration,
)
from settings.reading import load_settings
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
    "Meter",
    "MysqlUrl",
    "Quality",
    "Server",
    "Settings",
    "SettingsError",
    "SqliteUrl",
    "Time",
    "is_demonstration",
    "load_settings",
    "signing_secret",
]
