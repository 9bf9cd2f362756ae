-- What old rows cost to be found and deleted, and which workers these tables still serve.

-- Rows come in the order of this column.
create index foreign_event_received on ledger.foreign_event using brin (received_at);

-- The oldest workers that can work with these tables, told by the newest migration they know (0011 for `m0011-…`). A
-- migration that takes away what workers use, or changes what it means, raises it; one that only adds leaves it.
create table ledger.compatibility (
    is_single boolean primary key default true check (is_single),
    oldest_migration int not null
);
insert into ledger.compatibility (oldest_migration) values (0);

-- As in m0007, but for the end of a job that is no line's: thousands are deleted at once when their time is over.
create or replace function ledger.job_changed() returns trigger language plpgsql as $$
declare
    kinds text[];
    keys text[];
begin
    if tg_op = 'INSERT' then
        select array_agg(kind), array_agg(key) into kinds, keys from (select distinct kind, key from new_rows) changed;
    elsif tg_op = 'DELETE' then
        select array_agg(kind), array_agg(key) into kinds, keys from (
            select distinct kind, key from old_rows where state in ('waiting', 'running')) changed;
    else
        -- A heartbeat changes nothing here.
        select array_agg(kind), array_agg(key) into kinds, keys from (
            select distinct n.kind, n.key from new_rows n join old_rows o on o.id = n.id
            where (n.state, n.due_at, n.priority) is distinct from (o.state, o.due_at, o.priority)) changed;
    end if;
    if kinds is not null then
        perform ledger.refresh_lines(kinds, keys);
    end if;
    return null;
end $$;
