"""The configuration reference, generated from the settings.

`python -m node.conformance.configuration > docs/configuration.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from node.delivery.destinations import Destination, WebDestination
from node.delivery.profiles import BUILT_IN, Profile
from node.dicom.kinds import RESULT_CLASSES
from node.settings import Rule, Settings

_HEAD = """# Configuration

Generated from `node/settings.py`; do not edit.

Settings come from a YAML file (`hilum --config FILE …`, or `HILUM_CONFIG=FILE`) and from the environment, which
overrides the file: `HILUM_RECEIVER__PORT=11113` is `receiver.port`. Unknown keys are refused.

```yaml
receiver:
  ae_title: HILUM
  host: 0.0.0.0
  port: 11112
  allowed_networks: [127.0.0.0/8, 192.0.2.0/24]
  allowed_calling_ae_titles: [PACS, ROUTER]
destinations:
  pacs: {ae_title: PACS, host: pacs.example.org, port: 11112, commitment: {ask: true}}
  web: {url: "https://vna.example.org/dicom-web", bearer_token_file: /etc/hilum/vna.token}
rules:
  - {name: emergency, description: "\\\\b(stat|emergency)\\\\b", priority: STAT}
  - {name: chest, modality: [CR, DX, OT]}
```
"""


def reference() -> str:
    """Return the reference as Markdown."""
    parts = [_HEAD, "## Top level\n", *_table(Settings, "")]
    for name, info in Settings.model_fields.items():
        section = _section(info)
        if section is not None:
            parts += [f"\n## `{name}`\n", f"{_summary(section)}\n", *_table(section, f"{name}.")]
    for name, section in (
        ("destinations", Destination),
        ("destinations", WebDestination),
        ("profiles", Profile),
        ("rules", Rule),
    ):
        parts += [f"\n## Each of `{name}`\n", f"{_summary(section)}\n", *_table(section, "")]
    parts += ["\n## Built-in profiles\n", *_profiles()]
    return "\n".join(parts) + "\n"


def _profiles() -> Iterator[str]:
    """Yield the profiles that need no configuration, and the objects that profiles may have."""
    yield "| profile | for | objects | transfer syntaxes |"
    yield "|---|---|---|---|"
    for profile in BUILT_IN.values():
        syntaxes = ", ".join(f"`{uid}`" for uid in dict.fromkeys(map(profile.transfer_syntax, profile.objects)))
        kinds = ", ".join(f"{kind} ({profile.segmentation})" if kind == "SEG" else kind for kind in profile.objects)
        yield f"| `{profile.name}` | {profile.purpose} | {kinds} | {syntaxes} |"
    yield "\n| object | SOP class | what it is for |"
    yield "|---|---|---|"
    for row in RESULT_CLASSES:
        yield f"| {row.kind} | {row.name} `{row.sop_class_uid}` | {row.purpose} |"


def _section(info: FieldInfo) -> type[BaseModel] | None:
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _summary(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").strip().splitlines()[0]


def _table(section: type[BaseModel], prefix: str) -> Iterator[str]:
    yield "| setting | default | meaning |"
    yield "|---|---|---|"
    for name, info in section.model_fields.items():
        nested = _section(info)
        if nested is not None and section is Settings:
            continue
        if nested is not None:
            for inner, inner_info in nested.model_fields.items():
                yield _row(f"{prefix}{name}.{inner}", inner_info)
            continue
        yield _row(f"{prefix}{name}", info)


def _row(name: str, info: FieldInfo) -> str:
    meaning = " ".join((info.description or "").split())
    choices = [value for value in get_args(info.annotation) if isinstance(value, str)]
    if choices:
        meaning += f" One of: {', '.join(f'`{choice}`' for choice in choices)}."
    return f"| `{name}` | {_default(info)} | {meaning.replace('|', chr(92) + '|')} |"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value: Any = info.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None:
        return "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(f"`{_text(item)}`" for item in value) or "empty"
    if isinstance(value, dict):
        return "empty" if not value else f"`{value}`"
    return f"`{_text(value)}`"


def _text(value: Any) -> str:
    if isinstance(value, Rule):
        return f"one rule named {value.name}, which matches everything"
    text = str(value)
    return text.replace(str(Settings.model_fields["home"].default.parents[2]), "~")


if __name__ == "__main__":
    sys.stdout.write(reference())
