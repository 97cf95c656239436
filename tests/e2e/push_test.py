"""Real pushes to servers: by path, over ssh and over http, with the credentials that each wants,
while the observer dies at random. Each commit of the line gets a verdict from a worker that fetched
it over the same way."""

import json
import os
import random
import signal
import unittest
import urllib.parse

import tap
from fettle import Case, Repository, wait_until
from servers import HttpServer, SshServer, find_sshd


class Pushes(Case):
    ROUNDS = 4

    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("FETTLE_SEED", random.randrange(10**6)))
        print(f"# FETTLE_SEED={seed}")
        self.draw = random.Random(seed)
        self.mine = Repository(self.house, "mine")
        self.server = Repository(self.house, "app.git")
        self.server.git("config", "core.bare", "true")
        self.server.path = os.path.join(self.server.path, ".git")
        self.server.git("config", "http.receivepack", "true")
        self.mine.commit()
        self.mine.git("push", "-q", self.server.path, "main")
        self.folder = self.house.path("credentials")
        os.makedirs(self.folder)

    def add_credential(self, name, content, mode=0o600):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(path, mode)

    def observer(self, url):
        return self.house.observer(f"app={url}", interval="500ms", flags=("--credentials", self.folder))

    def push(self, url, environment):
        """Some commits; now and then on a branch, too."""
        before = dict(self.mine.environment)
        for number in range(self.draw.randrange(1, 3)):
            self.mine.steps(f"echo {number} {self.draw.random()}")
        self.mine.environment = {**before, **environment}
        self.mine.git("push", "-q", url, "main")
        if self.draw.random() < 0.3:
            self.mine.git("push", "-q", "-f", url, "main:refs/heads/topic")
        self.mine.environment = before

    def builds(self):
        rows = self.house.json("builds", "--limit", "0")["builds"]
        rows.sort(key=lambda row: row["build"])
        return [row for row in rows if row["ref"] == "refs/heads/main"]

    def push_and_kill(self, url, environment=None):
        environment = environment or {}
        self.house.broker()
        self.house.worker("one", "--credentials", self.folder)
        observer = self.observer(url)
        self.wait_for_skip()
        for _ in range(self.ROUNDS):
            self.push(url, environment)
            if self.draw.random() < 0.6:
                self.house.stop(observer, signal.SIGKILL)
                observer = self.observer(url)
        self.wait_for_rest()

    def wait_for_skip(self):
        """The first commit has nothing to run."""
        first = self.mine.git("rev-parse", "main")
        wait_until(lambda: any(row["commit"] == first for row in self.builds()), "it is seen")

    def wait_for_rest(self):
        line = self.mine.git("rev-list", "--reverse", "--first-parent", "main").split()
        wait_until(lambda: line[-1] in [row["commit"] for row in self.builds()], "the tip is seen")
        for commit in line[1:]:
            self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual([row["commit"] for row in self.builds()], line)

    def error(self):
        """Why the repository cannot be looked at, once there is a reason."""
        rows = []

        def find():
            done = self.house.cli_words(("repo", "list", "--json"))
            rows[:] = json.loads(done.stdout)["repositories"]
            return rows[0].get("error") if rows else None

        return wait_until(find, "the repository fails")

    def test_by_path(self):
        self.push_and_kill(self.server.path)

    def ssh(self):
        server = SshServer(self.house)
        self.addCleanup(server.close)
        return server

    @unittest.skipUnless(find_sshd(), "there is no sshd")
    def test_over_ssh(self):
        ssh = self.ssh()
        self.add_credential("known_hosts", ssh.known_host(), 0o644)
        with open(ssh.path("user"), encoding="utf-8") as file:
            self.add_credential("app.key", file.read())
        self.push_and_kill(ssh.url(self.server), ssh.environment())

    @unittest.skipUnless(find_sshd(), "there is no sshd")
    def test_over_ssh_without_what_it_wants(self):
        ssh = self.ssh()
        self.house.broker()
        self.observer(ssh.url(self.server))
        self.assertRegex(self.error(), "cannot reach the repository: ssh: .*verification failed")
        self.add_credential("known_hosts", ssh.known_host(), 0o644)
        wait_until(lambda: "Permission denied" in self.error(), "the host is known, without restart")

    def http(self):
        server = HttpServer(self.house)
        self.addCleanup(server.close)
        return server

    def tokens(self, server, token=None):
        word = urllib.parse.quote(token or server.token, safe="")
        return f"http://{server.user}:{word}@127.0.0.1:{server.port}\n"

    def test_over_http_with_a_token(self):
        server = self.http()
        self.add_credential("tokens", self.tokens(server))
        self.push_and_kill(server.url(self.server), server.environment())
        self.assertGreater(server.refused, 0)  # it asks, and only then a token is sent
        self.assertNotIn(server.token, self.house.all_logs())

    def test_over_http_with_a_token_that_is_wrong_or_open_to_others(self):
        server = self.http()
        self.house.broker()
        self.observer(server.url(self.server))
        self.assertIn("wants a token, and there is none", self.error())
        self.add_credential("app.tokens", self.tokens(server, "wrong"))
        wait_until(lambda: "refuses the token" in self.error(), "a token is sent")
        self.add_credential("app.tokens", self.tokens(server), 0o644)
        wait_until(lambda: "chmod 600" in self.error(), "it says what to do")
        self.add_credential("app.tokens", self.tokens(server))
        commit = self.mine.git("rev-parse", "main")
        wait_until(lambda: commit in [row["commit"] for row in self.builds()], "it is let in")


if __name__ == "__main__":
    tap.main()
