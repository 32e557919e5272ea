"""An HTTP server before an archive that loses a part of what it answers."""

import contextlib
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from imaging.sources import multipart
from tests.imaging.sources.real_archives import servers


@contextlib.contextmanager
def relay(orthanc, lost, certificates=None):
    """An HTTP server before Orthanc that loses what `lost` names: `series` cuts it out of the answer for the whole
    series, `single` answers 404 for the image alone, `torn` cuts the answer for the series in the middle, `moved`
    redirects. With certificates it speaks HTTPS."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            headers = {name: self.headers[name] for name in ("Accept", "Authorization") if name in self.headers}
            answer = requests.get(orthanc.url + self.path, headers=headers, timeout=20)
            body, status, kind = answer.content, answer.status_code, answer.headers.get("Content-Type", "text/plain")
            whole_series = self.path.rpartition("/")[0].endswith("/series") and "multipart" in kind
            if whole_series and "series" in lost:
                marker = b"--" + multipart.boundary(kind)
                body = marker.join(part for part in body.split(marker) if lost["series"].encode() not in part)
            if whole_series and "torn" in lost:
                body = body[: len(body) // 2]
            if "single" in lost and self.path.endswith(lost["single"]):
                status, body = 404, b"{}"
            self.send_response(302 if "moved" in lost else status)
            if "moved" in lost:
                self.send_header("Location", orthanc.url + self.path)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield servers.Server("X", 1, f"http{'s' if certificates else ''}://localhost:{server.server_port}")
    server.shutdown()
    server.server_close()
