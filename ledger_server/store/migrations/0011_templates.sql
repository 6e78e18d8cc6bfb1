-- Transactions that a template of the chart made say which one, and what it was given.

-- Null columns cost the others nothing. What was given is erased with the other details;
-- the template's name and version stay.
alter table ledger.transactions
    add column template text collate "C",
    add column template_version integer,
    add column parameters jsonb;
-- Not validated: nothing is so in the rows that are there, and a scan would lock them.
alter table ledger.transactions add constraint made_by_template
    check ((template is null) = (template_version is null)
        and length(template) between 1 and 64
        and template_version > 0
        and (template is null or reverses is null)) not valid;
alter table ledger.transactions add constraint template_parameters
    check ((parameters is null) = (template is null or details_digest is not null)) not valid;
