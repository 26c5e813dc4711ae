"""The templates, styles and scripts in assets/, and what templates may call.

Templates escape every string; a name that a template does not know is an error.
"""

import base64
import functools
import hashlib
from collections.abc import Callable
from importlib import resources
from urllib.parse import quote

import jinja2
from markupsafe import Markup

_PACKAGE = "cgan_tf.pages"


def asset(name: str) -> Markup:
    """A style or script of ours, which stands on a page as it is."""
    return Markup(resources.files(_PACKAGE).joinpath("assets", name).read_text(encoding="utf-8"))


def render(template: str, **values: object) -> str:
    """A template as text; `jinja2.UndefinedError` where it asks for a value that is not there."""
    return _environment().get_template(template).render(values)


def macro(template: str, name: str) -> Callable[..., Markup]:
    """A macro of a template, to be called from Python."""
    return getattr(_environment().get_template(template).module, name)


def data_address(png: bytes) -> str:
    """A PNG as an address that holds it, for pages that are whole in one file."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def script_source(script: str) -> str:
    """A script in the terms of a Content-Security-Policy, which then lets no other one run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE, "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "data_address": data_address,
        "macro": lambda part: type(part).__name__.lower(),
        "quote": quote,
        "script_source": script_source,
    }
    return environment
