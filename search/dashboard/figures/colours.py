"""Colour themes of the dashboard, light and dark, for the figures and the style sheet.

Okabe and Ito's palette is safe for colour-blind readers, but half of it is too pale for small markers on white, and its
blue is too dark on black. Colours are darkened or lightened to contrast ratios of 3:1 for markers and 4.5:1 for text
(W3C, "Web Content Accessibility Guidelines 2.2", 1.4.3 and 1.4.11). The colour scales are parts of viridis, which is
perceptually uniform.
"""

from dataclasses import dataclass

from search.report import plotly_style
from search.report.plotly_style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, YELLOW


@dataclass(frozen=True, kw_only=True)
class Theme(plotly_style.Theme):
    """The colours of the dashboard on one background.

    Attributes:
        page: Background of the page, behind the cards.
        raised: Background of buttons and table headers.
        border: Border of cards and controls.
        accent: Colour of links, selected elements and the focus ring.
        on_accent: Colour of text on the accent colour.
        what_if: Lines of hypothetical limits.
        scale: Continuous colour scale, from low to high.
        heat: Colour scale of heatmaps, from 0 to 1.
    """

    page: str
    raised: str
    border: str
    accent: str
    on_accent: str
    what_if: str
    scale: tuple[str, ...]
    heat: tuple[str, ...]


LIGHT = Theme(
    name="light",
    page="#F4F6F8",
    surface="#FFFFFF",
    raised="#EAEEF2",
    text="#1C2126",
    muted="#57606B",
    grid="#E4E8EC",
    axis="#57606B",
    limit="#1C2126",
    note="rgba(255,255,255,0.8)",
    border="#C9D1D9",
    accent="#0060A4",
    on_accent="#FFFFFF",
    what_if="#B0357F",
    shades={
        ORANGE: "#C27C00",
        SKY: "#2E93CC",
        GREEN: "#00825C",
        BLUE: "#0060A4",
        VERMILION: "#B83F00",
        PURPLE: "#C4629C",
        GREY: "#6C727B",
        YELLOW: "#7E7200",
    },
    scale=("#440154", "#482475", "#414487", "#355F8D", "#2A788E", "#21908D", "#20A486"),
    heat=("#FFFFFF", "#9CC4E4", "#0060A4"),
)
DARK = Theme(
    name="dark",
    page="#11151A",
    surface="#1A2027",
    raised="#262E37",
    text="#E6EAEE",
    muted="#A5B0BC",
    grid="#303944",
    axis="#A5B0BC",
    limit="#E6EAEE",
    note="rgba(26,32,39,0.8)",
    border="#3B4551",
    accent="#7CC7F2",
    on_accent="#11151A",
    what_if="#FF8FD0",
    shades={
        ORANGE: "#F5B83D",
        SKY: "#7CC7F2",
        GREEN: "#20B98B",
        BLUE: "#4C8FE0",
        VERMILION: "#FF7340",
        PURPLE: "#E79FC8",
        GREY: "#8A929C",
        YELLOW: "#E6DA3C",
    },
    scale=("#2A788E", "#21918C", "#22A884", "#44BF70", "#7AD151", "#BDDF26", "#FDE725"),
    heat=("#1A2027", "#25527A", "#7CC7F2"),
)
