"""An idle librdkafka client: librdkafka.py producer|consumer ADDRESS. It lives until its input ends; PYTHONPATH says which
version."""

import sys
import threading

import confluent_kafka

role, address = sys.argv[1:]
settings = {"bootstrap.servers": address, "client.id": "traced", "log_level": 0}
life = threading.Thread(target=sys.stdin.read)
life.start()
if role == "producer":
    client = confluent_kafka.Producer(settings)
else:
    client = confluent_kafka.Consumer({**settings, "group.id": "traced"})
while life.is_alive():
    client.poll(0.05)
print("closing", flush=True)
if role == "consumer":
    client.close()
del client
