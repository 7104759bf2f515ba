"""All layouts."""

from tests.support.known_reports.america import AMERICA
from tests.support.known_reports.austria import AUSTRIA
from tests.support.known_reports.europe import EUROPE
from tests.support.known_reports.programs import PROGRAMS
from tests.support.known_reports.spain import SPAIN

LAYOUTS = (*SPAIN, *AUSTRIA, *EUROPE, *AMERICA, *PROGRAMS)
