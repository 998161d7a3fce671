"""The command line: parses arguments, wires objects together, and maps errors to exit codes."""

from __future__ import annotations

from typing import Annotated

import typer

from hugflow.cli import ci, datasets, doctor, publish, requests, run, sync
from hugflow.version import __version__

ABOUT = """
GitOps for datasets: Hugging Face datasets on your server, as YAML requests describe them.

\b
Example:
  hugflow init my-datasets                      # a folder for requests
  hugflow plan requests/add/speech.yaml         # what would be done
  hugflow local-sync requests/add/speech.yaml   # do it, or continue it
"""

EXIT_CODES = """
\b
Exit codes:
  0 done                     5 needs approval
  1 failed, safe to retry    6 locked by another process
  2 usage                   70 a bug in Hugflow
  3 partial (failed rows)   74 storage fault (disk full, read-only, broken)
  4 somebody must change    75 paused, resumable
    the request, the data, 130 interrupted twice
    a token or a setting
"""

app = typer.Typer(
    name="hugflow",
    help=ABOUT,
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 100, "help_option_names": ["--help", "-h"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hugflow {__version__}")
        raise typer.Exit


@app.callback(help=ABOUT)
def _main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Accept the options of the program itself, such as `--version`; their callbacks do the work."""


for module in (requests, run, publish, sync, ci, datasets, doctor):
    module.register(app)
