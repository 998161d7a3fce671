"""Requests against each other, the Hub's facts and storage: the file, the line and the message."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hugflow.model.plan import Column
from hugflow.model.specs import DatasetIdentity
from hugflow.request.file import ParsedRequest, Problem, parse
from hugflow.request.validator import card_problems, check_columns, check_repository, conflicts, matching


def request(name: str, **fields: str) -> ParsedRequest:
    """A request in a file `requests/KIND/LETTER.yaml`, its id on the second line."""
    kind, _, _ = name.partition("/")
    required = {"add": "description", "remove": "reason", "publish": "description"}[kind]
    lines = [f"{required}: Because"] + [f"{field}: {value}" for field, value in fields.items()]
    return parse("\n".join(lines).encode(), f"requests/{name}.yaml", None)


def shown(problems: Sequence[Problem]) -> list[str]:
    return [str(problem).removeprefix("requests/") for problem in problems]


# -- cards ---------------------------------------------------------------------------------------------------------


def test_what_the_hub_would_refuse_of_a_card() -> None:
    card = "{license: apache2, language: [en, english], task_categories: [no-such-task]}"
    wrong = request("publish/a", repo_id="acme/x", path="a.csv", card=card)
    right = request("publish/b", repo_id="acme/y", path="a.csv", card="{license: mit, language: [en]}")
    found = card_problems([wrong, right, request("add/a", hf_id="acme/x")])
    assert [(problem.path, problem.line, problem.field) for problem in found] == [
        ("requests/publish/a.yaml", 4, "card.license"),
        ("requests/publish/a.yaml", 4, "card.language"),
    ]
    assert "`apache-2.0`" in found[0].message


# -- requests against each other -------------------------------------------------------------------------------------


def test_the_same_dataset_twice_is_a_problem_of_both_files() -> None:
    pair = [request("add/a", hf_id="acme/speech"), request("add/b", hf_id="acme/speech", split="train")]
    assert shown(conflicts(pair)) == [
        (
            "add/a.yaml:2:8: hf_id: must be requested once: `requests/add/b.yaml`, line 2 adds the same dataset; "
            "keep one of them"
        ),
        (
            "add/b.yaml:2:8: hf_id: must be requested once: `requests/add/a.yaml`, line 2 adds the same dataset; "
            "keep one of them"
        ),
    ]


def test_an_add_and_a_remove_of_one_dataset_is_a_problem_of_both_files() -> None:
    pair = [request("remove/a", hf_id="acme/speech"), request("add/b", hf_id="acme/speech")]
    assert shown(conflicts(pair)) == [
        (
            "add/b.yaml:2:8: hf_id: must not be added and removed at once: "
            "`requests/remove/a.yaml`, line 2 removes it; keep one of them"
        ),
        (
            "remove/a.yaml:2:8: hf_id: must not be added and removed at once: `requests/add/b.yaml`, line 2 adds it; "
            "keep one of them"
        ),
    ]


def test_three_of_one_kind_name_each_other() -> None:
    three = [request(f"add/{letter}", hf_id="acme/speech") for letter in "abc"]
    assert [(problem.path[-6], "b.yaml" in problem.message) for problem in conflicts(three)] == [
        ("a", True),
        ("a", False),
        ("b", False),
        ("b", False),
        ("c", False),
        ("c", True),
    ]


@pytest.mark.parametrize(
    "pair",
    [
        [request("add/a", hf_id="acme/speech"), request("add/b", hf_id="Acme/Speech")],
        [request("remove/a", hf_id="acme/speech"), request("remove/b", hf_id="acme/speech", split="train")],
        [
            request("remove/a", hf_id="acme/speech", subset="en"),
            request("remove/b", hf_id="acme/speech", split="train"),
        ],
        [
            request("remove/a", hf_id="acme/x", subset="en", target="hub"),
            request("remove/b", hf_id="acme/x", subset="en", target="hub", revision="main"),
        ],
        [request("publish/a", repo_id="acme/x", path="a"), request("publish/b", repo_id="acme/x", path="b")],
        [
            request("publish/a", repo_id="acme/x", path="a", config_name="en"),
            request("remove/b", hf_id="acme/x", subset="en", target="hub"),
        ],
        [
            request("publish/a", repo_id="acme/x", tables="[{name: en, path: a}, {name: fr, path: b}]"),
            request("publish/b", repo_id="acme/x", tables="[{name: fr, path: b}]"),
        ],
    ],
)
def test_requests_that_cannot_stand_side_by_side(pair: list[ParsedRequest]) -> None:
    problems = conflicts(pair)
    assert [problem.path for problem in problems] == sorted(one.path for one in pair)
    assert all(problem.line == 2 for problem in problems)
    assert conflicts(pair[::-1]) == problems


@pytest.mark.parametrize(
    "pair",
    [
        [request("add/a", hf_id="acme/speech"), request("add/b", hf_id="acme/speech", split="test")],
        [request("add/a", hf_id="acme/speech"), request("add/b", hf_id="acme/speech", subset="en")],
        [request("add/a", hf_id="acme/speech"), request("add/b", hf_id="acme/speech", revision="v1")],
        [request("add/a", hf_id="acme/speech"), request("remove/b", hf_id="acme/speech", revision="v1")],
        [
            request("add/a", hf_id="acme/x", subset="en"),
            request("remove/b", hf_id="acme/x", subset="en", target="hub"),
        ],
        [
            request("remove/a", hf_id="acme/x", split="train"),
            request("remove/b", hf_id="acme/x", split="test"),
        ],
        [
            request("remove/a", hf_id="acme/x", subset="en"),
            request("remove/b", hf_id="acme/x", subset="en", target="hub"),
        ],
        [
            request("remove/a", hf_id="acme/x", subset="en", target="hub"),
            request("remove/b", hf_id="acme/x", subset="en", target="hub", revision="dev"),
        ],
        [
            request("publish/a", repo_id="acme/x", path="a", config_name="en"),
            request("publish/b", repo_id="acme/x", path="b", config_name="fr"),
        ],
        [
            request("publish/a", repo_id="acme/x", path="a"),
            request("publish/b", repo_id="acme/x", path="b", revision="dev"),
        ],
        [
            request("publish/a", repo_id="acme/x", path="a", config_name="en"),
            request("remove/b", hf_id="acme/x", subset="fr", target="hub"),
        ],
        [request("add/a", hf_id="acme/x"), request("publish/b", repo_id="acme/x", path="a")],
    ],
)
def test_requests_that_can_stand_side_by_side(pair: list[ParsedRequest]) -> None:
    assert conflicts(pair) == []


# -- an add request against the Hub ----------------------------------------------------------------------------------


def check(
    fields: dict[str, str], configs: list[str], splits: list[str] | None, default: str | None = None
) -> list[str]:
    add = request("add/a", hf_id="acme/speech", **fields)
    return shown(check_repository(add, configs=configs, default_config=default, splits=splits))


def test_right_configs_and_splits() -> None:
    assert check({}, ["default"], ["train", "test"]) == []
    assert check({}, ["en"], ["train"]) == []
    assert check({}, ["default", "en"], ["train"]) == []
    assert check({}, ["en", "fr"], None, default="fr") == []
    assert check({"subset": "fr", "split": "test"}, ["en", "fr"], ["train", "test"]) == []


def test_a_wrong_config_lists_the_right_ones() -> None:
    assert check({"subset": "English"}, ["en", "fr"], None) == [
        "add/a.yaml:3:9: subset: must be a config of the dataset: one of `en`, `fr`; found `English`"
    ]
    assert check({"subset": "english"}, ["English", "French"], None) == [
        "add/a.yaml:3:9: subset: must be a config of the dataset: one of `English`, `French`; did you mean `English`?"
    ]


def test_a_config_where_there_is_none() -> None:
    wrong = ["add/a.yaml:3:9: subset: must be left out: the dataset has no configs"]
    assert check({"subset": "en"}, ["default"], None) == wrong
    assert check({"subset": "en"}, [], None) == wrong


def test_a_config_that_is_missing() -> None:
    assert check({}, ["en", "fr"], None) == [
        "add/a.yaml:1:1: subset: is missing; the dataset has several configs: one of `en`, `fr`"
    ]


def test_a_wrong_split_lists_the_right_ones() -> None:
    assert check({"split": "valid"}, ["default"], ["train", "validation"]) == [
        (
            "add/a.yaml:3:8: split: must be a split of the dataset: one of `train`, `validation`; "
            "did you mean `validation`?"
        )
    ]
    assert check({"subset": "en"}, ["en", "fr"], ["test"]) == [
        "add/a.yaml:1:1: split: must be a split of the config `en`: `test`; found `train`"
    ]
    assert check({}, ["default"], []) == [
        "add/a.yaml:1:1: split: must be a split of the dataset: there are none; found `train`"
    ]


def test_a_wrong_config_and_a_wrong_split_are_told_at_once() -> None:
    assert len(check({"subset": "de", "split": "dev"}, ["en", "fr"], ["train"])) == 2


def test_names_from_the_hub_are_harmless_and_not_endless() -> None:
    (message,) = check({"split": "x"}, ["default"], ["\x1b[31m", *(f"part{number}" for number in range(40))])
    assert "`\\x1b[31m`" in message
    assert message.endswith("and 21 more; found `x`")


COLUMNS = [
    Column(name="speech", kind="audio", type="Audio"),
    Column(name="noise", kind="audio", type="Audio"),
    Column(name="sentence", kind="text", type="string"),
    Column(name="speaker", kind="value", type="int64"),
    Column(name="portrait", kind="image", type="Image"),
]
ALL = "All columns: `speech`, `noise`, `sentence`, `speaker`, `portrait`"


def columns(fields: dict[str, str], *, among: list[Column]) -> list[str]:
    return shown(check_columns(request("add/a", hf_id="acme/speech", **fields), among))


def test_right_columns() -> None:
    assert columns({"audio_column": "speech", "text_column": "sentence"}, among=COLUMNS) == []
    assert columns({"audio_column": "sentence"}, among=COLUMNS) == []  # paths of audio files, as CSV has them
    assert columns({"audio_column": "speaker"}, among=COLUMNS) == []  # raw bytes or a struct
    assert columns({}, among=[Column(name="audio", kind="audio", type="Audio")]) == []


def test_a_dataset_without_audio_needs_no_audio_column() -> None:
    assert columns({}, among=COLUMNS[2:]) == []


def test_a_named_audio_column_that_is_missing() -> None:
    assert columns({"audio_column": "speach"}, among=COLUMNS) == [
        (
            "add/a.yaml:3:15: audio_column: must be a column of the split, and `speach` is not; "
            f"did you mean `speech`? {ALL}"
        )
    ]
    assert columns({"audio_column": "wav"}, among=COLUMNS) == [
        (
            "add/a.yaml:3:15: audio_column: must be a column of the split, and `wav` is not; "
            f"those with audio are `speech`, `noise`. {ALL}"
        )
    ]
    assert columns({"audio_column": "audio"}, among=COLUMNS[3:]) == [
        (
            "add/a.yaml:3:15: audio_column: must be a column of the split, and `audio` is not; "
            "those with audio are none. All columns: `speaker`, `portrait`"
        )
    ]


def test_the_default_audio_column_is_missing_though_there_is_audio() -> None:
    assert columns({}, among=COLUMNS[1:]) == [
        (
            "add/a.yaml:1:1: audio_column: is missing; the split has audio, but no column `audio`: "
            "add `audio_column: noise`, or `audio_column: null` for JSON only, without that audio"
        )
    ]
    assert columns({}, among=COLUMNS) == [
        (
            "add/a.yaml:1:1: audio_column: is missing; the split has audio, but no column `audio`: "
            "add `audio_column` with one of `speech`, `noise`, "
            "or `audio_column: null` for JSON only, without that audio"
        )
    ]


NESTED = [
    Column(name="audio", kind="value", type="list<struct>", nested_audio=("audio",)),
    Column(name="turn", kind="value", type="struct", nested_audio=("turn.user.sound", "turn.replies")),
    Column(name="text", kind="text", type="string"),
]


def test_audio_inside_of_lists_and_structs_is_no_audio_column() -> None:
    assert columns({}, among=NESTED[1:]) == [
        (
            "add/a.yaml:1:1: audio_column: is missing; the split has audio, but only inside of lists or structs "
            "(`turn.user.sound`, `turn.replies`), of which no MP3 files are made: "
            "add `audio_column: null` for JSON only, without that audio"
        )
    ]
    of_lists = (
        "must be a column of audio; `audio` has audio inside of lists or structs (`audio`), of which no MP3 files "
        "are made: write `audio_column: null` for JSON only, without that audio"
    )
    assert columns({}, among=NESTED) == [f"add/a.yaml:1:1: audio_column: {of_lists}"]
    assert columns({"audio_column": "audio"}, among=NESTED) == [f"add/a.yaml:3:15: audio_column: {of_lists}"]


@pytest.mark.parametrize("among", [NESTED, COLUMNS, COLUMNS[2:]])
def test_null_asks_for_json_only(among: list[Column]) -> None:
    assert shown(check_columns(request("add/a", hf_id="acme/speech", audio_column="null"), among)) == []


def test_images_are_no_audio() -> None:
    assert columns({"audio_column": "portrait"}, among=COLUMNS) == [
        "add/a.yaml:3:15: audio_column: must be a column of audio; `portrait` has images"
    ]


def test_a_named_text_column_that_is_missing() -> None:
    named = {"audio_column": "speech", "text_column": "sentense"}
    assert columns(named, among=COLUMNS) == [
        (
            "add/a.yaml:4:14: text_column: must be a column of the split, and `sentense` is not; "
            f"did you mean `sentence`? {ALL}"
        )
    ]


# -- a remove request against storage --------------------------------------------------------------------------------

HELD = [
    DatasetIdentity(hf_id="acme/speech", subset=subset, split=split, revision="main")
    for subset in ("en", "fr")
    for split in ("train", "test")
] + [DatasetIdentity(hf_id="acme/other", subset=None, split="train", revision="v1")]


def match(held: list[DatasetIdentity] = HELD, **fields: str) -> DatasetIdentity | str:
    found = matching(request("remove/a", **fields), held, ())
    return str(found).removeprefix("requests/") if isinstance(found, Problem) else found


def test_the_one_dataset_that_is_meant() -> None:
    assert match(hf_id="acme/other") == HELD[-1]
    assert match(hf_id="acme/speech", subset="fr", split="test") == HELD[3]


def test_several_matches_are_listed_with_what_tells_them_apart() -> None:
    assert match(hf_id="acme/speech", subset="en") == (
        "remove/a.yaml:2:8: hf_id: must select one dataset, but 2 match; narrow it with `split`: "
        "hf_id: acme/speech, subset: en, split: test, revision: main; "
        "hf_id: acme/speech, subset: en, split: train, revision: main"
    )
    assert "narrow it with `subset` and `split`" in str(match(hf_id="acme/speech"))


def test_no_match_lists_what_there_is_of_the_repository() -> None:
    assert match(hf_id="acme/other", revision="v2") == (
        "remove/a.yaml:2:8: hf_id: must be a dataset in storage; stored datasets of this repository: "
        "hf_id: acme/other, split: train, revision: v1"
    )
    assert "stored datasets of this repository: hf_id: acme/other" in str(match(hf_id="Acme/Other"))


def test_no_match_suggests_another_repository() -> None:
    assert str(match(hf_id="acme/speach")).endswith("did you mean `acme/speech`?")
    assert str(match(hf_id="q/zzzz")).endswith("it holds `acme/other`, `acme/speech`")
    assert str(match([], hf_id="acme/speech")).endswith("must be a dataset in storage; it holds none")


def test_a_long_list_of_matches_is_cut() -> None:
    many = [DatasetIdentity(hf_id="a/b", subset=None, split=f"s{n}", revision="main") for n in range(12)]
    assert str(match(many, hf_id="a/b")).endswith("; and 2 more")
