"""Commands that publish to the Hub, and `freshness`, which checks the age of published data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hugflow.cli import options
from hugflow.cli.command import add_command
from hugflow.cli.requests import parsed_request
from hugflow.cli.run import execute_request
from hugflow.cli.wiring import Session
from hugflow.model.errors import ExitCode, UsageError
from hugflow.model.publish_spec import AgeOf
from hugflow.report.json_output import document

PublishRequest = Annotated[Path, typer.Argument(help="A request: a YAML file in publish/.", metavar="FILE")]
Repository = Annotated[str, typer.Argument(help="The repository on the Hub: org/name.", metavar="REPO")]
Branch = Annotated[str, typer.Option("--revision", help="A branch.", metavar="BRANCH")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    add_command(app, "publish", publish, "Publish what a request says to the Hub, in one commit.")
    add_command(app, "push", push, "Publish a file, a folder or a stored dataset; no request.")
    add_command(app, "freshness", freshness, "Check the age of published data.")


def publish(
    session: Session,
    file: PublishRequest,
) -> None:
    """Publish local tables, or a dataset in storage, to the Hub: checked first, then sent, then visible in one commit.

    Run again, it continues, and sends nothing that the Hub has.

    \b
    Example:
      hugflow publish requests/publish/market.yaml
    """
    request = parsed_request(file)
    if request.kind != "publish":
        raise UsageError(
            "publishing", f"{file} is not a publish request", "`hugflow local-sync` is for add and remove requests."
        )
    execute_request(session, "publish", request)


def push(
    session: Session,
    repo_id: Repository,
    path: Annotated[
        Path | None, typer.Argument(help="A file, a folder or a glob.", metavar="PATH", show_default=False)
    ] = None,
    from_storage: Annotated[
        str | None, typer.Option("--from-storage", help="A dataset in storage, in place of PATH.", metavar="NAME")
    ] = None,
    config_name: Annotated[
        str | None, typer.Option("--config-name", help="The config; `default` unless given.", metavar="NAME")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="The one split that all files become.", metavar="SPLIT")
    ] = None,
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Make a new repository private, or public.")
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add the rows to those that the split has.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Remove all splits and tables but this one.")] = False,
    revision: Branch = "main",
    tag: Annotated[str | None, typer.Option("--tag", help="A tag for the new commit.", metavar="TAG")] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request on the Hub.")] = False,
    message: Annotated[str | None, typer.Option("--message", help="The commit's title.", metavar="TEXT")] = None,
    max_shard_size: Annotated[
        str | None, typer.Option("--max-shard-size", help="Size of a parquet file: 500MB.", metavar="SIZE")
    ] = None,
    num_shards: Annotated[
        int | None, typer.Option("--num-shards", help="Number of parquet files, in place of a size.", metavar="N")
    ] = None,
) -> None:
    """Publish one table, audio folder or stored dataset to the Hub, without a request: for a first try, and by hand.

    \b
    Example:
      hugflow push acme/prices data/prices.csv --private
    """
    if (path is None) == (from_storage is None):
        raise UsageError(
            "publishing", "what to publish is either a PATH or --from-storage NAME", "Give one of the two."
        )
    from hugflow.publish.request import located, spec_of
    from hugflow.request.file import ParsedRequest

    root, name = located(session.shell.cwd / path) if path is not None else (session.shell.cwd, None)
    values: dict[str, Any] = {
        "repo_id": repo_id,
        "path": name,
        "from_storage": from_storage,
        "config_name": config_name,
        "split": split,
        "private": private,
        "append": append,
        "replace": replace,
        "revision": revision,
        "tag": tag,
        "create_pr": create_pr,
        "commit_message": message,
        "max_shard_size": max_shard_size,
        "num_shards": num_shards,
    }
    spec = spec_of(values, f"publishing to {repo_id}")
    execute_request(session, "push", ParsedRequest(str(path or from_storage), spec, {}), publish_root=root)


def freshness(
    session: Session,
    repo_id: Repository,
    max_age: Annotated[str, typer.Option("--max-age", help="How old it may be: 36h, 2d.", metavar="TIME")] = "2d",
    revision: Branch = "main",
    of: Annotated[AgeOf, typer.Option("--of", help="Age of the last publish, or of the newest data.")] = "publish",
) -> None:
    """Look how old the data of a repository is, by its spec.json. Exit code 1 when it is older than it may be.

    `--of data` judges the newest time in the rows, which `--of publish` says nothing about.

    \b
    Example:
      hugflow freshness acme/market --max-age 2d
    """
    from hugflow.publish.freshness import freshness as look
    from hugflow.report.audit import utc_now

    allowed = options.seconds(max_age, "--max-age")
    found = look(session.hub(), repo_id, revision, allowed, utc_now(), of)
    code = ExitCode.FAILED if found.is_stale else ExitCode.DONE
    if not session.output.json and found.is_stale:
        session.output.complain(found.sentence)
    else:
        session.output.say(found.sentence)
    described = {
        "repo_id": repo_id,
        "revision": revision,
        "of": of,
        "stale": found.is_stale,
        "newest": found.updated.newest,
        "update_time": found.updated.update_time,
        "updated_at": found.updated.updated_at,
        "age_s": found.age_s,
        "max_age_s": allowed,
        "message": found.sentence,
    }
    session.output.document(document("freshness", code, **described))
    raise typer.Exit(code)
