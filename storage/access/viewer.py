"""Who asks: a user, as far as the API key allows that a request carries."""

from dataclasses import dataclass

from domain.access import Permission


@dataclass(frozen=True, slots=True)
class KeyScope:
    """The meters and groups, by their row ids, that an API key is good for."""

    meters: frozenset[int]
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Viewer:
    """A user, and what the API key in use is good for; a login's token is good for all."""

    user: str
    is_admin: bool = False
    """Whether the user may do anything with all meters, whatever the grants are."""
    permission: Permission = Permission.MANAGE
    """The most that the key is good for."""
    scope: KeyScope | None = None
    """None if the key is good for all that the user may see."""

    @property
    def is_unlimited(self) -> bool:
        """Whether all meters may be managed."""
        return self.is_admin and self.permission is Permission.MANAGE and self.scope is None
