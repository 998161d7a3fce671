"""Pull requests in every state, as data for the golden comments and Slack messages."""

from __future__ import annotations

from dataclasses import replace

from hugflow.model.errors import ExitCode
from hugflow.model.events import FailedRow, Preview, Progress, Result
from hugflow.model.plan import (
    AddPlan,
    Column,
    Difference,
    DownloadPlan,
    Estimate,
    Finding,
    HubFacts,
    PublishPlan,
    RemovePlan,
    Shard,
    StorageFacts,
    TablePlan,
)
from hugflow.model.publish_spec import PublishSpec, Table
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import AddSpec, DatasetIdentity, RemoveSpec
from hugflow.render.views import Annotation, PullRequestView, RequestView

SHA = "3f2a91c0d4e5b6a798812233445566778899aabb"
COMMIT = "9b74c9897bac770ffc029102a200c5de3f2a91c0"
ADD = "requests/add/voices.yaml"
SECOND = "requests/add/radio.yaml"
REMOVE = "requests/remove/old_noise.yaml"
PUBLISH = "requests/publish/market.yaml"


def add_plan(path: str = ADD, hf_id: str = "acme/voices", rows: int = 24_690, **changes: object) -> AddPlan:
    """A plan of an ordinary dataset with audio and text."""
    spec = AddSpec(hf_id=hf_id, description="Read speech for the adaptation of the call-centre model.")
    group = rows // 3
    shards = tuple(
        Shard(
            path=f"data/train-{index:05d}-of-00003.parquet",
            size_bytes=rows * 19_000,
            sha256="0" * 64,
            blob_id=None,
            first_row=index * group,
            groups=(group if index < 2 else rows - 2 * group,),
        )
        for index in range(3)
    )
    download = DownloadPlan(
        identity=DatasetIdentity.of(spec),
        sha=COMMIT,
        format="parquet",
        columns=(
            Column(name="audio", kind="audio", type="Audio"),
            Column(name="text", kind="text", type="string"),
            Column(name="speaker_id", kind="value", type="int64"),
        ),
        audio_column="audio",
        arrow_schema="",
        shards=shards,
        encoder=EncoderSettings(),
    )
    plan = AddPlan(
        request=path,
        spec=spec,
        name=spec.name,
        action="download",
        location=f"/data/datasets/{spec.name}",
        facts=HubFacts(sha=COMMIT, licence="cc-by-4.0"),
        download=download,
        storage=StorageFacts(free_bytes=1_300_000_000_000, free_inodes=50_000_000, quota_bytes=2_000_000_000_000),
        estimate=Estimate(
            stored_bytes=download.size_bytes * 6 // 10, files=2 * rows, scratch_bytes=0, seconds=rows * 0.16
        ),
    )
    return plan.model_copy(update=changes)


def remove_plan(*findings: Finding) -> RemovePlan:
    """A plan that removes one dataset."""
    spec = RemoveSpec(hf_id="acme/noise", reason="Replaced by acme/noise-v2, which has a licence.")
    return RemovePlan(
        request=REMOVE,
        spec=spec,
        names=("acme__noise__split_train__rev_main",),
        rows=8_000,
        stored_bytes=1_900_000_000,
        findings=findings,
    )


DIFFERENCES = (
    Difference(effect="change", kind="version", name="version", before="2.0.3", after="3.0.0"),
    Difference(effect="change", kind="split", name="ohlcv_daily/train", before="1,100,000 rows", after="1,204,331"),
    Difference(effect="remove", kind="column", name="ohlcv_daily.volume", before="float64"),
    Difference(effect="move", kind="file", name="data/ohlcv.parquet", after="data/v2/ohlcv.parquet"),
    Difference(effect="remove", kind="split", name="@team/`all` <img src=x>", before="12 rows"),
    Difference(effect="keep", kind="config", name="orders", before="44 rows"),
    Difference(effect="add", kind="config", name="trades", after="88,210,004 rows"),
)


def publish_view() -> PullRequestView:
    """A publish that changes and removes parts of a repository, and one that has done so."""
    plan = publish_plan()
    rows = (1_100_000, None)
    tables = tuple(table.model_copy(update={"rows_before": n}) for table, n in zip(plan.tables, rows, strict=True))
    changes = {"tables": tables, "version": "3.0.0", "version_before": "2.0.3", "differences": DIFFERENCES}
    planned = plan.model_copy(update=changes)
    path = "requests/publish/orders.yaml"
    spec = planned.spec.model_copy(update={"repo_id": "acme/orders"})
    done = planned.model_copy(update={"request": path, "spec": spec})
    published = Result(
        path,
        "publish",
        "acme/orders",
        "published",
        ExitCode.DONE,
        location="https://huggingface.co/datasets/acme/orders",
        rows_total=89_414_335,
        rows_done=89_414_335,
        size_bytes=2_358_200_000,
        sent_bytes=48_200_000,
        differences=DIFFERENCES,
    )
    return view(
        RequestView(PUBLISH, "publish", plan=planned, runs_after_merge=True),
        RequestView(path, "publish", plan=done, started=True, result=published),
    )


def publish_plan() -> PublishPlan:
    """A plan that publishes two tables."""
    spec = PublishSpec(
        repo_id="acme/market",
        tables=(
            Table(name="ohlcv_daily", path="data/ohlcv_daily.parquet"),
            Table(name="trades", path="data/trades"),
        ),
    )
    return PublishPlan(
        request=PUBLISH,
        spec=spec,
        tables=(
            TablePlan(name="ohlcv_daily", rows=1_204_331, size_bytes=48_200_000),
            TablePlan(name="trades", rows=88_210_004, size_bytes=2_310_000_000, shards=5),
        ),
        version="2.1.0",
    )


def result(path: str = ADD, rows: int = 24_690, **changes: object) -> Result:
    """The result of a successful download of `add_plan`."""
    plan = add_plan(path)
    ended = Result(
        request=path,
        kind="add",
        name=plan.name,
        status="complete",
        exit_code=ExitCode.DONE,
        location=plan.location,
        sha=COMMIT,
        rows_total=rows,
        rows_done=rows,
        new_rows=rows,
        audio_bytes=rows * 33_000,
        json_bytes=rows * 410,
        duration_s=rows * 9.1,
        elapsed_s=rows * 0.15,
        previews=(
            Preview(0, "the quick brown fox", 3.2),
            Preview(1, "It was @everyone's <b>favourite</b> | `song`", 7.45),
            Preview(2, None, 0.98),
        ),
    )
    return replace(ended, **changes)  # type: ignore[arg-type]  # the fields of Result


def view(*requests: RequestView, **changes: object) -> PullRequestView:
    """A pull request with `requests`."""
    base = PullRequestView(
        number=12,
        sha=SHA,
        requests=requests,
        repository_url="https://github.example/acme/data",
        run_url="https://github.example/acme/data/actions/runs/991",
        approvers=("data-steward",),
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # the fields of PullRequestView


INVALID = RequestView(
    "requests/add/typo.yaml",
    "add",
    problems=(
        Annotation("requests/add/typo.yaml", 2, 1, "hf_id: unknown key `hfid`; did you mean `hf_id`?"),
        Annotation("requests/add/typo.yaml", 4, 11, "revision: `2024-01-01` reads as a date: quote it."),
        Annotation("requests/add/typo.yaml", 7, None, "description: @team/all must not be empty <img src=x>"),
    ),
)
WAITING = RequestView(
    REMOVE,
    "remove",
    plan=remove_plan(Finding(level="approval", message="removals of `acme/*` need one approval of `data-steward`")),
    runs_after_merge=True,
)
PLANNED_REMOVE = RequestView(REMOVE, "remove", plan=remove_plan(), runs_after_merge=True)
PLANNED_PUBLISH = RequestView(PUBLISH, "publish", plan=publish_plan(), runs_after_merge=True)


def plan_view() -> PullRequestView:
    """Adds, a removal, a publish and what the policy says, before anything ran."""
    refused = add_plan("requests/add/tapes.yaml", "shady/tapes", 900_000)
    refused = refused.model_copy(
        update={
            "facts": HubFacts(sha=COMMIT, licence=None, gated=True),
            "findings": (
                Finding(level="error", message="organisation `shady` is not among the allowed ones: `acme`, `mozilla`"),
                Finding(level="warning", message="the repository is gated: the server's token must have access"),
            ),
        }
    )
    return view(
        RequestView(ADD, "add", plan=add_plan()),
        RequestView(SECOND, "add", plan=add_plan(SECOND, "acme/radio", 1_250_000, action="resume", rows_done=310_000)),
        RequestView("requests/add/tapes.yaml", "add", plan=refused),
        WAITING,
        PLANNED_PUBLISH,
        RequestView("requests/add/gone.yaml", "add", deleted=True),
    )


def progress_view() -> PullRequestView:
    """One add done, one half way, one queued."""
    radio = add_plan(SECOND, "acme/radio", 1_250_000)
    return view(
        RequestView(ADD, "add", plan=add_plan(), started=True, result=result()),
        RequestView(
            SECOND,
            "add",
            plan=radio,
            started=True,
            progress=Progress(SECOND, radio.name, 1_250_000, 650_000, 12, 340_000, 14_300_000_000, 9_000.0),
        ),
        RequestView("requests/add/tapes.yaml", "add", plan=add_plan("requests/add/tapes.yaml", "acme/tapes", 4_000)),
    )


def success_view() -> PullRequestView:
    """Everything is stored; a removal waits for the merge."""
    return view(RequestView(ADD, "add", plan=add_plan(), started=True, result=result()), PLANNED_REMOVE)


def partial_view() -> PullRequestView:
    """Some rows failed."""
    failed = tuple(
        FailedRow(row, "undecodable", f"the audio stops in the middle of frame {row * 7}") for row in (17, 2_048, 9_999)
    )
    partial = result(
        status="partial",
        exit_code=ExitCode.PARTIAL,
        rows_done=24_590,
        rows_failed=100,
        new_rows=24_590,
        errors=failed,
        message="100 rows failed; the request allows 0",
    )
    return view(RequestView(ADD, "add", plan=add_plan(), started=True, result=partial))


def failure_view() -> PullRequestView:
    """The Hub went away in the middle of one download; another succeeded; a pause would look the same."""
    failed = result(
        SECOND,
        status="failed",
        exit_code=ExitCode.FAILED,
        rows_done=9_400,
        rows_total=1_250_000,
        new_rows=9_400,
        audio_bytes=310_000_000,
        json_bytes=3_900_000,
        duration_s=85_500.0,
        elapsed_s=1_410.0,
        error="downloading data/train-00001-of-00003.parquet of acme/radio: the server answered 503 five times",
        fix="Wait until https://status.huggingface.co is green, then run it again.",
        reason="transient",
        previews=(),
    )
    return view(
        RequestView(ADD, "add", plan=add_plan(), started=True, result=result()),
        RequestView(SECOND, "add", plan=add_plan(SECOND, "acme/radio", 1_250_000), started=True, result=failed),
    )


def paused_view() -> PullRequestView:
    """The job's time was over; the next one continues."""
    paused = result(
        status="paused",
        exit_code=ExitCode.PAUSED,
        rows_done=12_000,
        new_rows=12_000,
        error="downloading acme/voices: the time of this job (20 h) is over",
        fix="The next job continues at row 12000.",
        reason="max_runtime",
        previews=(),
    )
    return view(RequestView(ADD, "add", plan=add_plan(), started=True, result=paused), continues=True)


def invalid_view() -> PullRequestView:
    """A request that nobody could run, beside one that runs."""
    return view(INVALID, RequestView(ADD, "add", plan=add_plan(), started=True, result=result()))


def forty_view() -> PullRequestView:
    """Forty requests with everything that can be said about each."""
    hostile = "@team " * 30 + "`" * 40 + "<img src=x>" * 20
    requests = []
    for number in range(40):
        path = f"requests/add/dataset_{number:02d}.yaml"
        failed = tuple(FailedRow(row, "undecodable", hostile) for row in range(30))
        requests.append(
            RequestView(
                path,
                "add",
                plan=add_plan(path, f"acme/dataset-{number:02d}", 1000 * (number + 1)),
                started=True,
                result=result(
                    path,
                    rows=1000 * (number + 1),
                    status="partial" if number % 4 == 3 else "complete",
                    exit_code=ExitCode.PARTIAL if number % 4 == 3 else ExitCode.DONE,
                    rows_failed=30 if number % 4 == 3 else 0,
                    errors=failed if number % 4 == 3 else (),
                ),
            )
        )
    return view(*requests)


def merge_refused_view() -> PullRequestView:
    """All is stored, but somebody pushed meanwhile."""
    return replace(
        success_view(),
        remark=f"Not merged: the pull request's head is no longer `{SHA[:7]}`, which was processed. "
        "The run for the new commit starts by itself.",
    )


GOLDEN = {
    "plan": plan_view,
    "progress": progress_view,
    "success": success_view,
    "partial": partial_view,
    "failure": failure_view,
    "paused": paused_view,
    "invalid": invalid_view,
    "forty": forty_view,
    "merge_refused": merge_refused_view,
    "publish": publish_view,
}
