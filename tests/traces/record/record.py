"""Records one client through scenarios: record.py OUT [--only NAME,..] [--seconds N] -- COMMAND.. .

COMMAND gets the address as its last argument, lives until its input ends, and prints a line before it closes."""

import argparse
import concurrent.futures
import pathlib
import subprocess
import time

import broker

ASK_AGAIN = [117, "ok"]
SCENARIOS = {
    "ok": {},
    "delta": {"delta": True, "metrics": [""]},
    "push-117": {"push": ["ok", 117, "ok"]},
    "push-76": {"push": ["ok", 76, "ok"]},
    "push-89": {"push": ["ok", 89, "ok"]},
    "push-118": {"push": ["ok", 118, "ok"]},
    "push-87": {"push": ["ok", 87, "ok"]},
    "push-42": {"push": ["ok", 42, "ok"]},
    "push-35": {"push": ["ok", 35, "ok"]},
    "push-unknown": {"push": ["ok", 1234, "ok"]},
    "push-close": {"push": ["ok", "close", "ok"]},
    "get-first-89": {"get": [89, "ok"]},
    "get-first-close": {"get": ["close", "ok"]},
    # The client knows an interval by then.
    "get-89": {"get": ["ok", 89, "ok"], "push": ASK_AGAIN},
    "get-117": {"get": ["ok", 117, "ok"], "push": ASK_AGAIN},
    "get-76": {"get": ["ok", 76, "ok"], "push": ASK_AGAIN},
    "get-118": {"get": ["ok", 118, "ok"], "push": ASK_AGAIN},
    "get-42": {"get": ["ok", 42, "ok"], "push": ASK_AGAIN},
    "get-87": {"get": ["ok", 87, "ok"], "push": ASK_AGAIN},
    "get-35": {"get": ["ok", 35, "ok"], "push": ASK_AGAIN},
    "get-unknown": {"get": ["ok", 1234, "ok"], "push": ASK_AGAIN},
    "get-close": {"get": ["ok", "close", "ok"], "push": ASK_AGAIN},
    "absent": {"absent_ms": 4000},
    "idle-close": {"close_at_ms": 3700, "interval_ms": 2000},
    "empty": {"metrics": []},
    "unmatched": {"metrics": ["no.such."]},
    "star-and-more": {"metrics": ["*", "no.such."]},
    "no-codecs": {"codecs": []},
}


def record(name, command, seconds, out):
    scribe = broker.Broker(SCENARIOS[name])
    address = [f"127.0.0.1:{scribe.port}"]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with subprocess.Popen(command + address, **pipes) as client:
        scribe.reached.wait(60)
        time.sleep(seconds)
        client.stdin.close()
        for _ in client.stdout:
            scribe.note(event="closing")
    scribe.write(out / f"{name}.jsonl")
    return name


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--only", default=",".join(SCENARIOS))
    parser.add_argument("--seconds", type=int, default=9)
    parser.add_argument("--at-once", type=int, default=6)
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(args.at_once) as pool:
        work = [pool.submit(record, name, args.command, args.seconds, args.out) for name in args.only.split(",")]
        for done in work:
            done.result()


main()
