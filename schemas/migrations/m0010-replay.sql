-- History that `naura replay` tells again in a database of its own; empty everywhere else.

-- An event on record, in the order in which it was said. An input is what nobody in the copy can say: what came from
-- outside, and what failed. All others are told when their stage or job would have said them.
create table ledger.recorded_event (
    place bigint generated always as identity primary key,
    -- When it was said, never before what was said before it in its stream: `time` is the sender's word.
    said_at timestamptz not null,
    event_id text not null unique,
    type text not null,
    source text not null,
    subject text not null,
    time timestamptz not null,
    cause_id text,
    root_id text not null,
    traceparent text,
    body bytea not null,
    -- Between which applied projects it was said: 0 before the first.
    part int not null,
    is_input boolean not null,
    -- From a file beside the ledger, which does not know it.
    is_added boolean not null default false,
    is_told boolean not null default false,
    -- Why it could not be told yet.
    waits_for text
);
create index recorded_event_open on ledger.recorded_event (type, said_at, place) where not is_told;
create index recorded_event_input on ledger.recorded_event (said_at, place) where is_input and not is_told;

-- How far each stage has read each stream of the copy's own outbox; who reads on holds the row.
create table ledger.replay_reader (
    worker text not null,
    stage text not null,
    stream_id int not null references ledger.stream,
    number bigint not null default 0,
    primary key (stage, stream_id)
);

-- Whoever tells what jobs of one kind once said. `seen` is the state of the copy in which it last found nothing to tell.
create table ledger.replay_teller (
    name text primary key,
    worker text not null,
    seen bigint not null default -1
);

create table ledger.replay (
    is_single boolean primary key default true check (is_single),
    -- Events of later parts are not told yet.
    part int not null default 0,
    -- How many are on record.
    events bigint not null,
    started_at timestamptz not null default now(),
    ended_at timestamptz
);

-- Grows with whatever is told, read or opened: two looks with the same value have seen the same copy.
create function ledger.replay_state() returns bigint language sql stable as $$
    select (select coalesce(sum(next), 0) from ledger.stream)::bigint
        + (select coalesce(sum(number), 0) from ledger.replay_reader)::bigint
        + (select coalesce(max(part), 0) from ledger.replay)
$$;
