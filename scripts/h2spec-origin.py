#!/usr/bin/env python3
"""The origin of scripts/h2spec.sh: 200 and a body for every request.

    h2spec-origin.py PORT

h2spec needs a body that its flow control can hold back. Its requests break off in every
way that there is: connections that end early are no news.
"""

import http.server
import sys

BODY = b"x" * 256


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one write.
    wbufsize = -1

    def answer(self) -> None:
        self.skip_body()
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(BODY)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = answer

    def skip_body(self) -> None:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while True:
            line = self.rfile.readline()
            if not line:
                raise ConnectionResetError
            size = int(line.partition(b";")[0], 16)
            # The chunk, or the empty line after the last one, and its line end.
            self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
