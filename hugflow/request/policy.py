"""A team's policy for pull requests: `hugflow.yaml`, read from the default branch only, never from a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from hugflow.model.errors import UsageError
from hugflow.model.plan import AddPlan, Finding, Plan, PublishPlan, RemovePlan
from hugflow.model.specs import AddSpec, PublishSpec, Spec
from hugflow.request.file import ParsedRequest, Problem
from hugflow.request.yaml_tree import Fault, Group, Loc, Position, find, read
from hugflow.request.yaml_values import value
from hugflow.text.printable import closest, listed, printable, shown

FILE = "hugflow.yaml"
_GB = 1_000_000_000

Name = Annotated[StrictStr, Field(min_length=1, max_length=100)]
Names = Annotated[tuple[Name, ...], Field(max_length=1000)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class Datasets(_Section):
    """Rules for the datasets that may be added."""

    organisations: Names | None = None
    """Whose datasets may be added; everybody's when left out."""
    licences: Names | None = None
    """The licences that a dataset may have, as the Hub names them; any, or none at all, when left out."""
    private: StrictBool = True
    """Whether private repositories may be added."""
    gated: StrictBool = True
    """Whether gated repositories may be added."""
    max_rows: Annotated[StrictInt, Field(ge=1)] | None = None
    """The most rows that one dataset may have."""
    max_gb: Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)] | None = None
    """The most gigabytes that one dataset may download, and that its rows may take in storage."""


class PullRequestRules(_Section):
    """Rules for a pull request as a whole."""

    max_requests: Annotated[StrictInt, Field(ge=1)] = 100
    """The most requests that one pull request may have."""
    auto_merge: StrictBool | None = None
    """Whether a pull request whose requests all succeeded is merged; decided by AUTO_MERGE when left out."""


class Removals(_Section):
    """Rules for the approval of removals."""

    approvals: Annotated[StrictInt, Field(ge=0, le=10)] = 0
    """How many people have to approve; with 0 the request with its reason is enough."""
    approvers: Names = ()
    """Who may approve, by their names on GitHub; everybody with write access when left out."""


class Publishing(_Section):
    """Rules for the repositories that requests may publish to."""

    organisations: Names | None = None
    """The organisations and people whose repositories may be written; all that the token can write when left out."""
    private_only: StrictBool = False
    """Whether only private repositories may be made and written."""


class Policy(_Section):
    """All of `hugflow.yaml`. An empty or missing file allows everything and requires no approvals."""

    datasets: Datasets = Datasets()
    pull_requests: PullRequestRules = PullRequestRules()
    removals: Removals = Removals()
    publishing: Publishing = Publishing()


class InvalidPolicy(UsageError):
    """An invalid `hugflow.yaml`; the message and `faults` have every problem, each with its line and column."""

    default_reason = "invalid_policy"

    def __init__(self, name: str, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: fault.at))
        lines = ["there are problems", *(_line(name, fault) for fault in self.faults)]
        super().__init__("reading the policy", "\n  ".join(lines), "See docs/policy.md.")


def parse(data: bytes | None, name: str = FILE) -> Policy:
    """Parse the policy file; None means that there is none. Raises `InvalidPolicy` with all problems."""
    if data is None or _is_blank(data):
        return Policy()
    document = read(data, example="datasets:")
    faults = list(document.faults)
    policy = Policy()
    if document.root is not None:
        try:
            policy = Policy.model_validate(value(document.root))
        except ValidationError as error:
            faults += _explained(document.root, error)
    if faults:
        raise InvalidPolicy(name, faults)
    return policy


def check(plan: Plan, policy: Policy) -> tuple[Finding, ...]:
    """Apply the policy to a plan: errors refuse it, an approval makes it wait for people."""
    if isinstance(plan, AddPlan):
        return tuple(_check_add(plan, policy.datasets))
    if isinstance(plan, RemovePlan):
        return (*_check_hub_removal(plan, policy.publishing), *_check_remove(policy.removals))
    return tuple(_check_publish(plan, policy.publishing))


def check_spec(spec: Spec, policy: Policy) -> tuple[Finding, ...]:
    """Errors of a request that the policy refuses by its text alone, before the Hub is contacted."""
    if isinstance(spec, AddSpec):
        return tuple(_check_organisation(spec.hf_id, policy.datasets))
    if isinstance(spec, PublishSpec):
        return tuple(_check_target(spec.repo_id, policy.publishing))
    return tuple(_check_target(spec.hf_id, policy.publishing)) if spec.target == "hub" else ()


def policy_problems(requests: Iterable[ParsedRequest], policy: Policy) -> list[Problem]:
    """Apply the policy to the text of requests alone; problems point at the lines that name a repository."""
    return [
        request.problem("repo_id" if request.kind == "publish" else "hf_id", message=finding.message)
        for request in requests
        for finding in check_spec(request.spec, policy)
    ]


def with_limits(plan: Plan, policy: Policy) -> Plan:
    """The plan with the limits that can only be checked while its rows are read."""
    if not isinstance(plan, AddPlan):
        return plan
    rules = policy.datasets
    stored = None if rules.max_gb is None else int(rules.max_gb * _GB)
    return plan.model_copy(update={"max_rows": rules.max_rows, "max_stored_bytes": stored})


def too_many_requests(number: int, policy: Policy) -> Finding | None:
    """The error for more requests in one pull request than the policy allows."""
    limit = policy.pull_requests.max_requests
    if number <= limit:
        return None
    return Finding(
        level="error", message=f"the policy allows {limit} requests in a pull request; this one has {number}"
    )


def approvals_missing(policy: Policy, given: int) -> int:
    """Number of approvals that a removal still needs."""
    return max(0, policy.removals.approvals - given)


def auto_merge(policy: Policy, setting: bool) -> bool:
    """Decide on automatic merging: by the policy, else by `AUTO_MERGE`."""
    return setting if policy.pull_requests.auto_merge is None else policy.pull_requests.auto_merge


def _check_add(plan: AddPlan, rules: Datasets) -> Iterator[Finding]:
    yield from _check_organisation(plan.spec.hf_id, rules)
    if rules.licences is not None and not _among(plan.facts.licence or "", rules.licences):
        found = shown(plan.facts.licence) if plan.facts.licence else "none named"
        yield _error(f"the policy allows the licences {_named(rules.licences)}; this dataset has {found}")
    if plan.facts.private and not rules.private:
        yield _error("the policy allows no private repositories")
    if plan.facts.gated and not rules.gated:
        yield _error("the policy allows no gated repositories")
    if rules.max_rows is not None and plan.download.rows > rules.max_rows:
        yield _error(f"the policy allows {rules.max_rows:,} rows; this dataset has {plan.download.rows:,}")
    if rules.max_gb is not None and plan.download.size_bytes > rules.max_gb * _GB:
        download = plan.download.size_bytes / _GB
        yield _error(f"the policy allows {rules.max_gb:g} GB; this dataset has {download:.1f} GB to download")


def _check_organisation(hf_id: str, rules: Datasets) -> Iterator[Finding]:
    organisation = hf_id.partition("/")[0]
    if rules.organisations is not None and not _among(organisation, rules.organisations):
        yield _error(f"the policy allows datasets of {_named(rules.organisations)}, not of {shown(organisation)}")


def _check_remove(rules: Removals) -> Iterator[Finding]:
    if rules.approvals:
        who = listed(rules.approvers) if rules.approvers else "people with write access"
        number = "one approval" if rules.approvals == 1 else f"{rules.approvals} approvals"
        yield Finding(level="approval", message=f"the policy asks for {number} of {who} before anything is removed")


def _check_hub_removal(plan: RemovePlan, rules: Publishing) -> Iterator[Finding]:
    """Deleting a config on the Hub writes to its repository."""
    if plan.spec.target == "hub":
        yield from _check_target(plan.spec.hf_id, rules)


def _check_publish(plan: PublishPlan, rules: Publishing) -> Iterator[Finding]:
    yield from _check_target(plan.repo_id, rules)
    if rules.private_only and not plan.private:
        why = "set `private: true`" if plan.action == "create" else "this one is public"
        yield _error(f"the policy allows private repositories only; {why}")


def _check_target(repo_id: str, rules: Publishing) -> Iterator[Finding]:
    organisation = repo_id.partition("/")[0]
    if rules.organisations is not None and not _among(organisation, rules.organisations):
        yield _error(f"the policy allows publishing to {_named(rules.organisations)}, not to {shown(organisation)}")


def _error(message: str) -> Finding:
    return Finding(level="error", message=message)


def _named(names: tuple[str, ...]) -> str:
    return listed(names) or "(none)"


def _among(name: str, names: tuple[str, ...]) -> bool:
    """The Hub tells names apart by their letters, not by their case; `*` means all."""
    return "*" in names or name.casefold() in {each.casefold() for each in names}


def _is_blank(data: bytes) -> bool:
    return all(not line.strip() or line.lstrip().startswith(b"#") for line in data.splitlines())


def _explained(root: Group, error: ValidationError) -> Iterator[Fault]:
    for details in error.errors(include_url=False):
        loc: Loc = details["loc"]
        if details["type"] == "extra_forbidden":
            yield Fault(_key(root, loc), loc, _unknown(loc))
        else:
            yield Fault(_near(root, loc), loc, _sentence(details["type"], details.get("ctx", {})))


def _sentence(kind: str, context: dict[str, Any]) -> str:
    sentences = {
        "bool_type": "must be `true` or `false`",
        "int_type": "must be a whole number",
        "float_type": "must be a number",
        "string_type": "must be text; quote it",
        "tuple_type": "must be a list, like `[one, two]`",
        "model_type": "must be fields, each on a line of its own, indented",
        "greater_than": "must be more than {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than_equal": "must be at most {le}",
        "string_too_short": "must not be empty",
    }
    return sentences.get(kind, "is not a valid value of this field").format(**context)


def _unknown(loc: Loc) -> str:
    fields = _fields_at(loc[:-1])
    near = closest(str(loc[-1]), fields)
    return f"there is no such field; did you mean {shown(near)}?" if near else f"the fields here are {listed(fields)}"


def _fields_at(loc: Loc) -> list[str]:
    if not loc:
        return list(Policy.model_fields)
    section = Policy.model_fields[str(loc[0])].annotation
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []


def _key(root: Group, loc: Loc) -> Position:
    parent = find(root, loc[:-1])
    assert isinstance(parent, Group)
    return parent.keys[str(loc[-1])]


def _near(root: Group, loc: Loc) -> Position:
    while (node := find(root, loc)) is None:
        loc = loc[:-1]
    return node.at


def sentence(fault: Fault) -> str:
    """A problem with its field: `datasets.gated: must be ...`."""
    field = ".".join(str(step) for step in fault.loc)
    return printable(f"{field}: {fault.message}" if field else fault.message)


def _line(name: str, fault: Fault) -> str:
    return f"{name}:{fault.at.line}:{fault.at.column}: {sentence(fault)}"
