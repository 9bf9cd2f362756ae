-- What becomes of a dead letter: it is open, until it is redriven (tried again) or dropped. The letter tells its newest
-- failure; one that fails again after a redrive is opened again, and each earlier failure stays in the table below.
alter table ledger.dead_letter
    add column state text not null default 'open' check (state in ('open', 'redriven', 'dropped')),
    -- How often it has failed for good.
    add column failures int not null default 1;
create index dead_letter_open on ledger.dead_letter (stage, failed_at) where state = 'open';

-- Who decided what about a dead letter, and the failure that it was decided on.
create table ledger.dead_letter_decision (
    letter_id bigint not null references ledger.dead_letter,
    number int not null,
    verb text not null check (verb in ('redriven', 'dropped')),
    actor text not null,
    reason text,
    decided_at timestamptz not null default now(),
    failed_at timestamptz not null,
    code text not null,
    message text not null,
    tries int not null,
    primary key (letter_id, number)
);

-- What each kind of worker does: stages on a topic, jobs by their kind. As the instance that started last said, so that
-- work which nobody does is noticed.
create table ledger.duty (
    worker text not null,
    kind text not null check (kind in ('stage', 'job')),
    name text not null,
    topic text,
    primary key (worker, kind, name)
);
