"""A stock client that does nothing but be there: push.py <producer|consumer|admin> <bootstrap> <client id>.

Closes itself when its standard input ends, and says so: a client that aborted the process says nothing.
"""

import sys
import threading

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient


def main():
    kind, bootstrap, client_id = sys.argv[1:4]
    settings = {"bootstrap.servers": bootstrap, "client.id": client_id}
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    if kind == "consumer":
        client = Consumer({**settings, "group.id": "orders-group"})
        client.subscribe(["orders"])
        poll = client.poll
    else:
        client = AdminClient(settings) if kind == "admin" else Producer(settings)
        poll = client.poll
    print("running", flush=True)
    while not ended.is_set():
        poll(0.05)
    if kind == "consumer":
        client.close()
    del client, poll
    print("closed", flush=True)


main()
