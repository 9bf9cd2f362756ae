-- Gives an event that is not in the outbox yet the next number of the stream `wanted`, and none to one that is.
--
-- One call in place of three: a client that publishes waits for each on its way to the commit. Two clients with the same id
-- at the same moment: the second waits at the lock, and finds the first's row, for each statement of a function like
-- this sees what was committed before it.
create function ledger.enter(wanted text, event text, root text) returns table (stream_id int, number bigint)
language plpgsql as $$
begin
    perform pg_advisory_xact_lock(hashtextextended(event, 7));
    if exists (select from ledger.outbox o where o.root_id = root and o.event_id = event) then
        return;
    end if;
    return query update ledger.stream s set next = s.next + 1 where s.name = wanted returning s.id, s.next - 1;
    if not found then
        raise exception 'there is no stream %', wanted;
    end if;
end $$;
