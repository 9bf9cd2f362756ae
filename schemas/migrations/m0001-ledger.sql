-- What was handled, what must be said, what failed for good, who is working. The room NauraLedger alone reads and
-- writes these tables.
create schema ledger;

-- One row for each event a stage has handled. Partitioned by the UTC day of the event's own time, which every
-- delivery repeats: a unique index holds only within a partition. `event_key` is the first half of the id's SHA-256.
create table ledger.inbox (
    stage text not null,
    event_key uuid not null,
    day date not null,
    primary key (stage, event_key, day)
) partition by range (day);

-- One row a stream of outgoing events: a stage's input partition, or a hash of the key for jobs and clients.
-- `next` numbers the next row, `sent` is the last number known to be in Kafka. Who takes a stream raises `epoch`;
-- every write names the epoch it was taken with, so a zombie writes nothing.
create table ledger.stream (
    id int generated always as identity primary key,
    name text not null unique,
    epoch bigint not null default 0,
    next bigint not null default 1,
    sent bigint not null default 0,
    owner text,
    lease_until timestamptz,
    -- False while an owner is at work: found so by a successor, the owner died with an event open.
    is_clean boolean not null default true
);

-- Every event that Naura has said or will say; kept after sending so that an empty broker can be refilled.
create table ledger.outbox (
    stream_id int not null references ledger.stream,
    number bigint not null,
    event_id text not null,
    type text not null,
    source text not null,
    subject text not null,
    time timestamptz not null,
    cause_id text,
    root_id text not null,
    traceparent text,
    body bytea not null,
    primary key (stream_id, number)
);
create index outbox_event on ledger.outbox (event_id);
create index outbox_root on ledger.outbox (root_id);
create index outbox_time on ledger.outbox using brin (time);

-- Events that reached Kafka without Naura's outbox, seen by the first stage that handled them.
create table ledger.foreign_event (
    event_id text primary key,
    type text not null,
    source text not null,
    subject text not null,
    time timestamptz not null,
    cause_id text,
    root_id text not null,
    body bytea not null,
    received_at timestamptz not null default now()
);
create index foreign_event_root on ledger.foreign_event (root_id);

-- What failed for good. `fingerprint` makes a second delivery of the same failure the same row.
create table ledger.dead_letter (
    id bigint generated always as identity primary key,
    stage text not null,
    fingerprint text not null,
    event_id text,
    topic text,
    partition int,
    record_offset bigint,
    record_key bytea,
    headers jsonb not null default '{}',
    body bytea,
    code text not null,
    message text not null,
    tries int not null,
    root_id text,
    failed_at timestamptz not null default now(),
    unique (stage, fingerprint)
);

-- Deaths of a worker with this event open; twenty in a row make a dead letter.
create table ledger.attempt (
    stage text not null,
    event_key uuid not null,
    deaths int not null default 0,
    primary key (stage, event_key)
);

-- Work that touches the world or takes longer than a moment, and every kind of waiting. The holder of the lease
-- (owner and epoch) settles a job, or nobody does. Jobs of one kind and key run one at a time, in the order filed.
create table ledger.job (
    id bigint generated always as identity primary key,
    kind text not null,
    key text not null,
    -- What the job is about; the same request filed twice is one job.
    about text not null,
    arguments jsonb not null,
    priority int not null default 0,
    state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed', 'cancelled')),
    due_at timestamptz not null default now(),
    filed_at timestamptz not null default now(),
    epoch bigint not null default 0,
    owner text,
    lease_until timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    tries int not null default 0,
    deaths int not null default 0,
    progress text,
    failure_code text,
    failure_message text,
    cause_id text,
    root_id text,
    traceparent text,
    unique (kind, about)
);
create index job_open on ledger.job (kind, key, id) where state in ('waiting', 'running');
create index job_due on ledger.job (kind, due_at) where state in ('waiting', 'running');
create index job_root on ledger.job (root_id);

-- The instances that live, as each last said of itself.
create table ledger.worker (
    instance text primary key,
    name text not null,
    host text not null,
    pid int not null,
    address text,
    state text not null,
    lag bigint not null default 0,
    assignments jsonb not null default '[]',
    started_at timestamptz not null default now(),
    seen_at timestamptz not null default now()
);

-- The broker last seen, so that one that came back empty is noticed and refilled from the outbox.
create table ledger.broker (
    is_single boolean primary key default true check (is_single),
    cluster_id text not null,
    seen_at timestamptz not null default now()
);

-- Raises NA001 when the stream was taken by another owner: the transaction of a zombie ends here. `taken` numbers
-- follow, and `sent_up_to` is what Kafka has acknowledged since.
create function ledger.advance(held_id int, mine bigint, expected bigint, taken bigint, sent_up_to bigint)
returns void language plpgsql as $$
begin
    update ledger.stream set next = next + taken, sent = greatest(sent, sent_up_to)
    where id = held_id and epoch = mine and next = expected;
    if not found then
        raise exception 'stream % is no longer held with epoch %', held_id, mine using errcode = 'NA001';
    end if;
end $$;

-- Raises NA002 when the job's lease was lost: a zombie's settlement ends here.
create function ledger.settle_job(held_id bigint, mine bigint) returns void language plpgsql as $$
begin
    update ledger.job set state = 'done', ended_at = now(), lease_until = null, progress = null
    where id = held_id and epoch = mine and state = 'running';
    if not found then
        raise exception 'the lease of job % with epoch % is lost', held_id, mine using errcode = 'NA002';
    end if;
end $$;

create function ledger.ensure_inbox_day(day date) returns void language plpgsql as $$
begin
    -- Two workers may meet here: the second waits, and finds the partition.
    perform pg_advisory_xact_lock(hashtextextended('ledger.inbox', 0));
    execute format('create table if not exists ledger.%I partition of ledger.inbox for values from (%L) to (%L)',
                   'inbox_' || to_char(day, 'YYYYMMDD'), day, day + 1);
end $$;

insert into ledger.stream (name) values ('shared/0'), ('shared/1'), ('shared/2'), ('shared/3');

create function ledger.drop_inbox_day(name text) returns void language plpgsql as $$
begin
    if name !~ '^inbox_[0-9]{8}$' then
        raise exception '% is no day of the inbox', name;
    end if;
    execute format('drop table if exists ledger.%I', name);
end $$;
