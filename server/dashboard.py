"""The dashboard: one page that draws the readings in the browser."""

from server.assets import files, page

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
    page("/dashboard", "dashboard", _POLICY),
    files("dashboard", _SHOWN, _POLICY),
    files("uplot", {"uPlot.esm.js", "uPlot.min.css"}, _POLICY),
]
