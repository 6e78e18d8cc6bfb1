"""What the books must hold before a batch's drafts are decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ledger_server.domain.charts import Chart
from ledger_server.domain.transactions import BalanceCondition, PostDraft, TemplateDraft


@dataclass(slots=True)
class Wanted:
    """What a batch's drafts name: what must be in the books before they are decided."""

    accounts: set[str] = field(default_factory=set)
    assets: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    origins: set[int] = field(default_factory=set)
    places: set[tuple[str, str]] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    # Accounts that drafts open, that they change, and that they close.
    opened: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    creates_assets: bool = False
    # A chart to be applied, which every account must fit.
    chart: Chart | None = None
    # The posts themselves: only a chart knows which series number them.
    posts: Callable[[], Iterable[PostDraft]] = tuple
    # Drafts that only the chart's templates make posts of.
    templates: list[TemplateDraft] = field(default_factory=list)

    @property
    def are_posts(self) -> bool:
        """Whether the drafts are posts with entries of their own, and nothing else."""
        others = (
            self.origins,
            self.members,
            self.opened,
            self.changed,
            self.closed,
            self.templates,
            self.creates_assets,
            self.chart,
        )
        return bool(self.places) and not any(others)

    def add_posts(self, drafts: Iterable[PostDraft]) -> None:
        """What the entries and preconditions of posts name."""
        accounts, assets, places = self.accounts, self.assets, self.places
        for draft in drafts:
            for account, _, _, asset in draft.entries:
                accounts.add(account)
                assets.add(asset)
                places.add((account, asset))
            for condition in draft.preconditions:
                accounts.add(condition.account)
                if isinstance(condition, BalanceCondition):
                    assets.add(condition.asset)
                    places.add((condition.account, condition.asset))
