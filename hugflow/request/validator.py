"""Checks of a request against other requests, against the Hub, and against storage.

Pure: facts in, problems out, each at the line of the field that would have to change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations

from hugflow.card.hub_rules import check as check_card
from hugflow.model.plan import Column
from hugflow.model.specs import AddSpec, DatasetIdentity, PublishSpec, RemoveSpec
from hugflow.request.file import ParsedRequest, Problem
from hugflow.text.printable import closest, listed, printable, shown

DEFAULT_CONFIG = "default"
_JSON_ONLY = "`audio_column: null` for JSON only, without that audio"
MAX_MATCHES = 10


def conflicts(requests: Sequence[ParsedRequest]) -> list[Problem]:
    """Find requests for the same dataset: each such file gets a problem that names the others' lines."""
    problems = []
    for this, other in permutations(requests, 2):
        conflict = _conflict(this, other)
        if conflict:
            field, message = conflict
            where = f"{shown(other.path, 200)}, line {other.at(_id_field(other)).line}"
            problems.append(this.problem(field, message=message.format(other=where)))
    return sorted(problems)


def card_problems(requests: Iterable[ParsedRequest]) -> list[Problem]:
    """Find fields of publish requests' cards that the Hub would refuse, without asking it."""
    found = []
    for request in requests:
        if isinstance(request.spec, PublishSpec):
            errors = (problem for problem in check_card(request.spec.card) if problem.level == "error")
            found += [request.problem(*problem.field.split("."), message=problem.message) for problem in errors]
    return found


def check_repository(
    request: ParsedRequest, *, configs: Sequence[str], default_config: str | None, splits: Sequence[str] | None
) -> list[Problem]:
    """Check an add request's config and split against those of the repository at the resolved commit.

    `default_config` is the one that is taken without `subset`, where the repository says so. `splits` are those of
    the wanted config, None while it is unknown.
    """
    spec = _add(request)
    problems = list(_config_problems(request, spec, configs, default_config))
    if splits is not None and spec.split not in splits:
        of = f"the config {shown(spec.subset)}" if spec.subset else "the dataset"
        problems.append(request.problem("split", message=f"must be a split of {of}: {_choose(spec.split, splits)}"))
    return problems


def check_columns(request: ParsedRequest, columns: Sequence[Column]) -> list[Problem]:
    """Check the columns that an add request names, or would take by default, against those of the split."""
    spec = _add(request)
    return [*_audio_problems(request, spec, columns), *_text_problems(request, spec, columns)]


def matching(
    request: ParsedRequest, identities: Iterable[DatasetIdentity], removed: Iterable[tuple[DatasetIdentity, str]]
) -> DatasetIdentity | Problem:
    """Return the one dataset that a remove request selects, or the problem that it selects none or several.

    `removed` has removed datasets with the day; it is read only where nothing matches.
    """
    spec = request.spec
    assert isinstance(spec, RemoveSpec)
    held = sorted(identities, key=lambda identity: identity.name)
    matches = [identity for identity in held if spec.matches(identity)]
    if len(matches) == 1:
        return matches[0]
    return request.problem("hf_id", message=_several(matches) if matches else _none(spec, held, removed))


# -- requests against each other -------------------------------------------------------------------------------------


def _conflict(this: ParsedRequest, other: ParsedRequest) -> tuple[str, str] | None:
    """The reason why two requests exclude each other: the field of `this`, and the sentence with `{other}` in it."""
    one, two = this.spec, other.spec
    field = _id_field(this)
    if isinstance(one, AddSpec) and isinstance(two, AddSpec) and _same_dataset(one, two):
        return field, "must be requested once: {other} adds the same dataset; keep one of them"
    if isinstance(one, AddSpec) and isinstance(two, RemoveSpec) and _removes(two, one):
        return field, "must not be added and removed at once: {other} removes it; keep one of them"
    if isinstance(one, RemoveSpec) and isinstance(two, AddSpec) and _removes(one, two):
        return field, "must not be added and removed at once: {other} adds it; keep one of them"
    if isinstance(one, RemoveSpec) and isinstance(two, RemoveSpec) and _overlap(one, two):
        return field, "must be removed once: {other} means the same dataset; keep one, or narrow both"
    if isinstance(one, PublishSpec) and isinstance(two, PublishSpec) and _same_target(one, two):
        return (
            field,
            "must be published once: {other} writes the same config and branch; put the tables into one request",
        )
    if isinstance(one, PublishSpec) and isinstance(two, RemoveSpec) and _deletes(two, one):
        return field, "must not be published and deleted at once: {other} deletes a config that this writes"
    if isinstance(one, RemoveSpec) and isinstance(two, PublishSpec) and _deletes(one, two):
        return field, "must not be published and deleted at once: {other} writes this config"
    return None


def _id_field(request: ParsedRequest) -> str:
    return "repo_id" if isinstance(request.spec, PublishSpec) else "hf_id"


def _same_id(one: str, two: str) -> bool:
    """Compare ids as the Hub does, which ignores case."""
    return one.casefold() == two.casefold()


def _same_dataset(one: AddSpec, two: AddSpec) -> bool:
    same = (one.subset, one.split, one.revision) == (two.subset, two.split, two.revision)
    return same and _same_id(one.hf_id, two.hf_id)


def _removes(remove: RemoveSpec, add: AddSpec) -> bool:
    return remove.target == "storage" and remove.matches(DatasetIdentity.of(add))


def _overlap(one: RemoveSpec, two: RemoveSpec) -> bool:
    """Return True if there can be a dataset, or a config on the Hub, that both select."""
    if one.target != two.target or not _same_id(one.hf_id, two.hf_id):
        return False
    if one.target == "hub":
        return (one.subset, one.revision or "main") == (two.subset, two.revision or "main")
    narrowings = ((one.subset, two.subset), (one.split, two.split), (one.revision, two.revision))
    return all(mine is None or theirs is None or mine == theirs for mine, theirs in narrowings)


def _same_target(one: PublishSpec, two: PublishSpec) -> bool:
    same = one.revision == two.revision and _same_id(one.repo_id, two.repo_id)
    return same and bool(set(one.config_names) & set(two.config_names))


def _deletes(remove: RemoveSpec, publish: PublishSpec) -> bool:
    same = remove.target == "hub" and _same_id(remove.hf_id, publish.repo_id)
    return same and (remove.revision or "main") == publish.revision and remove.subset in publish.config_names


# -- an add request against the Hub ----------------------------------------------------------------------------------


def _add(request: ParsedRequest) -> AddSpec:
    assert isinstance(request.spec, AddSpec)
    return request.spec


def _config_problems(
    request: ParsedRequest, spec: AddSpec, configs: Sequence[str], default_config: str | None
) -> Iterator[Problem]:
    if spec.subset is not None and spec.subset not in configs:
        if list(configs) in ([], [DEFAULT_CONFIG]):
            message = "must be left out: the dataset has no configs"
        else:
            message = f"must be a config of the dataset: {_choose(spec.subset, configs)}"
        yield request.problem("subset", message=message)
    elif spec.subset is None and default_config is None and len(configs) > 1 and DEFAULT_CONFIG not in configs:
        yield request.problem("subset", message=f"is missing; the dataset has several configs: {_one_of(configs)}")


def _audio_problems(request: ParsedRequest, spec: AddSpec, columns: Sequence[Column]) -> Iterator[Problem]:
    if spec.audio_column is None:
        return
    audio = [column.name for column in columns if column.kind == "audio"]
    nested = [path for column in columns for path in column.nested_audio]
    column = next((column for column in columns if column.name == spec.audio_column), None)
    if column is None and spec.names("audio_column"):
        yield request.problem("audio_column", message=_missing_column(spec.audio_column, columns, audio, "audio"))
    elif column is None and audio:
        line = f"`audio_column: {audio[0]}`" if len(audio) == 1 else f"`audio_column` with one of {listed(audio)}"
        message = f"is missing; the split has audio, but no column `audio`: add {line}, or {_JSON_ONLY}"
        yield request.problem("audio_column", message=message)
    elif column is None and nested:
        message = f"is missing; the split has audio, but only inside of lists or structs ({listed(nested)}), of which "
        yield request.problem("audio_column", message=f"{message}no MP3 files are made: add {_JSON_ONLY}")
    elif column is not None and column.nested_audio and column.kind != "audio":
        message = f"must be a column of audio; {shown(column.name)} has audio inside of lists or structs "
        message += f"({listed(column.nested_audio)}), of which no MP3 files are made: write {_JSON_ONLY}"
        yield request.problem("audio_column", message=message)
    elif column is not None and column.kind == "image":
        yield request.problem("audio_column", message=f"must be a column of audio; {shown(column.name)} has images")


def _text_problems(request: ParsedRequest, spec: AddSpec, columns: Sequence[Column]) -> Iterator[Problem]:
    if spec.names("text_column") and spec.text_column not in {column.name for column in columns}:
        text = [column.name for column in columns if column.kind == "text"]
        yield request.problem("text_column", message=_missing_column(spec.text_column, columns, text, "text"))


def _missing_column(name: str, columns: Sequence[Column], fitting: Sequence[str], kind: str) -> str:
    """The message for a column that does not exist in the split."""
    near = closest(name, fitting)
    advice = f"did you mean {shown(near)}?" if near else f"those with {kind} are {listed(fitting) or 'none'}."
    every = listed(column.name for column in columns) or "none"
    return f"must be a column of the split, and {shown(name)} is not; {advice} All columns: {every}"


def _choose(name: str, names: Sequence[str]) -> str:
    near = closest(name, names)
    return _one_of(names) + (f"; did you mean {shown(near)}?" if near else f"; found {shown(name)}")


def _one_of(names: Sequence[str]) -> str:
    return f"one of {listed(names)}" if len(names) > 1 else listed(names) or "there are none"


# -- a remove request against storage --------------------------------------------------------------------------------


def _several(matches: Sequence[DatasetIdentity]) -> str:
    fields = [
        field for field in ("subset", "split", "revision") if len({getattr(match, field) for match in matches}) > 1
    ]
    narrow = " and ".join(f"`{field}`" for field in fields)
    return f"must select one dataset, but {len(matches)} match; narrow it with {narrow}: {_identities(matches)}"


def _none(spec: RemoveSpec, held: Sequence[DatasetIdentity], removed: Iterable[tuple[DatasetIdentity, str]]) -> str:
    days = [day for identity, day in removed if spec.matches(identity)]
    if days:
        return f"must be a dataset in storage; this one was removed on {max(days)}"
    of_repository = [identity for identity in held if _same_id(identity.hf_id, spec.hf_id)]
    if of_repository:
        return f"must be a dataset in storage; stored datasets of this repository: {_identities(of_repository)}"
    near = closest(spec.hf_id, {identity.hf_id for identity in held})
    others = listed(sorted({identity.hf_id for identity in held}))
    if near:
        return f"must be a dataset in storage; did you mean {shown(near, 200)}?"
    return "must be a dataset in storage; " + (f"it holds {others}" if others else "it holds none")


def _identities(identities: Sequence[DatasetIdentity]) -> str:
    """The datasets as the fields with which a request selects them."""
    text = "; ".join(
        ", ".join(f"{key}: {printable(value)}" for key, value in identity.model_dump(exclude_none=True).items())
        for identity in identities[:MAX_MATCHES]
    )
    more = len(identities) - MAX_MATCHES
    return text + (f"; and {more} more" if more > 0 else "")
