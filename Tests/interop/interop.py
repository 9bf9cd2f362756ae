"""The PyPI SDK `cloudevents` against Naura, for Tests/: publishes events as its users would, and reads every record.

    interop.py publish BROKERS NUMBER   two events, `sdk-binary-NUMBER` and `sdk-structured-NUMBER`
    interop.py accept BROKERS TOPIC…    reads all records of the topics; prints {topic: records}; ends with 1 and
                                        the reasons when the SDK refuses one
"""

import json
import sys
from datetime import datetime, timezone

from cloudevents.core.bindings import kafka
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

# The attributes that each of Naura's own events bears.
OWN = ["id", "type", "source", "specversion", "subject", "time", "datacontenttype", "dataschema", "rootid"]


def publish(brokers, number):
    producer = Producer({"bootstrap.servers": brokers})
    for mode, write in [("binary", kafka.to_binary_event), ("structured", kafka.to_structured_event)]:
        event = CloudEvent(
            {
                "id": f"sdk-{mode}-{number}",
                "type": "new-data",
                "source": "/python/sdk",
                "time": datetime.now(timezone.utc),
                "datacontenttype": "application/json",
                "partitionkey": "one",
            },
            {"dataset": "one", "uri": f"file:///ok/{number}"},
        )
        message = write(event)
        producer.produce("new-data", key=message.key, value=message.value, headers=list(message.headers.items()))
    if producer.flush(20) > 0:
        sys.exit("the broker did not acknowledge")


def records(brokers, topics):
    """All records of the topics, until none has come for three seconds: not every broker tells a partition's end."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "interop", "enable.auto.commit": False})
    known = consumer.list_topics(timeout=20).topics
    consumer.assign(
        [TopicPartition(topic, partition, OFFSET_BEGINNING) for topic in topics for partition in known[topic].partitions]
    )
    while (record := consumer.poll(3)) is not None:
        if record.error():
            sys.exit(f"{record.topic()} cannot be read: {record.error()}")
        yield record
    consumer.close()


def faults(record):
    headers = dict(record.headers() or [])
    event = kafka.from_kafka_event(kafka.KafkaMessage(headers, record.key(), record.value()))
    if event.get_type() != record.topic():
        yield f"its type is {event.get_type()}"
    if not isinstance(event.get_data(), dict):
        yield f"its data is {type(event.get_data()).__name__}, not an object"
    if event.get_source().startswith("/naura/"):
        attributes = event.get_attributes()
        yield from (f"attribute {name} is missing" for name in OWN if not attributes.get(name))
        if event.get_subject().encode() != record.key():
            yield f"its key is {record.key()}, its subject {event.get_subject()}"
        # And back again: what the SDK writes is what it has read.
        again = kafka.from_structured_event(kafka.to_structured_event(event))
        if again.get_data() != event.get_data() or again.get_id() != event.get_id():
            yield "it does not survive the structured mode"


def accept(brokers, topics):
    counts, refusals = dict.fromkeys(topics, 0), []
    for record in records(brokers, topics):
        counts[record.topic()] += 1
        place = f"{record.topic()}/{record.partition()}/{record.offset()}"
        try:
            refusals += [f"{place}: {fault}" for fault in faults(record)]
        except Exception as error:  # Whatever the SDK raises is a refusal.
            refusals.append(f"{place}: {error!r}")
    print(json.dumps(counts))
    if refusals:
        sys.exit("\n".join(refusals[:20]))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["publish", brokers, number]:
            publish(brokers, int(number))
        case ["accept", brokers, *topics]:
            accept(brokers, topics)
        case _:
            sys.exit(__doc__)
