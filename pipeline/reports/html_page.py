"""Fill an HTML template and write the page."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline.files import atomic_write


def write_html_page(
    path: Path, template: Path, *, filters: Mapping[str, Callable[..., Any]], values: Mapping[str, Any]
) -> None:
    """Write a page, complete or not at all.

    Args:
        path: The page.
        template: As for `render_html`, like the other arguments.
        filters: The functions that the template uses as filters.
        values: The values that the template shows, and the functions that it calls.
    """
    text = render_html(template, filters=filters, values=values)
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", errors="replace"))


def render_html(template: Path, *, filters: Mapping[str, Callable[..., Any]], values: Mapping[str, Any]) -> Markup:
    """Return a page, or a section of one.

    Args:
        template: A Jinja template. Every value is escaped, and an unknown name in it is an error.
        filters: The functions that the template uses as filters.
        values: The values that the template shows, and the functions that it calls.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= filters
    return Markup(environment.from_string(template.read_text(encoding="utf-8")).render(values))
