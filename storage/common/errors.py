"""What can go wrong with the storage.

StorageError
├── Unreachable      no connection can be made now; waiting may help
│   └── Untrusted    the server does not prove who it is, as database.tls asks
├── Refused          the database turned the account away or denied it a right
├── NotPrepared      the database or its tables are missing: the loader makes them
├── Outdated         the tables are those of an older loader and lack what is asked for
├── Inconsistent     an answer would differ from what its head announced
└── Conflict         what is to be written contradicts what is there
"""


class StorageError(Exception):
    """The text is one line: what is wrong and, where something can be done, what to do."""


class Unreachable(StorageError):
    """No connection can be made now, or it broke, or a statement ran into its time limit."""


class Untrusted(Unreachable):
    """The server does not prove who it is, or has no TLS where that is asked for."""


class Refused(StorageError):
    """The database turned the account away or denied it a right."""


class NotPrepared(StorageError):
    """The database or its tables are missing."""


class Outdated(StorageError):
    """The tables are those of an older loader, or of the original's."""


class Inconsistent(StorageError):
    """The readings found are not those announced, or not of one state of the data."""


class Conflict(StorageError):
    """What is to be written contradicts what is there."""
