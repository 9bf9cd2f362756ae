-- CloudEvents extensions that Naura does not know: kept with their event, for whoever reads its topic may.
alter table ledger.outbox add column extensions jsonb;
alter table ledger.foreign_event add column extensions jsonb;
alter table ledger.recorded_event add column extensions jsonb;

-- As in m0013. Workers that are older give no extensions.
drop function ledger.publish(text, text, text, text, text, timestamptz, text, text, text, bytea);
create function ledger.publish(
    wanted text, id text, kind text, origin text, about text, moment timestamptz, cause text, root text, trace text,
    content bytea, more jsonb default null
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
        (stream_id, number, event_id, type, source, subject, time, cause_id, root_id, traceparent, body, extensions)
    values (place.id, place.number, id, kind, origin, about, moment, cause, root, trace, content, more);
    perform pg_notify('naura_outbox', '');
    return true;
end $$;
