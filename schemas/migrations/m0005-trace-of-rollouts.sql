-- What a rollout says answers to the event that promoted its version, also in that event's trace.
alter table naura.rollout add column traceparent text;
