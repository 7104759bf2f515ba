"""The errors of the storage.

StorageError
├── Unreachable      no connection can be made now; waiting may help
│   └── Untrusted    the server does not prove who it is, as database.tls asks
├── Refused          the database rejected the account or denied it a right
├── NotPrepared      the database or its tables are missing: the loader creates them
├── Outdated         the schema is older and lacks what is asked for
├── Inconsistent     a result would differ from what it announced
│   └── Overtaken    the data has changed since its state was read; asking again may help
└── Conflict         what is to be written contradicts what is stored
    └── Disagreement a report may be another meter's
"""


class StorageError(Exception):
    """The text is one line: what is wrong and, where something can be done, what to do."""


class Unreachable(StorageError):
    """No connection can be made now, or it broke, or a statement ran into its time limit."""


class Untrusted(Unreachable):
    """The server does not prove who it is, or has no TLS where that is asked for."""


class Refused(StorageError):
    """The database rejected the account or denied it a right."""


class NotPrepared(StorageError):
    """The database or its tables are missing."""


class Outdated(StorageError):
    """The schema is that of an older loader, or of the original's importer."""


class Inconsistent(StorageError):
    """The readings found are not those announced, or not of one state of the data."""


class Overtaken(Inconsistent):
    """The data is no longer in the state of which a result was to be."""

    def __init__(self) -> None:
        super().__init__("the readings were changed while they were read")


class Conflict(StorageError):
    """What is to be written contradicts what is stored."""


class Disagreement(Conflict):
    """The values of a report are others than those of the meter at the same times."""
