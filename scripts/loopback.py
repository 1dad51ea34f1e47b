#!/usr/bin/env python3
"""Addresses for servers of tests and benchmarks. Run, it prints one: an address, a space, a port.

A port of 127.0.0.1 that was free when it was chosen may be taken before the server binds it: by another server, and by
every client on the machine, because connections to loopback addresses come from 127.0.0.1. So each process takes ports
of a loopback address of its own, where nobody else listens and from which no connection comes.
"""
import os, socket

_given = set()


def own_address():
    """A loopback address that no other process on this machine takes (tests/gateway/harness/node.rs does the same)."""
    high, middle, low = os.getpid() >> 16 & 0xFF, os.getpid() >> 8 & 0xFF, os.getpid() & 0xFF
    # The last number is 0, which the other one never has.
    return f"127.{1 + (high ^ middle) % 250}.{1 + low % 250}.0"


def free_port(host=None):
    """A port of the own address that is free, and that was not given before."""
    while True:
        with socket.socket() as s:
            s.bind((host or own_address(), 0))
            port = s.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def free_address():
    return f"{own_address()}:{free_port()}"


if __name__ == "__main__":
    print(own_address(), free_port())
