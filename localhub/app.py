"""Dispatches requests: the table of all routes, and refusals as answers."""

from __future__ import annotations

import sys
import traceback

from localhub.errors import HubError
from localhub.log import OpenRecord
from localhub.router import Router
from localhub.routes import admin as routes_admin
from localhub.routes import commit as routes_commit
from localhub.routes import files as routes_files
from localhub.routes import lfs as routes_lfs
from localhub.routes import pulls as routes_pulls
from localhub.routes import read as routes_read
from localhub.routes import repos as routes_repos
from localhub.routes import xet as routes_xet
from localhub.site import Site
from localhub.wire import Request, Response


def all_routes() -> Router[Site]:
    # The most frequent ones come first.
    return Router(
        (
            *routes_files.ROUTES,
            *routes_read.ROUTES,
            *routes_commit.ROUTES,
            *routes_lfs.ROUTES,
            *routes_xet.ROUTES,
            *routes_repos.ROUTES,
            *routes_pulls.ROUTES,
            *routes_admin.ROUTES,
            *routes_read.ELSEWHERE,
        )
    )


def answer(site: Site, routes: Router[Site], request: Request, record: OpenRecord | None = None) -> Response:
    """The answer to a request; an error within localhub becomes a 500 and a traceback on stderr."""
    try:
        route, matched = routes.find(request)
        if record is not None:
            record.note(route=route.name)
        return route.answer(site, matched)
    except HubError as error:
        return Response.of_error(error)
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001 - one request that breaks must not end the server
        traceback.print_exc(file=sys.stderr)
        return Response.of_error(HubError(500, f"localhub: {type(error).__name__}: {error}"))
