"""The dashboard: one page that draws the readings in the browser."""

from server.web.static_files import file_routes, page_route

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'"
)

ROUTES = [
    page_route("/dashboard", "dashboard", _POLICY),
    file_routes("dashboard", _POLICY),
    file_routes("uplot", _POLICY),
]
