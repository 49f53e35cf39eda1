"""Makes a topic and fills it with records of 1 KB.

produce.py BOOTSTRAP TOPIC PARTITIONS RECORDS KEYS
"""

import json
import sys

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

RECORD_BYTES = 1_024


def payload(number, key):
    items = [{"sku": f"s-{one}", "qty": one, "price": one * 1.25} for one in range(10)]
    record = {"id": number, "k": key, "type": "order.created", "items": items, "p": ""}
    record["p"] = "x" * (RECORD_BYTES - len(json.dumps(record)))
    return json.dumps(record).encode()


def main():
    bootstrap, topic = sys.argv[1:3]
    partitions, records, keys = map(int, sys.argv[3:])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        made.result()
    settings = {"linger.ms": 20, "queue.buffering.max.messages": 1_000_000}
    producer = Producer({"bootstrap.servers": bootstrap, **settings})
    for number in range(records):
        key = number % keys
        producer.produce(topic, payload(number, key), key=b"k%d" % key)
        if number % 1_000 == 0:
            producer.poll(0)
    if producer.flush(60):
        raise SystemExit("not all records were taken")


main()
