#!/usr/bin/env python3
"""Two nodes without a database get the same documents and the same requests; what differs is printed.

    tests/differential/run.py --a ADMIN,PROXY --b ADMIN,PROXY [--seed S] [--count N]     two nodes: a Kong and a Langur, say
    tests/differential/run.py --a ADMIN,PROXY --record FILE [...]                        keeps what one node answered
    tests/differential/run.py --a ADMIN,PROXY --against FILE                             compares a node with what was kept
    tests/differential/run.py --a ADMIN,PROXY --facts FILE                               compares a node with facts.jsonl

ADMIN and PROXY are addresses, such as 127.0.0.1:8001. The documents replace all that the nodes hold. The nodes have to
reach the echo server of this program, which is on 127.0.0.1 unless --upstream names another address of this machine.
"""

import argparse
import base64
import json
import pathlib
import sys

import traffic
from compare import Node, difference, holds, outcome
from documents import Documents, smaller, with_upstream

FACTS = pathlib.Path(__file__).with_name("facts.jsonl")
# Attempts to find a smaller document that makes the same difference.
ATTEMPTS = 300


class Run:
    """One seed against one node or two."""

    def __init__(self, seed, count, requests, upstream, say=print):
        self.seed, self.count, self.requests = seed, count, requests
        self.documents = Documents(seed)
        self.upstream, self.say = upstream, say

    def numbers(self):
        return range(self.count)

    def ask(self, node, number, tree=None):
        """What the node makes of a document, or of a tree in its place."""
        document = self.documents[number]
        texts = None
        tree = document.tree if tree is None else tree
        if document.served:
            tree = document.with_probe(tree)
            texts = traffic.requests(self.seed, number, self.requests)
        tree = with_upstream(tree, self.upstream)
        return outcome(node, tree, number, self.upstream, texts)

    def compare(self, a, b):
        """How many documents two nodes do not take alike."""
        differing = 0
        for number in self.numbers():
            found = difference(self.ask(a, number), self.ask(b, number))
            if found:
                differing += 1
                self.show(number, found, self.smallest(a, b, number))
        return differing

    def smallest(self, a, b, number):
        """The document with all left out that the difference does not need."""
        tree, attempts = self.documents[number].tree, ATTEMPTS
        progress = True
        while progress and attempts > 0:
            progress = False
            for candidate in smaller(tree):
                attempts -= 1
                if attempts <= 0:
                    break
                if difference(self.ask(a, number, candidate), self.ask(b, number, candidate)):
                    tree, progress = candidate, True
                    break
        return tree

    def record(self, node, file):
        with open(file, "w") as out:
            about = {"seed": self.seed, "count": self.count, "requests": self.requests}
            out.write(json.dumps(about) + "\n")
            for number in self.numbers():
                out.write(json.dumps({"number": number, "outcome": self.ask(node, number)}) + "\n")

    def against(self, node, rows):
        differing = 0
        for row in rows:
            found = difference(row["outcome"], self.ask(node, row["number"]))
            if found:
                differing += 1
                self.show(row["number"], found, self.documents[row["number"]].tree)
        return differing

    def show(self, number, found, tree):
        self.say(f"seed {self.seed}, document {number}: {json.dumps(tree, ensure_ascii=False)}")
        texts = traffic.requests(self.seed, number, self.requests)
        for line in found:
            self.say(f"    {line}")
            parts = line.split(".")
            if parts[0] == "requests" and len(parts) > 1:
                self.say(f"        {texts[int(parts[1].split(':')[0])]!r}")


def facts(node, rows, upstream, say=print):
    """How many facts do not hold. A fact is a body for `POST /config`, what is answered, and requests with what comes of
    them."""
    wrong = 0
    for number, row in enumerate(rows):
        missed = []
        if "document" in row:
            tree = row["document"]
            if "requests" in row:
                probe = Documents("facts")[0]
                probe.number = number
                tree = probe.with_probe(tree)
            body = json.dumps(with_upstream(tree, upstream)).encode()
        else:
            body = base64.b64decode(row["base64"]) if "base64" in row else row["body"].encode()
        for _ in range(row.get("times", 1)):
            status, answer = node.load(body, row.get("type", "application/json"), row.get("query", ""))
        if status != row["status"]:
            missed.append(f"status: {row['status']} expected, {status} found: {json.dumps(answer)[:500]}")
        elif status == 400:
            missed += holds(row.get("answer", {}), answer)
        else:
            for kind, entities in row.get("stored", {}).items():
                by_name = {entity.get("name") or entity.get("username"): entity for entity in answer.get(kind, {}).values()}
                missed += holds(entities, by_name, kind)
        if status == 201 and "requests" in row:
            node.wait_for(number)
            for request in row["requests"]:
                found = traffic.send(node.proxy, request["raw"])
                missed += [f"{line} for {request['raw']!r}" for line in holds(request["expect"], found)]
        if missed:
            wrong += 1
            say(f"{row['case']}: {json.dumps(row.get('document', row.get('body')), ensure_ascii=False)[:800]}")
            for line in missed:
                say(f"    {line}")
    return wrong


def rows_of(file):
    with open(file) as lines:
        return [json.loads(line) for line in lines if line.strip()]


def node_of(text):
    admin, _, proxy = text.partition(",")
    if not proxy:
        raise argparse.ArgumentTypeError("ADMIN,PROXY: two addresses")
    return Node(admin, proxy)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", type=node_of, required=True, metavar="ADMIN,PROXY")
    parser.add_argument("--b", type=node_of, metavar="ADMIN,PROXY")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=200, metavar="DOCUMENTS")
    parser.add_argument("--requests", type=int, default=20, metavar="PER_DOCUMENT")
    parser.add_argument("--upstream", default="127.0.0.1:0", metavar="ADDRESS")
    parser.add_argument("--record", metavar="FILE")
    parser.add_argument("--against", metavar="FILE")
    parser.add_argument("--facts", nargs="?", const=FACTS, metavar="FILE")
    given = parser.parse_args()
    if sum(map(bool, (given.b, given.record, given.against, given.facts))) != 1:
        parser.error("one of --b, --record, --against and --facts")
    with traffic.Upstream(given.upstream) as upstream:
        if given.facts:
            rows = rows_of(given.facts)
            wrong = facts(given.a, rows, upstream.address)
            print(f"{len(rows) - wrong} of {len(rows)} facts hold")
            sys.exit(wrong > 0)
        if given.against:
            about, *rows = rows_of(given.against)
            run = Run(about["seed"], about["count"], about["requests"], upstream.address)
            differing = run.against(given.a, rows)
        else:
            run = Run(given.seed, given.count, given.requests, upstream.address)
            if given.record:
                run.record(given.a, given.record)
                return
            differing = run.compare(given.a, given.b)
        print(f"{run.count - differing} of {run.count} documents alike")
        sys.exit(differing > 0)


if __name__ == "__main__":
    main()
