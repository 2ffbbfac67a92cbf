"""A terminal picture as an SVG file, for a document. It names no font that would have to be fetched."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme

FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
  <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
GREY, WHITE = (48, 54, 61), (214, 222, 230)
RED, GREEN, YELLOW = (255, 110, 103), (87, 193, 105), (226, 183, 74)
BLUE, MAGENTA, CYAN = (108, 164, 248), (219, 139, 246), (86, 202, 214)
DARK = TerminalTheme((22, 27, 34), WHITE, [GREY, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE])


def as_svg(view: RenderableType, title: str, width: int) -> str:
    """The view, `width` characters wide, in a window with this title."""
    console = Console(
        width=width, record=True, file=io.StringIO(), force_terminal=True, color_system="standard"
    )
    console.print(view)
    return console.export_svg(title=title, theme=DARK, code_format=FORMAT, unique_id="vitalstream")
