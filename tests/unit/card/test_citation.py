"""Citations in the text of cards."""

from __future__ import annotations

import pytest

from hugflow.card.citation import citation_of

BIBTEX = "@misc{acme,\n  title = {Speech}\n}"


@pytest.mark.parametrize(
    ("card", "citation"),
    [
        (f"# x\n\n## Citation\n\n```bibtex\n{BIBTEX}\n```\n\n## Else\n\ntext\n", BIBTEX),
        (f"---\nlicense: mit\n---\n### Citation Information\n\n```\n{BIBTEX}\n```\n", BIBTEX),
        ("## How to cite\r\n\r\nAcme (2024).\r\nSpeech.\r\n\r\n## Else\r\n", "Acme (2024).\nSpeech."),
        (f"# x\n\nwords\n\n~~~bibtex\n{BIBTEX}\n~~~\n", BIBTEX),
        (f"## Citation\n\n[More Information Needed]\n\n## Papers\n\n```\n{BIBTEX}\n```\n", BIBTEX),
        ("## Citation\n\n```\n# no heading\n@a{b}\n```\n", "# no heading\n@a{b}"),
        ("## Citation\n\n[More Information Needed]\n", None),
        ("## Citation\n\n\n## Else\n\ntext\n", None),
        ("# x\n\n```python\n@decorated\nx = {1}\n```\n", None),
        ("", None),
        ("## Excitation\n\ntext\n", None),
        (f"## Citation\n\n{'x' * 20_000}\n", None),
    ],
)
def test_the_block_below_the_heading_is_taken(card: str, citation: str | None) -> None:
    assert citation_of(card) == citation
