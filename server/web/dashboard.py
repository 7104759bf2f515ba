"""The dashboard: one page that draws the readings in the browser."""

from server.web.static_files import file_routes, page_route

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'"
)
_SHOWN = {
    "api.js",
    "dashboard.css",
    "demand.js",
    "drag.js",
    "energy.js",
    "figures.js",
    "grid.js",
    "heat.js",
    "icon.svg",
    "ink.js",
    "locale.js",
    "login.js",
    "main.js",
    "notices.js",
    "panel.js",
    "plot.js",
    "profile.js",
    "quality.js",
    "save.js",
    "span.js",
    "ticks.js",
    "tip.js",
    "view.js",
    "words.js",
}

ROUTES = [
    page_route("/dashboard", "dashboard", _POLICY),
    file_routes("dashboard", _SHOWN, _POLICY),
    file_routes("uplot", {"uPlot.esm.js", "uPlot.min.css"}, _POLICY),
]
