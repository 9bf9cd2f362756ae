-- The check of `stream_id` was a query for each row, a fifth of the database's work on an event. It guarded nothing:
-- ledger.advance fails for a stream that is not there, and streams are never deleted.
alter table ledger.outbox drop constraint outbox_stream_id_fkey;
