"""The same stage as a Python program: confluent-kafka and psycopg, exactly once by the same transaction.

    python3 consumer.py BROKERS DATABASE_URL EVENTS BATCH

Per event one inbox row, one effect row and one outbox row in one transaction (BATCH 1), or in one for up to BATCH
events; the outgoing events are produced after the commit with acks=all, and awaited before the offset is. Prints one row of a Markdown table.
"""

import hashlib
import json
import resource
import sys
import time
import uuid

import psycopg
from confluent_kafka import Consumer, Producer

brokers, database_url, events, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
group = f"python-{uuid.uuid4()}"

with psycopg.connect(database_url) as setup:
    setup.execute("create schema if not exists peer")
    setup.execute("drop table if exists peer.inbox, peer.effect, peer.outbox")
    setup.execute("create table peer.inbox (stage text, event_key uuid, day date, primary key (stage, event_key, day))")
    setup.execute("create table peer.effect (event_id text primary key, model text, label text)")
    setup.execute(
        "create table peer.outbox (number bigint generated always as identity primary key, event_id text, type text,"
        " subject text, cause_id text, body bytea)")

consumer = Consumer({
    "bootstrap.servers": brokers, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
    "session.timeout.ms": 6000, "fetch.wait.max.ms": 5, "partition.assignment.strategy": "cooperative-sticky"})
producer = Producer({"bootstrap.servers": brokers, "acks": "all", "enable.idempotence": True, "linger.ms": 2,
                     "partitioner": "murmur2_random"})
consumer.subscribe(["ground-truth"])
connection = psycopg.connect(database_url)


def event_of(message):
    headers = {name: value.decode() for name, value in message.headers()}
    return headers["ce_id"], headers["ce_time"][:10], json.loads(message.value())


def claim(cursor, parsed):
    """Those of the events that were not handled before: what a rebalance delivers again is skipped."""
    keys = [uuid.UUID(bytes=hashlib.sha256(event_id.encode()).digest()[:16]) for event_id, _, _ in parsed]
    cursor.execute(
        "insert into peer.inbox select 'count-labels', * from unnest(%s::uuid[], %s::date[])"
        " on conflict do nothing returning event_key",
        (keys, [day for _, day, _ in parsed]))
    fresh = {row[0] for row in cursor}
    return [event for key, event in zip(keys, parsed) if key in fresh]


def settle(messages):
    said = []
    with connection.transaction(), connection.cursor() as cursor:
        parsed = claim(cursor, [event_of(message) for message in messages])
        cursor.executemany(
            "insert into peer.effect values (%s, %s, %s)",
            [(event_id, body["model"], body["items"][0]["label"]) for event_id, _, body in parsed])
        for event_id, _, body in parsed:
            derived = hashlib.sha256(f"count-labels/retrain-due/{body['model']}/{event_id}".encode()).hexdigest()[:32]
            said.append((derived, body["model"], event_id, json.dumps(
                {"model": body["model"], "requested_by": "bench", "reason": "measured"}).encode()))
        cursor.executemany(
            "insert into peer.outbox (event_id, type, subject, cause_id, body) values (%s, 'retrain-due', %s, %s, %s)",
            said)
    for derived, model, cause, body in said:
        producer.produce("retrain-due", body, key=model, headers={"ce_id": derived, "ce_causeid": cause})
    # Acknowledged before the offset moves: else a crash in between would lose what was said.
    producer.flush()
    consumer.commit(asynchronous=False)
    return len(said)


handled, started = 0, None
while handled < events:
    messages = [m for m in consumer.consume(batch, timeout=0.05 if batch > 1 else 1.0) if m.error() is None]
    if not messages:
        continue
    started = started or time.monotonic()
    handled += settle(messages)
seconds = time.monotonic() - started
usage = resource.getrusage(resource.RUSAGE_SELF)
name = "Python, single" if batch == 1 else f"Python, batches up to {batch}"
print(f"| {name} (confluent-kafka, psycopg) | {handled} | {handled / seconds:.0f} "
      f"| {(usage.ru_utime + usage.ru_stime) / handled * 1e6:.0f} |")
consumer.close()
