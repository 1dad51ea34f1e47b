"""A TCP relay in front of a server, which can be told to cut the connections or to lose what passes."""

import contextlib
import socket
import threading

CHUNK = 65536


class Relay:
    """Passes connections on to `target`. Directions are seen from who connects: what goes to the
    server is `up`, what comes from it is `down`."""

    def __init__(self, target):
        self.target = target
        self.lock = threading.Lock()
        self.open = set()
        self.refusing = False
        self.lost = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def cut(self):
        """Ends all connections, and new ones as soon as they are there."""
        with self.lock:
            self.refusing = True
            for each in self.open:
                self.end(each)

    def lose(self, direction):
        """What goes in one direction arrives nowhere."""
        self.lost.add(direction)

    def heal(self):
        """New connections are passed on again, whole; those that have lost something end."""
        if self.lost:
            self.cut()
        self.lost.clear()
        self.refusing = False

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.open |= {client, server}
                if self.refusing:
                    self.end(client)
                    self.end(server)
            for direction, *ends in (("up", client, server), ("down", server, client)):
                threading.Thread(target=self.copy, args=[direction, *ends], daemon=True).start()

    def copy(self, direction, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if direction not in self.lost:
                    sink.sendall(data)
        self.end(source)
        self.end(sink)
        # The other direction's thread still reads what this one writes to.
        source.close()
        with self.lock:
            self.open.discard(source)

    @staticmethod
    def end(each):
        # Wakes the thread that reads it, which closes it.
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
