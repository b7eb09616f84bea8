#!/usr/bin/env python3
"""construct with a misbehaving endpoint, as a user runs it: endpoint_test.py PROGRAM [--requests N] [--kills K].

A server process (chat_server.py) is slow, wrong, limits the rate, cuts connections, streams and quotes the key; construct
asks it for N rows, is killed K times (SIGKILL) on the way, and started again. In the end every row is answered, nothing is
paid twice (but for the calls that were under way in the moment of a kill), nothing wrong is in the training file, and the key
is nowhere. `endpoint_test.py build/etrlrec --requests 10000 --kills 3` is the full size.
"""
import argparse
import collections
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
KEY = "sk-never-to-be-seen-0123456789"
FAULTS = ["slow", "html", "empty", "no-choices", "torn-json", "error-200", "limit", "limit-date", "unavailable", "conflict",
          "cut-head", "cut-body", "stream", "stream-cut", "quote-key"]
CONCURRENCY = 16


def expect(holds, message):
    if not holds:
        raise AssertionError(message)


def start_server(*options):
    process = subprocess.Popen([sys.executable, os.path.join(HERE, "chat_server.py"), *map(str, options)],
                               stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


class Trial:
    def __init__(self, program, requests, kills):
        self.program, self.requests, self.kills = program, requests, kills
        self.root = tempfile.mkdtemp(prefix="etrlrec_endpoint_")
        self.said = ""

    def path(self, *names):
        return os.path.join(self.root, *names)

    def run(self, *arguments, code=0):
        environment = {**os.environ, "ETRLREC_API_KEY": KEY}
        done = subprocess.run([self.program, *map(str, arguments)], cwd=self.root, capture_output=True, text=True,
                              env=environment)
        self.said += done.stdout + done.stderr
        expect(done.returncode == code, f"{arguments}: expected exit code {code}, found {done.returncode}\n"
                                        f"{done.stdout}{done.stderr}")
        return done.stdout

    def lines(self, *names):
        if not os.path.exists(self.path(*names)):
            return []
        with open(self.path(*names), encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def construct(self, port, out, *more):
        return ["construct", "-d", "data", "-o", out, "--teacher", "endpoint", "--teacher-model", "m", "--base-url",
                f"http://127.0.0.1:{port}/v1", "--concurrency", CONCURRENCY, "--retry-seconds", .01, "--max-attempts", 40,
                "--max-failures", 1000, "--hint-policy", "always", "--hinted-draws", 1, "--style", "natural", "--limit",
                self.requests, "-q", *more]

    def kill_on_the_way(self, command, out):
        """Kills the command each time another part of the calls is answered; returns the number of kills."""
        kills = 0
        for part in range(self.kills):
            wanted = self.requests * (part + 1) // (self.kills + 1)
            process = subprocess.Popen([self.program, *map(str, command)], cwd=self.root, stderr=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL, env={**os.environ, "ETRLREC_API_KEY": KEY})
            while process.poll() is None and self.count(out) < wanted:
                time.sleep(0.01)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            self.said += process.communicate()[1].decode()
        return kills

    def count(self, out):
        try:
            with open(self.path(out, "calls.jsonl"), "rb") as file:
                return sum(1 for _ in file)
        except FileNotFoundError:
            return 0

    def check(self, out, kills):
        paid = self.lines("paid.jsonl")
        times = collections.Counter(line["key"] for line in paid)
        twice = sum(count - 1 for count in times.values())
        expect(len(times) == self.requests, f"expected {self.requests} different calls, found {len(times)}")
        expect(twice <= kills * CONCURRENCY, f"{twice} answers were paid twice, {kills} kills")
        nonces = collections.defaultdict(set)
        for line in paid:
            nonces[line["key"]].add(line["nonce"])
        kept = self.lines(out, "reasoning.jsonl")
        for line in kept:
            text = line["completion"]
            nonce = text.split("Nonce ")[1].split()[0]
            expect(nonce in nonces[line["meta"]["key"]], f"the text of another call: {text}")
            expect(line["meta"]["answer"] == line["meta"]["target"], "a wrong answer")
        expect(len({line["meta"]["row"] for line in kept}) == len(kept) >= .97 * self.requests,
               f"{len(kept)} rows of {self.requests} have a reasoning")
        for name in os.listdir(self.path(out)):
            with open(self.path(out, name), encoding="utf-8") as file:
                content = file.read()
            expect(KEY not in content, f"{name} holds the key")
            expect("POISON" not in content or name == "calls.jsonl", f"{name} holds what was wrong")
            expect(name != "calls.jsonl" or all("POISON" not in json.dumps(line.get("reply", "")) for line in
                                                map(json.loads, content.splitlines())), "a reply is wrong")
        expect(KEY not in self.said, "the key was printed")
        status = json.loads(self.run("construct", "-d", "data", "-o", out, "--status", "--json"))
        expect(status["complete"] and status["calls"]["replies"] == self.requests and status["calls"]["failed"] == 0,
               f"status: {status}")
        expect("audit: clean" in self.run("construct", "-d", "data", "-o", out, "--audit"), "audit")
        return twice

    def main(self):
        self.run("prepare", "--format", "synthetic", "--users", max(200, self.requests), "--num-items", 200, "--train-candidates",
                 max(1000, self.requests), "--valid-candidates", 20, "--test-candidates", 20, "-o", "data", "-q")
        faults = [word for fault in FAULTS for word in ("--fault", f"{fault}=0.025")]
        server, port = start_server("--answers", "reason", "--log", self.path("paid.jsonl"), "--key", KEY, "--slow-seconds",
                                    .05, "--retry-after", .02, *faults)
        try:
            begin = time.time()
            command = self.construct(port, "out")
            kills = self.kill_on_the_way(command, "out")
            self.run(*command)
            seconds = time.time() - begin
            twice = self.check("out", kills)
            refused = self.run(*self.construct(port, "other", "--draws", 1, "--api-key-env", "ETRLREC_NO_KEY"), code=7)
            expect(not self.lines("other", "reasoning.jsonl") and KEY not in refused, "a call without a key")
            self.run("construct", "-d", "data", "-o", "out", "--status", "--draws", 7, code=2)
        finally:
            server.kill()
            server.wait()
        shutil.rmtree(self.root)
        print(f"{self.requests} requests, {kills} kills: complete in {seconds:.1f} s, nothing wrong in the training file; "
              f"{twice} answers were under way at a kill and asked for again, none beside these")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    program = os.path.abspath(options.program)
    for kills in sorted({0, options.kills}):
        Trial(program, options.requests, kills).main()


if __name__ == "__main__":
    main()
