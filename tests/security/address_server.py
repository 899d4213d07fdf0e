"""A server with TLS on loopback, and a fetcher for which it stands in the open internet under names of our choice."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading
from pathlib import Path

from modules.support.addresses import is_public
from modules.support.fetching import Fetcher, FetchLimits

CERTIFICATE = Path(__file__).with_name("pictures_test.pem")
OPEN = "93.184.215.14"
"""A public address, under which the server is found."""


class Site:
    """What the server answers, by path, and what it was asked."""

    def __init__(self, port):
        self.port = port
        self.asked = []
        self.names = []
        """Of the server, as clients gave them in SNI."""
        self.pages = {}
        self.hosts = {"pictures.test": [OPEN], "moved.test": [OPEN]}
        self.resolved = []
        self.connected = []

    def answer(self, path, body=b"", status=200, **headers):
        """Say what is at a path. A function as body is called with the handler."""
        self.pages[path] = (status, headers, body)
        return f"https://pictures.test:{self.port}{path}"

    def resolve(self, host, port):
        self.resolved.append(host)
        found = self.hosts.get(host)
        if found is None:
            raise socket.gaierror("no such name")
        return found.pop(0) if found and isinstance(found[0], list) else found

    def connect(self, address, port, seconds):
        """As the real one would, but the open address leads to the server here."""
        self.connected.append(address)
        assert is_public(address), "the fetcher has to look at it before"
        return socket.create_connection(("127.0.0.1", self.port), seconds)

    def fetcher(self, **limits):
        def context():
            made = ssl.create_default_context(cafile=str(CERTIFICATE))
            made.verify_flags &= ~ssl.VERIFY_X509_STRICT
            return made

        chosen = FetchLimits(**{"size": 1_000_000, "seconds": 5.0, **limits})
        return Fetcher(chosen, resolve=self.resolve, connect=self.connect, context=context, port=self.port)


@contextlib.contextmanager
def serving():
    """A running `Site`."""
    box = []

    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers what the site says."""

        def do_GET(self):
            site = box[0]
            site.asked.append((self.headers["host"], self.path))
            status, headers, body = site.pages.get(self.path, (404, {}, b"nothing"))
            if callable(body):
                body(self)
                return
            self.send_response(status)
            for key, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *ignored):
            """Nobody reads it."""

    class Server(http.server.ThreadingHTTPServer):
        """Says nothing of clients that hang up."""

        daemon_threads = True

        def handle_error(self, request, client_address):
            """Clients hang up on purpose here."""

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    site = Site(server.server_address[1])
    context.sni_callback = lambda connection, name, old: site.names.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    box.append(site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
