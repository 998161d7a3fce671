"""The Python API: publish tables, files and cards to the Hub, delete from it, and look how old it is.

Every function takes `token` and `endpoint`; without them it takes what the Hub's own library would (HF_TOKEN, the
login's token, HF_ENDPOINT). Errors are those of `hugflow.errors`: each has `reason` and, where the Hub answered,
`status_code`.
"""

from hugflow.api.connection import CommitOptions, Connection, Published, PublishOptions, Uploaded
from hugflow.api.files import DatasetCard, check_freshness, delete_from_hub, spec_changed, upload_file
from hugflow.api.tables import TableData, publish_request, publish_table, publish_tables, push_to_hub, upload_batch

__all__ = [
    "CommitOptions",
    "Connection",
    "DatasetCard",
    "PublishOptions",
    "Published",
    "TableData",
    "Uploaded",
    "check_freshness",
    "delete_from_hub",
    "publish_request",
    "publish_table",
    "publish_tables",
    "push_to_hub",
    "spec_changed",
    "upload_batch",
    "upload_file",
]
