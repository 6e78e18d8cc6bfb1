"""The templates of a chart made ready, and the posts that they make. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ledger_server.domain.expanding import Expander
from ledger_server.domain.refusals import Refusal, TemplateNotFound
from ledger_server.domain.templates import Template
from ledger_server.domain.transactions import PostDraft, TemplateDraft, TemplateUse, template_used


class Expanders:
    """The templates of a chart, each made ready when it is first used. Never changed otherwise."""

    __slots__ = ("_newest", "_ready", "_templates")

    def __init__(self, templates: Iterable[Template]) -> None:
        self._templates = {(template.name, template.version): template for template in templates}
        self._newest: dict[str, int] = {}
        for name, version in self._templates:
            self._newest[name] = max(version, self._newest.get(name, 0))
        self._ready: dict[tuple[str, int], Expander] = {}

    def of(self, name: str, version: int) -> Expander | None:
        """The template of this name and version, 0 for the newest."""
        ready = self._ready.get((name, version))
        if ready is None:
            at = (name, version or self._newest.get(name, 0))
            if at in self._templates:
                ready = self._ready.get(at) or Expander(self._templates[at])
                self._ready[at] = self._ready[name, version] = ready
        return ready

    def newest(self, name: str) -> int:
        """The newest version of a name, 0 for none."""
        return self._newest.get(name, 0)


def post_of(draft: TemplateDraft, expanders: Expanders | None) -> PostDraft | Refusal:
    """The post that the template makes of the draft, or why it makes none."""
    used = draft.template
    assert used.parameters is not None
    expander = expanders.of(used.name, used.version) if expanders is not None else None
    if expander is None:
        return _not_found(used, expanders.newest(used.name) if expanders is not None else 0)
    try:
        entries, metadata = expander.expand(used.parameters)
        return PostDraft(
            entries,
            draft.idempotency_key,
            expander.template.kind,
            draft.effective_time,
            draft.description,
            metadata,
            draft.external_ref,
            draft.created_by,
            draft.validate_only,
            draft.preconditions,
            template_used((used.name, expander.template.version, used.parameters)),
        )
    except Refusal as refusal:
        return refusal


def _not_found(used: TemplateUse, newest: int) -> TemplateNotFound:
    if not newest:
        return TemplateNotFound(
            f"the ledger's chart has no template {used.name!r}; apply a chart that has it",
            template=used.name,
        )
    return TemplateNotFound(
        f"the ledger's chart has no version {used.version} of template {used.name!r}; its newest is {newest}",
        template=used.name,
        version=used.version,
        newest_version=newest,
    )
