"""A small inference server with real processes and real memory, in the roles of both kinds of backend.

`server.py --port P …` behaves as the MLX server does: it takes its memory when it starts and gives it back when it ends.
`server.py serve` behaves as Ollama does: the memory belongs to a runner process, started by the first request and ended by
an unload, whose 200 comes before the memory. The values in capitals are filled in by the test that writes this file.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MEGABYTES = @MEGABYTES@
LOAD_SECONDS = @LOAD@
# The number of the answer, counted over all restarts, in whose middle it kills itself, or says nothing any more; 0 is never.
DIES_AT = @DIES_AT@
HANGS_AT = @HANGS_AT@
FOLDER = Path(__file__).parent
WORDS = ["The ", "fox ", "is ", "well."]


def memory():
    block = bytearray(MEGABYTES << 20)
    for page in range(0, len(block), 4096):
        block[page] = 1
    return block


if sys.argv[1:2] == ["runner"]:
    held = memory()
    time.sleep(LOAD_SECONDS)
    print("ready", flush=True)
    sys.stdin.read()
    sys.exit()

OLLAMA = sys.argv[1:2] == ["serve"]
PORT = int(os.environ["OLLAMA_HOST"].rsplit(":", 1)[1]) if OLLAMA else int(sys.argv[sys.argv.index("--port") + 1])
lock = threading.Lock()
runner = None
if not OLLAMA:
    held = memory()
    time.sleep(LOAD_SECONDS)


def load():
    global runner
    with lock:
        if runner is None:
            runner = subprocess.Popen([sys.executable, __file__, "runner", str(FOLDER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            runner.stdout.readline()


def unload():
    global runner
    time.sleep(0.05)
    with lock:
        if runner is not None:
            runner.kill()
            runner.wait()
            runner = None


def number_of_this_answer():
    with lock:
        path = FOLDER / "answers"
        count = int(path.read_text()) + 1 if path.exists() else 1
        path.write_text(str(count))
        return count


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def document(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        model = {"name": "fox:latest", "model": "fox:latest", "size": MEGABYTES << 20, "capabilities": ["completion"]}
        if self.path == "/api/ps":
            self.document({"models": [model] if runner else []})
        elif self.path == "/api/tags":
            self.document({"models": [model]})
        elif self.path == "/api/version":
            self.document({"version": "0.0"})
        else:
            self.document({"status": "ok"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if OLLAMA and not body.get("messages"):
            self.document({"model": body["model"], "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "unload"})
            threading.Thread(target=unload).start()
            return
        if OLLAMA:
            load()
        limit = body.get("max_tokens") or body.get("options", {}).get("num_predict") or 99
        number = number_of_this_answer() if limit > 1 else 0
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson" if OLLAMA else "text/event-stream")
        self.end_headers()
        if number and number == HANGS_AT:
            time.sleep(3600)
        for word in WORDS[:limit]:
            self.piece(word)
            if number and number == DIES_AT:
                os.kill(os.getpid(), signal.SIGKILL)
        self.end(len(WORDS[:limit]))

    def piece(self, word):
        if OLLAMA:
            line = json.dumps({"model": "fox", "message": {"role": "assistant", "content": word}, "done": False}) + "\n"
        else:
            delta = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
            line = "data: " + json.dumps({"object": "chat.completion.chunk", "choices": [delta]}) + "\n\n"
        self.wfile.write(line.encode())
        self.wfile.flush()

    def end(self, count):
        if OLLAMA:
            last = {"model": "fox", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop",
                    "prompt_eval_count": 400, "prompt_eval_duration": 1000, "eval_count": count, "eval_duration": 1000}
            self.wfile.write((json.dumps(last) + "\n").encode())
            return
        stop = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        usage = {"object": "chat.completion.chunk", "choices": [], "usage": {
            "prompt_tokens": 400, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": 390}}}
        for event in (stop, usage):
            self.wfile.write(("data: " + json.dumps(event) + "\n\n").encode())
        self.wfile.write(b"data: [DONE]\n\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True


Server(("127.0.0.1", PORT), Handler).serve_forever()
