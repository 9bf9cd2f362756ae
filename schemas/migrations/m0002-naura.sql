-- What is true of projects, data, features, models, rollouts and live traffic. The room NauraStore alone holds the
-- SQL on these tables. Times are UTC; `*_at` is a moment; a `digest` or `sha256` is 64 hex digits.
create schema naura;

-- Projects -----------------------------------------------------------------------------------------------------
create table naura.project_version (
    project text not null,
    version int not null,
    sha256 text not null,
    source text not null,
    document jsonb not null,
    applied_by text not null,
    applied_at timestamptz not null default now(),
    primary key (project, version)
);

-- Datasets and their snapshots -----------------------------------------------------------------------------------
create table naura.dataset (
    name text primary key,
    project text not null,
    definition jsonb not null,
    contract jsonb not null,
    next_number bigint not null default 1,
    last_arrival_at timestamptz not null default 'epoch',
    is_retired boolean not null default false
);

-- A snapshot is numbered in the transaction that files its job, and named by the SHA-256 of its bytes once fetched.
create table naura.snapshot (
    dataset text not null references naura.dataset,
    number bigint not null,
    uri text not null,
    format text not null,
    expected_sha256 text,
    sha256 text,
    state text not null default 'arrived'
        check (state in ('arrived', 'validated', 'rejected', 'duplicate', 'ready', 'failed')),
    rows bigint,
    bytes bigint,
    profile jsonb,
    violations jsonb,
    window_from timestamptz,
    window_to timestamptz,
    event_id text not null,
    root_id text not null,
    arrived_at timestamptz not null,
    settled_at timestamptz,
    primary key (dataset, number),
    unique (dataset, event_id)
);
create index snapshot_content on naura.snapshot (dataset, sha256);

-- Feature views, their rows offline and online ---------------------------------------------------------------------
create table naura.feature_view (
    id int generated always as identity primary key,
    name text not null,
    version int not null,
    digest text not null,
    dataset text not null references naura.dataset,
    definition jsonb not null,
    created_at timestamptz not null default now(),
    is_current boolean not null default true,
    unique (name, version),
    unique (name, digest)
);

-- Which snapshots a view holds; rows of a snapshot without a row here are invisible.
create table naura.view_snapshot (
    view_id int not null references naura.feature_view,
    number bigint not null,
    rows bigint not null,
    statistics jsonb not null default '{}',
    as_of timestamptz,
    primary key (view_id, number)
);

-- Values in the order of the view's features: numbers first come in `numbers`, texts in `texts`.
create table naura.feature_row (
    view_id int not null references naura.feature_view,
    entity_key text collate "C" not null,
    event_at timestamptz not null,
    created_at timestamptz not null,
    number bigint not null,
    row_number bigint not null,
    numbers double precision[] not null,
    texts text[] not null,
    primary key (view_id, entity_key, event_at, created_at, number, row_number)
);

create table naura.online_row (
    view_id int not null references naura.feature_view,
    entity_key text collate "C" not null,
    event_at timestamptz not null,
    created_at timestamptz not null,
    number bigint not null,
    row_number bigint not null,
    numbers double precision[] not null,
    texts text[] not null,
    primary key (view_id, entity_key)
);

-- Labelled moments, read from the column that a model names.
create table naura.label_row (
    dataset text not null references naura.dataset,
    column_name text not null,
    entity_key text collate "C" not null,
    event_at timestamptz not null,
    created_at timestamptz not null,
    number bigint not null,
    row_number bigint not null,
    label text collate "C" not null,
    primary key (dataset, column_name, entity_key, event_at, created_at, number, row_number)
);

-- Models as the project file defines them --------------------------------------------------------------------------
create table naura.model (
    name text primary key,
    project text not null,
    project_version int not null,
    definition jsonb not null,
    is_retired boolean not null default false
);

-- Triggers and training requests ------------------------------------------------------------------------------------
create table naura.training_request (
    id bigint generated always as identity primary key,
    job_id bigint not null unique,
    model text not null references naura.model,
    state text not null default 'frozen' check (state in ('frozen', 'trained', 'unchanged', 'failed')),
    definition jsonb not null,
    project_version int not null,
    read_points jsonb not null,
    code_commit text,
    reason text,
    training_set text,
    run_id text,
    frozen_at timestamptz not null default now(),
    settled_at timestamptz
);

create table naura.trigger (
    id bigint generated always as identity primary key,
    model text not null references naura.model,
    kind text not null,
    event_id text not null,
    root_id text not null,
    traceparent text,
    code_commit text,
    actor text,
    reason text,
    at timestamptz not null default now(),
    request_id bigint references naura.training_request,
    unique (model, event_id)
);
create index trigger_pending on naura.trigger (model, id) where request_id is null;
create index trigger_root on naura.trigger (root_id);

-- The greatest snapshot of a dataset that `train` has been told is ready.
create table naura.read_point (
    dataset text primary key references naura.dataset,
    number bigint not null
);

create table naura.training_set (
    sha256 text primary key,
    model text not null references naura.model,
    artifact text not null,
    rows bigint not null,
    holdout_rows bigint not null,
    positive text not null,
    definition jsonb not null,
    created_at timestamptz not null default now()
);

-- Experiments and runs, as MLflow's clients know them ---------------------------------------------------------------
create table naura.experiment (
    id bigint generated always as identity primary key,
    name text not null unique,
    artifact_location text not null default '',
    lifecycle text not null default 'active' check (lifecycle in ('active', 'deleted')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create table naura.experiment_tag (
    experiment_id bigint not null references naura.experiment,
    key text not null,
    value text not null,
    primary key (experiment_id, key)
);
create table naura.run (
    id text primary key,
    experiment_id bigint not null references naura.experiment,
    name text not null,
    model text references naura.model,
    request_id bigint references naura.training_request,
    state text not null default 'running' check (state in ('running', 'finished', 'failed', 'killed')),
    lifecycle text not null default 'active' check (lifecycle in ('active', 'deleted')),
    training_set text,
    digest text,
    seed bigint,
    code_commit text,
    project_version int,
    environment jsonb not null default '{}',
    artifact text,
    causes jsonb not null default '[]',
    user_id text not null default 'naura',
    started_at timestamptz not null default now(),
    ended_at timestamptz
);
create index run_experiment on naura.run (experiment_id, started_at);
create table naura.run_parameter (
    run_id text not null references naura.run,
    key text not null,
    value text not null,
    primary key (run_id, key)
);
create table naura.run_metric (
    run_id text not null references naura.run,
    key text not null,
    step bigint not null default 0,
    timestamp_ms bigint not null,
    value double precision not null,
    primary key (run_id, key, step, timestamp_ms, value)
);
create table naura.run_tag (
    run_id text not null references naura.run,
    key text not null,
    value text not null,
    primary key (run_id, key)
);

-- Registry ------------------------------------------------------------------------------------------------------------
create table naura.registered_model (
    name text primary key,
    description text not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create table naura.model_version (
    model text not null references naura.registered_model,
    version int not null,
    run_id text references naura.run,
    digest text not null,
    -- The SHA-256 under which the artifact store holds the package.
    artifact text not null,
    training_set text,
    state text not null default 'trained'
        check (state in ('trained', 'rejected', 'passed', 'candidate', 'champion', 'retired', 'rolled-back')),
    description text not null default '',
    actor text not null default 'naura',
    created_at timestamptz not null default now(),
    primary key (model, version)
);
create unique index model_version_run on naura.model_version (model, run_id) where run_id is not null;
create table naura.model_alias (
    model text not null,
    alias text not null,
    version int not null,
    primary key (model, alias),
    foreign key (model, version) references naura.model_version
);
create table naura.barred_digest (
    model text not null,
    digest text not null,
    reason text not null,
    rollout_id bigint,
    barred_at timestamptz not null default now(),
    primary key (model, digest)
);

create table naura.evaluation (
    id bigint generated always as identity primary key,
    model text not null,
    version int not null,
    champion int,
    verdict text not null check (verdict in ('promoted', 'rejected', 'unchanged', 'cannot-judge')),
    reason text not null,
    metric text not null,
    candidate_score double precision,
    champion_score double precision,
    difference double precision,
    lower_bound double precision,
    upper_bound double precision,
    holdout_rows bigint not null,
    holdout_entities bigint not null,
    report jsonb not null,
    job_id bigint not null,
    evaluated_at timestamptz not null default now(),
    unique (model, version, job_id)
);

-- Rollouts and routes -----------------------------------------------------------------------------------------------------
create table naura.rollout (
    id bigint generated always as identity primary key,
    model text not null,
    version int not null,
    baseline int,
    digest text not null,
    salt text not null,
    state text not null check (state in
        ('waiting', 'running', 'held', 'completed', 'rolled-back', 'superseded')),
    rules jsonb not null,
    step int not null default 0,
    weight double precision not null default 0,
    epoch bigint not null default 0,
    verdict text not null default '',
    actor text not null default 'naura',
    reason text not null default '',
    cause_id text not null,
    root_id text not null,
    created_at timestamptz not null default now(),
    step_started_at timestamptz,
    held_at timestamptz,
    -- When a gateway was last heard of, and when the rollout was last looked at: silence counts only while someone looks.
    telemetry_at timestamptz,
    looked_at timestamptz,
    ended_at timestamptz,
    unique (model, cause_id)
);
create unique index rollout_one_at_a_time on naura.rollout (model) where state in ('running', 'held');
create table naura.rollout_evidence (
    rollout_id bigint not null references naura.rollout,
    metric text not null,
    step int not null,
    canary_units bigint not null default 0,
    canary_bad bigint not null default 0,
    baseline_units bigint not null default 0,
    baseline_bad bigint not null default 0,
    -- One log e-value an alternative, running over all steps; only the row of the latest step is current.
    log_e double precision[] not null,
    primary key (rollout_id, metric, step)
);
create table naura.rollout_unit (
    rollout_id bigint not null references naura.rollout,
    step int not null,
    unit bytea not null,
    primary key (rollout_id, step, unit)
);
-- A unit's first bad event of a step. For harm only the first of all steps counts.
create table naura.rollout_first_bad (
    rollout_id bigint not null references naura.rollout,
    step int not null,
    metric text not null,
    unit bytea not null,
    is_canary boolean not null,
    weight double precision not null,
    at timestamptz not null,
    primary key (rollout_id, metric, unit, step)
);
create table naura.rollout_decision (
    rollout_id bigint not null references naura.rollout,
    number int not null,
    verdict text not null,
    weight double precision not null,
    evidence jsonb not null,
    decided_at timestamptz not null default now(),
    primary key (rollout_id, number)
);
create table naura.route (
    model text primary key,
    epoch bigint not null,
    champion int not null,
    canary int,
    weight double precision not null default 0,
    salt text not null default '',
    rollout_id bigint,
    updated_at timestamptz not null default now()
);
-- What each gateway serves, as it last said.
create table naura.gateway (
    gateway text not null,
    model text not null,
    epoch bigint not null,
    champion int,
    canary int,
    fault text,
    seen_at timestamptz not null default now(),
    primary key (gateway, model)
);

-- Live traffic ------------------------------------------------------------------------------------------------------------
create table naura.prediction (
    id text not null,
    model text not null,
    version int not null,
    arm text not null,
    unit text,
    features jsonb not null,
    score double precision,
    at timestamptz not null,
    -- Came after its window had closed, and counts in none.
    is_late boolean not null default false,
    primary key (model, id)
);
create index prediction_at on naura.prediction (model, at);
create table naura.ground_truth (
    model text not null,
    prediction_id text,
    unit text,
    at timestamptz,
    label text not null,
    observed_at timestamptz not null,
    event_id text not null,
    item int not null,
    primary key (model, event_id, item)
);
create table naura.monitor_window (
    model text not null,
    version int not null,
    start_at timestamptz not null,
    end_at timestamptz not null,
    state text not null default 'open' check (state in ('open', 'closed')),
    rows bigint not null default 0,
    -- Rows that came after the window had closed.
    late_rows bigint not null default 0,
    -- Counts per column in the bins of the version's reference.
    counts jsonb not null default '{}',
    statistics jsonb,
    closed_at timestamptz,
    primary key (model, version, start_at)
);
create table naura.alert (
    id bigint generated always as identity primary key,
    model text not null,
    version int not null,
    kind text not null,
    state text not null check (state in ('firing', 'resolved')),
    columns jsonb not null default '[]',
    -- Windows in a row over the limit while firing, under it while about to resolve.
    windows_over int not null default 0,
    windows_under int not null default 0,
    event_id text,
    opened_at timestamptz not null,
    resolved_at timestamptz
);
create unique index alert_firing on naura.alert (model, kind) where state = 'firing';

-- People --------------------------------------------------------------------------------------------------------------------
create table naura.notification (
    id bigint generated always as identity primary key,
    channel text not null,
    -- The same cause tells the same channel once.
    dedupe text not null,
    subject text not null,
    body text not null,
    event_id text not null,
    event_type text not null,
    sent_at timestamptz,
    unique (channel, dedupe)
);
create table naura.action (
    id bigint generated always as identity primary key,
    actor text not null,
    verb text not null,
    target text not null,
    reason text not null,
    event_id text,
    at timestamptz not null default now()
);
