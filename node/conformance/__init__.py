"""The DICOM Conformance Statement in the structure of PS3.2 Annex A, made from the tables that the node works with.

`python -m node.conformance` prints it; docs/conformance.md is that text. Tests compare both, and compare its tables
with what a running node negotiates and proposes.

May import, of `node`: `dispatch` and what stands below.
"""

from __future__ import annotations

from node.conformance import annexes, environment, overview, receiver, sender
from node.conformance.markdown import section


def statement() -> str:
    """Write the statement as Markdown."""
    body = section(
        overview.introduction(),
        "## 4 Networking",
        overview.implementation_model(),
        "### 4.2 AE specifications",
        receiver.specification(),
        sender.specification(),
        environment.network_interfaces(),
        environment.configuration(),
        environment.media_characters_and_security(),
        annexes.annexes(),
    )
    contents = [f"- {line.removeprefix('## ')}" for line in body.splitlines() if line.startswith("## ")]
    head = section(overview.cover(), overview.overview(), "## 2 Contents", "\n".join(["- 1 Overview", *contents]))
    return section(head, body).rstrip() + "\n"
