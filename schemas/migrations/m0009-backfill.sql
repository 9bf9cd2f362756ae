-- What a backfill brought in or asked for: worked on last, and never deployed by itself.
alter table naura.snapshot add column is_backfill boolean not null default false;
alter table naura.trigger add column is_backfill boolean not null default false;
-- Whether all triggers that were folded into it are a backfill's.
alter table naura.training_request add column is_backfill boolean not null default false;
