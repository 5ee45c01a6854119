"""A receiver on 127.0.0.1:8099: a line of JSON for each request, into the file that is named.

The path decides the answer: /slow... takes 300 ms, /fail... answers 500, all others 200 at once.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lines = open(sys.argv[1], "a", buffering=1)
one = threading.Lock()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path.startswith("/slow"):
            time.sleep(0.3)
        signature = self.headers.get("X-Qt-Signature", "")
        with one:
            lines.write(json.dumps({"path": self.path, "signature": signature, "body": body}) + "\n")
        self.send_response(500 if self.path.startswith("/fail") else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 512


Server(("127.0.0.1", 8099), Receiver).serve_forever()
