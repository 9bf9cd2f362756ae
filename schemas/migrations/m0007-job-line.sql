-- Who goes next among the jobs: priority, then fair shares; and jobs that people have cancelled.

alter table ledger.job
    -- Whose share of the slots the job uses, such as its project; null: its key's own.
    add column team text,
    -- Its place among the jobs of its kind, given when it was claimed.
    add column turn bigint,
    -- Who wants it ended, and why: whoever holds its lease ends it, else the next runner of its kind.
    add column cancelled_by text,
    add column cancel_reason text;

-- Jobs of one kind and key run one at a time: so says the database itself.
create unique index job_running on ledger.job (kind, key) where state = 'running';
create index job_lease on ledger.job (kind, lease_until) where state = 'running';
create index job_turn on ledger.job (kind, turn) where turn is not null;
create index job_cancelled on ledger.job (kind, id) where cancelled_by is not null and state in ('waiting', 'running');
drop index ledger.job_due;

-- One row for each kind and key with an open job: the one that runs, else the first in the order filed. What waits
-- behind it costs a claim nothing. `turn` grows within a team, and a team that comes late begins at the last turn that
-- was claimed, so teams alternate however many jobs each has.
create table ledger.job_line (
    kind text not null,
    key text not null,
    team text not null,
    job_id bigint not null,
    is_running boolean not null,
    priority int not null,
    due_at timestamptz not null,
    turn bigint not null,
    primary key (kind, key)
);
create index job_line_next on ledger.job_line (kind, priority desc, turn, job_id, due_at) where not is_running;
create index job_line_due on ledger.job_line (kind, due_at) where not is_running;
create index job_line_running on ledger.job_line (kind, team) where is_running;
create index job_line_team on ledger.job_line (kind, team, turn);

-- Brings the lines of the given keys up to date. Whoever changes jobs of a key holds its line from here to the commit,
-- so the head found below is the head. Order of locks everywhere: job rows, then lines; a claim waits for neither.
create function ledger.refresh_lines(kinds text[], keys text[]) returns void language plpgsql
    -- Tables that were small when the plan was made are not small for ever.
    set enable_seqscan = off set enable_bitmapscan = off as $$
begin
    insert into ledger.job_line (kind, key, team, job_id, is_running, priority, due_at, turn)
    select kind, key, '', 0, false, 0, 'infinity', 0
    from unnest(kinds, keys) as given(kind, key) group by kind, key order by kind, key
    on conflict (kind, key) do update set job_id = ledger.job_line.job_id;

    with heads as (
        select given.kind, given.key, head.* from unnest(kinds, keys) as given(kind, key)
        cross join lateral (
            select * from (
                (select 0 as place, id, coalesce(team, j.key) as team, true as is_running, priority, due_at
                from ledger.job j where j.kind = given.kind and j.key = given.key and state = 'running' limit 1)
                union all
                (select 1, id, coalesce(team, j.key), false, priority, due_at
                from ledger.job j where j.kind = given.kind and j.key = given.key and state = 'waiting'
                order by id limit 1)
            ) open order by place limit 1) head
    ), fresh as (
        -- A job that has had its turn, and waits again, goes to the end like any other.
        select h.kind, h.key, row_number() over (partition by h.kind, h.team order by h.id)
            + greatest(
                (select coalesce(max(turn), 0) from ledger.job_line t where t.kind = h.kind and t.team = h.team),
                (select coalesce(max(turn), 0) from ledger.job j where j.kind = h.kind and j.turn is not null)) as turn
        from heads h join ledger.job_line l on l.kind = h.kind and l.key = h.key
        where l.job_id <> h.id or (l.is_running and not h.is_running)
    )
    update ledger.job_line l set job_id = h.id, team = h.team, is_running = h.is_running, priority = h.priority,
        due_at = h.due_at, turn = coalesce(f.turn, l.turn)
    from heads h left join fresh f on f.kind = h.kind and f.key = h.key
    where l.kind = h.kind and l.key = h.key;

    delete from ledger.job_line l using unnest(kinds, keys) as given(kind, key)
    where l.kind = given.kind and l.key = given.key and not exists (
        select 1 from ledger.job j where j.kind = l.kind and j.key = l.key and j.state in ('waiting', 'running'));
end $$;

create function ledger.job_changed() returns trigger language plpgsql as $$
declare
    kinds text[];
    keys text[];
begin
    if tg_op = 'INSERT' then
        select array_agg(kind), array_agg(key) into kinds, keys from (select distinct kind, key from new_rows) changed;
    elsif tg_op = 'DELETE' then
        select array_agg(kind), array_agg(key) into kinds, keys from (select distinct kind, key from old_rows) changed;
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

create trigger job_inserted after insert on ledger.job referencing new table as new_rows
    for each statement execute function ledger.job_changed();
create trigger job_updated after update on ledger.job referencing old table as old_rows new table as new_rows
    for each statement execute function ledger.job_changed();
create trigger job_deleted after delete on ledger.job referencing old table as old_rows
    for each statement execute function ledger.job_changed();

create function ledger.jobs_emptied() returns trigger language plpgsql as $$
begin
    delete from ledger.job_line;
    return null;
end $$;
create trigger jobs_emptied after truncate on ledger.job
    for each statement execute function ledger.jobs_emptied();

do $$
declare
    kinds text[];
    keys text[];
begin
    select array_agg(kind), array_agg(key) into kinds, keys
    from (select distinct kind, key from ledger.job where state in ('waiting', 'running')) open;
    if kinds is not null then
        perform ledger.refresh_lines(kinds, keys);
    end if;
end $$;

-- Ten thousand alerts are ten thousand questions for what an event filed, and whether a person is among those who ask.
create index trigger_event on naura.trigger (event_id);
create index trigger_by_hand on naura.trigger (model) where request_id is null and actor is not null;
