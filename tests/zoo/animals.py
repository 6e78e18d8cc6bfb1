"""All animals of the zoo, floor by floor; those of the lane come last, where the code moves most."""

from __future__ import annotations

from zoo import (
    of_the_accounts,
    of_the_books,
    of_the_bounds,
    of_the_callers,
    of_the_charts,
    of_the_credentials,
    of_the_dev_endpoints,
    of_the_domain,
    of_the_lane,
    of_the_limits,
    of_the_members,
    of_the_reports,
    of_the_rows,
    of_the_runs,
    of_the_schema,
    of_the_sets,
    of_the_statements,
    of_the_templates,
    of_the_tenants,
    of_the_wire,
)

ANIMALS = (
    *of_the_domain.ANIMALS,
    *of_the_schema.ANIMALS,
    *of_the_bounds.ANIMALS,
    *of_the_statements.ANIMALS,
    *of_the_wire.ANIMALS,
    *of_the_credentials.ANIMALS,
    *of_the_dev_endpoints.ANIMALS,
    *of_the_members.ANIMALS,
    *of_the_tenants.ANIMALS,
    *of_the_charts.ANIMALS,
    *of_the_templates.ANIMALS,
    *of_the_sets.ANIMALS,
    *of_the_callers.ANIMALS,
    *of_the_limits.ANIMALS,
    *of_the_accounts.ANIMALS,
    *of_the_books.ANIMALS,
    *of_the_rows.ANIMALS,
    *of_the_runs.ANIMALS,
    *of_the_reports.ANIMALS,
    *of_the_lane.ANIMALS,
)
