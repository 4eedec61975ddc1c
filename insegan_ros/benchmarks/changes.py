"""Configurations with some values replaced: what the rows of an ablation are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any


def changed(config: Any, changes: dict[str, Any]) -> Any:
    """A configuration of nested dataclasses with some values replaced, named as in
    `insegan.gan.steps`."""
    inner: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        head, _, rest = name.partition('.')
        inner.setdefault(head, {})[rest] = value
    # All at once: some values may only change together.
    return replace(
        config,
        **{
            head: values[''] if '' in values else changed(getattr(config, head), values)
            for head, values in inner.items()
        },
    )
