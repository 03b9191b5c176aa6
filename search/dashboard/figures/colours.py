"""What figures and the style sheet share: the colours of the dashboard, on a light and on a dark background.

Okabe and Ito's colours are made for people who are colour-blind, not for contrast: on white, half of them are too pale
for a small mark, and blue is too dark on black. Here each is darker or lighter, such that a mark differs from its
background by 3 to 1 and a text by 4.5 to 1 (W3C, "Web Content Accessibility Guidelines 2.2", 1.4.3 and 1.4.11).
The scales are parts of viridis, which is perceptually uniform; of a part the same holds.
"""

from dataclasses import dataclass

from search.report import plotly_style
from search.report.plotly_style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION


@dataclass(frozen=True, kw_only=True)
class Theme(plotly_style.Theme):
    """The colours of the dashboard on one background.

    Attributes:
        page: Behind the cards.
        raised: Behind what can be pressed, and the head of a table.
        border: Around cards and controls.
        accent: Of links, what is chosen, and the ring around what has the focus.
        on_accent: Of text on the accent.
        what_if: Lines of a budget that is only tried.
        scale: From the least to the most of what is shown as a colour.
        heat: From none to all, behind figures.
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
    },
    scale=("#2A788E", "#21918C", "#22A884", "#44BF70", "#7AD151", "#BDDF26", "#FDE725"),
    heat=("#1A2027", "#25527A", "#7CC7F2"),
)
