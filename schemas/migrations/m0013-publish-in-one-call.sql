-- Appends a client's event to the stream `wanted`, unless the outbox has it already: then false.
--
-- One call in place of five: a client that publishes waits for each of them on its way. Two clients with the same id at
-- the same moment: the second waits at the lock, and finds the first's row, for each statement of a function like this
-- sees what was committed before it.
create function ledger.publish(
    wanted text, id text, kind text, origin text, about text, moment timestamptz, cause text, root text, trace text,
    content bytea
) returns boolean language plpgsql as $$
declare
    place record;
begin
    perform pg_advisory_xact_lock(hashtextextended(id, 7));
    if exists (select from ledger.outbox o where o.root_id = root and o.event_id = id) then
        return false;
    end if;
    update ledger.stream s set next = s.next + 1 where s.name = wanted returning s.id, s.next - 1 as number into place;
    if not found then
        raise exception 'there is no stream %', wanted;
    end if;
    insert into ledger.outbox
        (stream_id, number, event_id, type, source, subject, time, cause_id, root_id, traceparent, body)
    values (place.id, place.number, id, kind, origin, about, moment, cause, root, trace, content);
    perform pg_notify('naura_outbox', '');
    return true;
end $$;
