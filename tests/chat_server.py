#!/usr/bin/env python3
"""An OpenAI-compatible chat server that misbehaves on purpose, for tests: chat_server.py [OPTIONS].

Prints its port, then serves POST …/chat/completions until it is ended. Which request meets which fault is drawn from --seed
and the number of the request. Every complete good answer is written to --log (key, nonce): what a user would have to pay for.
Whatever it says in a bad answer holds the word POISON, so that a test can look for it.
"""
import argparse
import hashlib
import json
import os
import random
import re
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ["slow", "drip", "html", "empty", "no-choices", "torn-json", "error-200", "limit", "limit-date", "unavailable",
          "conflict", "cut-head", "cut-body", "stream", "stream-cut", "refuse", "quote-key"]


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fault", action="append", default=[], metavar="NAME=SHARE", help=", ".join(FAULTS))
    parser.add_argument("--first", action="append", default=[], metavar="NAME", help="faults of the first requests, in order")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slow-seconds", type=float, default=0.2)
    parser.add_argument("--retry-after", default="0.05")
    parser.add_argument("--die-after", type=int, default=0, help="requests; then the process ends in the middle of an answer")
    parser.add_argument("--status", type=int, default=0, help="answers everything with this status")
    parser.add_argument("--redirect", default="", help="answers everything with a redirect to this")
    parser.add_argument("--key", default="", help="the only key that is let in")
    parser.add_argument("--answers", choices=["echo", "reason", "think", "score"], default="echo")
    parser.add_argument("--no-usage", action="store_true")
    parser.add_argument("--log", default="")
    parser.add_argument("--cert", default="")
    parser.add_argument("--private-key", default="")
    return parser.parse_args(arguments)


class State:
    """What the threads of the server share."""

    def __init__(self, options):
        self.options, self.lock, self.requests, self.under_way = options, threading.Lock(), 0, 0
        self.shares = [(name, float(share)) for name, share in (fault.split("=") for fault in options.fault)]
        for name in [name for name, _ in self.shares] + options.first:
            if name not in FAULTS:
                sys.exit(f"unknown fault {name}; known: {', '.join(FAULTS)}")
        self.log = open(options.log, "a", buffering=1) if options.log else None

    def next_fault(self):
        with self.lock:
            number, self.requests = self.requests, self.requests + 1
            if self.options.die_after and number >= self.options.die_after:
                return "die"
            self.under_way += 1
        if number < len(self.options.first):
            return self.options.first[number]
        drawn = random.Random(f"{self.options.seed}/{number}").random()
        for name, share in self.shares:
            if drawn < share:
                return name
            drawn -= share
        return ""

    def answered(self):
        with self.lock:
            self.under_way -= 1

    def die(self):
        """Ends the process once what was sent is in the log, too."""
        while self.under_way:
            time.sleep(0.001)
        os._exit(1)

    def paid(self, entry):
        if self.log:
            with self.lock:
                self.log.write(json.dumps(entry) + "\n")


def reasoning_of(question, nonce):
    """Repeats the facts that the guidance lists, which are true, and takes the answer that its notice reveals, else 1."""
    facts = re.findall(r"^- (.+)$", question, re.M)
    known = re.search(r"number (\d+)", question.split("Notice:")[1]) if "Notice:" in question else None
    answer = int(known.group(1)) if known else 1
    sentences = " ".join(fact.rstrip(".") + "." for fact in facts[:9])
    return f"<reasoning>\nNonce {nonce} stands here. {sentences}\n</reasoning>\n<answer>{answer}</answer>"


def score_of(question):
    """From 0 to 1000, of the question's bytes alone."""
    return int(hashlib.sha256(question.encode()).hexdigest(), 16) % 1001


def make_handler(state):
    options = state.options

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def send(self, status, body, kind="application/json", headers=(), cut=None):
            data = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data if cut is None else data[:cut])
            self.wfile.flush()
            if cut is not None:
                self.close_connection = True
                self.connection.close()

        def error(self, status, message, headers=()):
            self.send(status, json.dumps({"error": {"message": "POISON " + message}}), headers=headers)

        def completion(self, request, nonce):
            question = request["messages"][-1]["content"]
            text = f"echo {nonce} {hashlib.sha256(question.encode()).hexdigest()[:16]}"
            if options.answers in ("reason", "think"):
                text = reasoning_of(question, nonce)
            if options.answers == "score":
                text = json.dumps({"score": score_of(question)})
            if options.answers == "think":
                text = "<think>POISON I was told the number.</think>" + text
            message = {"role": "assistant", "content": text}
            document = {"id": nonce, "object": "chat.completion", "model": request["model"],
                        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
            if not options.no_usage:
                document["usage"] = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
            return document

        def stream(self, document, complete):
            text = document["choices"][0]["message"]["content"]
            pieces = [text[:len(text) // 2], text[len(text) // 2:]]
            events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
            if not complete:
                events[0]["choices"][0]["delta"]["content"] = "POISON " + pieces[0]
                events = events[:1]
            else:
                events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": document.get("usage")})
            lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + ("data: [DONE]\n\n" if complete else "")
            self.send(200, lines, "text/event-stream")

        def drip(self, body):
            data = body.encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.1)

        def misbehave(self, fault, body, document):
            """True where the fault is all that is answered."""
            if fault == "slow":
                time.sleep(options.slow_seconds)
                return False
            if fault == "drip":
                self.drip(body)
            elif fault == "html":
                self.send(200, "<html>POISON gateway</html>", "text/html")
            elif fault == "empty":
                self.send(200, "")
            elif fault == "no-choices":
                self.send(200, json.dumps({"id": "POISON", "choices": []}))
            elif fault == "torn-json":
                self.send(200, body.replace("echo", "POISON").replace("Nonce", "POISON")[:-9])
            elif fault == "error-200":
                self.send(200, json.dumps({"error": {"message": "POISON overloaded"}}))
            elif fault == "limit":
                self.error(429, "slow down", [("Retry-After", options.retry_after)])
            elif fault == "limit-date":
                self.error(429, "slow down", [("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT")])
            elif fault == "unavailable":
                self.error(503, "unavailable")
            elif fault == "conflict":
                self.error(409, "conflict")
            elif fault == "refuse":
                self.error(400, "this message is not welcome")
            elif fault == "quote-key":
                self.error(500, "you sent " + self.headers.get("Authorization", "nothing"))
            elif fault == "cut-head":
                self.close_connection = True
                self.connection.close()
            elif fault == "cut-body":
                self.send(200, body.replace("echo", "POISON").replace("Nonce", "POISON"), cut=len(body) // 2)
            elif fault == "stream-cut":
                self.stream(document, False)
            else:
                return False
            return True

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fault = state.next_fault()
            if fault == "die":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"POISON")
                self.wfile.flush()
                state.die()
            try:
                self.answer(request, fault)
            finally:
                state.answered()

        def answer(self, request, fault):
            if options.redirect:
                return self.send(307, "", headers=[("Location", options.redirect)])
            if options.status:
                return self.error(options.status, "no")
            if options.key and self.headers.get("Authorization") != "Bearer " + options.key:
                return self.error(401, "wrong key " + self.headers.get("Authorization", ""))
            if not self.path.endswith("/chat/completions"):
                return self.error(404, "no such path " + self.path)
            nonce = "n%016x" % random.SystemRandom().getrandbits(64)
            document = self.completion(request, nonce)
            body = json.dumps(document)
            if self.misbehave(fault, body, document):
                return None
            if fault == "stream":
                self.stream(document, True)
            else:
                self.send(200, body)
            return state.paid({"key": self.headers.get("Idempotency-Key", ""), "nonce": nonce})

    return Handler


def main():
    options = options_of(sys.argv[1:])
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer.daemon_threads = True
    server = ThreadingHTTPServer(("127.0.0.1", options.port), make_handler(State(options)))
    server.handle_error = lambda *_: None   # a client that was killed
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.private_key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
