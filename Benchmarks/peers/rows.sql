-- The rows of 500 events and nothing else: what the database alone could do. For pgbench, one client a partition.
\set batch random(1, 1000000000000)
begin;
insert into ledger.inbox (stage, event_key, day)
    select 'count-labels', md5(:batch || '/' || n)::uuid, current_date from generate_series(1, 500) n
    on conflict do nothing;
insert into bench.effect (event_id, model, label)
    select :batch || '/' || n, 'model-' || n % 997, 'Yes' from generate_series(1, 500) n;
insert into ledger.outbox
    (stream_id, number, event_id, type, source, subject, time, cause_id, root_id, traceparent, body)
    select 1, (:batch)::bigint * 500 + n, md5(:batch || '.' || n), 'retrain-due', '/naura/count-labels', 'model-' || n % 997, now(),
        :batch || '/' || n, :batch || '/' || n, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        convert_to('{"model":"model-' || n % 997 || '","reason":"measured","requested_by":"bench"}', 'UTF8')
    from generate_series(1, 500) n;
commit;
