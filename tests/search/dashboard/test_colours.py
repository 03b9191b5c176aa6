"""The colours of both themes: contrast, shades of every group and series, and the style sheet."""

import re
from pathlib import Path

from search.dashboard import app
from search.dashboard.figures.colours import DARK, LIGHT
from search.dashboard.figures.plot_helpers import SERIES
from search.report.drawing import GROUPS

STYLE = Path(app.__file__).parent / "assets" / "style.css"


def contrast(one, other):
    """Return the contrast of two colours, 1 to 21, as WCAG 2.2 counts it."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_black_on_white_has_the_highest_contrast():
    assert contrast("#FFFFFF", "#000000") == 21


def test_text_and_marks_stand_out_from_their_background(theme):
    for background in (theme.surface, theme.page, theme.raised):
        assert contrast(theme.text, background) >= 4.5
        assert contrast(theme.muted, background) >= 4.5
    for background in (theme.surface, theme.page):
        assert contrast(theme.accent, background) >= 4.5
    assert contrast(theme.what_if, theme.surface) >= 4.5
    assert contrast(theme.on_accent, theme.accent) >= 4.5
    marks = [*theme.shades.values(), *theme.scale, theme.limit, theme.axis]
    assert {colour: contrast(colour, theme.surface) >= 3 for colour in marks} == dict.fromkeys(marks, True)


def test_every_colour_of_a_group_or_a_series_has_a_shade(theme):
    used = {group.colour for group in GROUPS.values()} | {colour for colour, _, _ in SERIES}
    assert used <= theme.shades.keys()
    assert len(set(theme.shades.values())) == len(theme.shades)
    for place in range(3):
        assert len({each[place] for each in SERIES}) >= 6


def test_the_style_sheet_has_the_colours_of_the_themes_and_requests_nothing():
    text = STYLE.read_text(encoding="utf-8")
    blocks = re.findall(r"([^{}]+)\{([^{}]*--page:[^{}]*)\}", text)
    found = [dict(re.findall(r"--([a-z-]+): (#[0-9A-F]{6});", block)) for _, block in blocks]
    for theme, names in ((LIGHT, found[0]), (DARK, found[1]), (DARK, found[2])):
        values = {name.replace("-", "_"): value for name, value in names.items()}
        statuses = [values.pop("warn"), values.pop("good")]
        assert set(statuses) <= set(theme.shades.values())
        assert all(contrast(colour, theme.surface) >= 4.5 for colour in statuses)
        assert values == {name: getattr(theme, name) for name in values}
        assert len(values) == 9
    assert "prefers-color-scheme: dark" in text
    assert ":root:not([data-theme=light])" in text
    assert not re.search(r"url\(|@import|//", text)
    used = set(re.findall(r"var\((--[a-z-]+)\)", text))
    assert used <= {f"--{name}" for name in found[0]}
