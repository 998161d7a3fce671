"""The Hub's own rules for a dataset card's front matter: licences, languages, tasks, sizes; with suggestions.

Where the Hub's list is closed, a value that is not in it is an error, as it would be there. Where the list grows with
time, it is a warning. As of September 2026; the lists are those of the Hub's documentation and of its task pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hugflow.model.publish_spec import Card
from hugflow.text.printable import closest, shown


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LICENCES = _words(
    "afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 "
    "bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 "
    "cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 "
    "cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 "
    "cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 "
    "etalab-2.0 eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 "
    "grok2-community h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 "
    "llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openmdw-1.1 openrail "
    "openrail++ osl-3.0 other pddl postgresql unknown unlicense wtfpl zlib"
)
TASKS = _words(
    "any-to-any audio-classification audio-text-to-text audio-to-audio automatic-speech-recognition "
    "depth-estimation document-question-answering feature-extraction fill-mask graph-ml image-classification "
    "image-feature-extraction image-segmentation image-text-to-image image-text-to-text image-text-to-video "
    "image-to-3d image-to-image image-to-text image-to-video keypoint-detection mask-generation multiple-choice "
    "object-detection other question-answering reinforcement-learning robotics sentence-similarity summarization "
    "table-question-answering table-to-text tabular-classification tabular-regression tabular-to-text "
    "text-classification text-generation text-ranking text-retrieval text-to-3d text-to-audio text-to-image "
    "text-to-speech text-to-video time-series-forecasting token-classification translation "
    "unconditional-image-generation video-classification video-text-to-text video-to-video "
    "visual-document-retrieval visual-question-answering voice-activity-detection zero-shot-classification "
    "zero-shot-image-classification zero-shot-object-detection"
)
# ISO 639-1 is closed; of ISO 639-2 and 639-3 only the form is checked.
_TWO_LETTERS = _words(
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee "
    "el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is "
    "it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms "
    "mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si "
    "sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh "
    "yi yo za zh zu"
)
_SPECIAL = _words("code multilingual")
# What people write in place of a code, when it is not near it.
_LANGUAGE_NAMES = dict(
    pair.split(":")
    for pair in _words(
        "arabic:ar bengali:bn catalan:ca chinese:zh mandarin:zh cn:zh croatian:hr czech:cs cz:cs danish:da dk:da "
        "dutch:nl english:en eng:en estonian:et finnish:fi french:fr georgian:ka german:de deutsch:de ger:de greek:el "
        "gr:el hebrew:he hindi:hi hungarian:hu icelandic:is indonesian:id irish:ga italian:it japanese:ja jp:ja "
        "korean:ko latin:la latvian:lv lithuanian:lt malay:ms norwegian:no persian:fa farsi:fa polish:pl "
        "portuguese:pt romanian:ro russian:ru serbian:sr slovak:sk slovenian:sl spanish:es swahili:sw swedish:sv "
        "tamil:ta telugu:te thai:th turkish:tr ukrainian:uk ua:uk urdu:ur vietnamese:vi vn:vi welsh:cy"
    )
)
_SIZES = (
    ("n<1K", 10**3),
    ("1K<n<10K", 10**4),
    ("10K<n<100K", 10**5),
    ("100K<n<1M", 10**6),
    ("1M<n<10M", 10**7),
    ("10M<n<100M", 10**8),
    ("100M<n<1B", 10**9),
    ("1B<n<10B", 10**10),
    ("10B<n<100B", 10**11),
    ("100B<n<1T", 10**12),
)
_LARGEST = "n>1T"


@dataclass(frozen=True, slots=True)
class CardProblem:
    """A problem of a field of a card's front matter. `field` is its place in the request, such as `card.license`.

    `level` is "error" for what the Hub would refuse, "warning" for what it would take and perhaps not understand.
    """

    field: str
    message: str
    level: Literal["error", "warning"] = "error"


def check(card: Card, at: str = "card") -> tuple[CardProblem, ...]:
    """Check the fields of a request's `card` by the Hub's rules. `at` is their place in the request."""
    fields = card.model_dump(exclude_none=True)
    return tuple(CardProblem(f"{at}.{each.field}", each.message, each.level) for each in check_fields(fields))


def check_fields(fields: Mapping[str, Any]) -> Iterator[CardProblem]:
    """Check the fields of a card's front matter by the Hub's rules; they may be of any type."""
    for licence in _texts(fields.get("license")):
        yield from _licence(licence)
    if fields.get("license") == "other" and not fields.get("license_name"):
        message = "is missing; a licence that the Hub does not list needs a name of its own, like `acme-data-1.0`"
        yield CardProblem("license_name", message)
    for language in _texts(fields.get("language")):
        yield from _language(language)
    for task in _texts(fields.get("task_categories")):
        if task not in TASKS:
            yield CardProblem(
                "task_categories", f"{shown(task)} is no task that we know of{_meant(task, TASKS)}", "warning"
            )
    for size in _texts(fields.get("size_categories")):
        if size not in {*(name for name, _ in _SIZES), _LARGEST, "unknown"}:
            yield CardProblem("size_categories", f"{shown(size)} is none of the Hub's sizes, such as `1K<n<10K`")


def size_category(rows: int) -> str:
    """The Hub's word for a number of rows."""
    return next((name for name, limit in _SIZES if rows < limit), _LARGEST)


def _texts(value: Any) -> list[str]:
    """The values of a field with one or several. YAML reads the language `no` as false."""
    values = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return ["no" if each is False else str(each) for each in values]


def _licence(licence: str) -> Iterator[CardProblem]:
    if licence not in LICENCES:
        words = re.sub(r"\b(the|licen[cs]e|version)\b", " ", licence.casefold())
        plain = "-".join(re.sub(r"(?<=\D)v(?=\d)", " ", words).split())
        begun = sorted(
            (known for known in LICENCES if known.startswith(plain or " ")), key=lambda known: (len(known), known)
        )
        near = begun[0] if begun else closest(plain, LICENCES)
        meant = f"; did you mean {shown(near)}?" if near else "; write `other`, and its name as `license_name`"
        yield CardProblem("license", f"{shown(licence)} is no licence that the Hub lists{meant}")


def _language(language: str) -> Iterator[CardProblem]:
    if language in _TWO_LETTERS | _SPECIAL or re.fullmatch(r"[a-z]{3}", language):
        return
    first = re.split(r"[-_ ]", language.casefold())[0]
    near = first if first in _TWO_LETTERS else _LANGUAGE_NAMES.get(first)
    near = near or _LANGUAGE_NAMES.get(closest(first, _LANGUAGE_NAMES) or "")
    meant = f"; did you mean {shown(near)}?" if near else ""
    message = f"{shown(language)} is no code of a language: the Hub takes ISO 639 codes, like `en` or `yue`{meant}"
    yield CardProblem("language", message)


def _meant(name: str, names: frozenset[str]) -> str:
    near = closest(re.sub(r"[ _]+", "-", name.strip()), names)
    return f"; did you mean {shown(near)}?" if near else ""
