"""The settings of a deployment, from config.yaml and the environment."""

from settings.limits import LimitSettings
from settings.loading import load_formats, load_settings, sources
from settings.model import (
    AccountSettings,
    AuthSettings,
    CacheSettings,
    DatabaseSettings,
    LogSettings,
    MeterSettings,
    QualitySettings,
    ServerSettings,
    Settings,
    TlsSettings,
    is_demonstration,
    is_published,
)
from settings.report_formats.column_name import ColumnError, ColumnName, any_of
from settings.report_formats.columns import ENERGIES, MEAN_POWERS, ColumnSettings, FieldPatterns
from settings.report_formats.format import (
    HOURLY_INTERVAL,
    INTERVAL_OF_DAY,
    MAX_TOP_LINES,
    METER_OF_COLUMN,
    FormatSettings,
    QualityColumnSettings,
)
from settings.report_formats.identifier import MeterColumns, MeterPattern
from settings.report_formats.numbers import MISSING_WORDS, THOUSANDS_MARKS
from settings.report_formats.time import BY_ORDER, EndSettings, TimeSettings
from settings.report_formats.time_pattern import (
    EPOCH,
    EPOCH_MS,
    INSTANT_PATTERNS,
    ISO,
    TimePattern,
    month_number,
)
from settings.section import SettingsError
from settings.signing_key import ed25519_key
from settings.signing_secret import signing_secret
from settings.values import (
    LOOPBACK,
    MONITORING,
    MysqlUrl,
    Network,
    SqliteUrl,
    is_loopback_host,
    url_host,
)

__all__ = [
    "BY_ORDER",
    "ENERGIES",
    "EPOCH",
    "EPOCH_MS",
    "HOURLY_INTERVAL",
    "INSTANT_PATTERNS",
    "INTERVAL_OF_DAY",
    "ISO",
    "LOOPBACK",
    "MAX_TOP_LINES",
    "MEAN_POWERS",
    "METER_OF_COLUMN",
    "MISSING_WORDS",
    "MONITORING",
    "THOUSANDS_MARKS",
    "AccountSettings",
    "AuthSettings",
    "CacheSettings",
    "ColumnError",
    "ColumnName",
    "ColumnSettings",
    "DatabaseSettings",
    "EndSettings",
    "FieldPatterns",
    "FormatSettings",
    "LimitSettings",
    "LogSettings",
    "MeterColumns",
    "MeterPattern",
    "MeterSettings",
    "MysqlUrl",
    "Network",
    "QualityColumnSettings",
    "QualitySettings",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "SqliteUrl",
    "TimePattern",
    "TimeSettings",
    "TlsSettings",
    "any_of",
    "ed25519_key",
    "is_demonstration",
    "is_loopback_host",
    "is_published",
    "load_formats",
    "load_settings",
    "month_number",
    "signing_secret",
    "sources",
    "url_host",
]
