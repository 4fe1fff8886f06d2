"""How every page is made: from a template beside this file, with all values escaped."""

from __future__ import annotations

from pathlib import Path

# How `envpin report` tells its own pages, which it replaces, from other files, which it leaves alone.
MARK = "envpin report"
_TEMPLATES = Path(__file__).resolve().parent / "templates"


def page(template: str, **values: object) -> str:
    """The text of `templates/<template>` with `values` in it; a name that is missing is an error, not a gap."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False}
    return environment.get_template(template).render(**values)
