-- Brings the lines of the given keys up to date, as in m0007, in time that grows with their number alone.
--
-- There the new turns were a join of two parts, neither of which the planner knows the size of: once it had seen that a
-- table's rows were of one kind, it made the second part anew for each row of the first, and 5,000 jobs filed at once
-- took an hour. Here each key is read once, and found again by its primary key.
create or replace function ledger.refresh_lines(kinds text[], keys text[]) returns void language plpgsql
    -- Tables that were small when the plan was made are not small for ever.
    set enable_seqscan = off set enable_bitmapscan = off as $$
begin
    insert into ledger.job_line (kind, key, team, job_id, is_running, priority, due_at, turn)
    select kind, key, '', 0, false, 0, 'infinity', 0
    from unnest(kinds, keys) as given(kind, key) group by kind, key order by kind, key
    on conflict (kind, key) do update set job_id = ledger.job_line.job_id;

    with heads as materialized (
        select given.kind, given.key, head.*, line.turn as turn_before,
            -- A job that has had its turn, and waits again, goes to the end like any other.
            line.job_id <> head.id or (line.is_running and not head.is_running) as is_fresh
        from unnest(kinds, keys) as given(kind, key)
        cross join lateral (
            select * from (
                (select 0 as place, id, coalesce(team, j.key) as team, true as is_running, priority, due_at
                from ledger.job j where j.kind = given.kind and j.key = given.key and state = 'running' limit 1)
                union all
                (select 1, id, coalesce(team, j.key), false, priority, due_at
                from ledger.job j where j.kind = given.kind and j.key = given.key and state = 'waiting'
                order by id limit 1)
            ) open order by place limit 1) head
        cross join lateral (
            select turn, job_id, is_running from ledger.job_line l where l.kind = given.kind and l.key = given.key
            limit 1) line
    ), placed as materialized (
        select h.*, case when not is_fresh then turn_before else
            row_number() over (partition by h.kind, h.team, is_fresh order by h.id)
            + greatest(
                (select coalesce(max(turn), 0) from ledger.job_line t where t.kind = h.kind and t.team = h.team),
                (select coalesce(max(turn), 0) from ledger.job j where j.kind = h.kind and j.turn is not null))
            end as turn
        from heads h
    )
    update ledger.job_line l set job_id = p.id, team = p.team, is_running = p.is_running, priority = p.priority,
        due_at = p.due_at, turn = p.turn
    from placed p
    where l.kind = p.kind and l.key = p.key;

    delete from ledger.job_line l using unnest(kinds, keys) as given(kind, key)
    left join lateral (
        select j.id from ledger.job j
        where j.kind = given.kind and j.key = given.key and j.state in ('waiting', 'running') limit 1) open on true
    where l.kind = given.kind and l.key = given.key and open.id is null;
end $$;
