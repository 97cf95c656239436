"""Git servers of a test's own, on this machine: ssh and http with a token."""

import base64
import getpass
import http.server
import os
import shlex
import shutil
import socket
import subprocess
import threading

from fettle import BUILD, wait_until

# Unpacked where it is not installed: see scripts/install-packages.
SSHD_PLACES = ("/usr/sbin/sshd", os.path.join(BUILD, "../build-unpacked/usr/sbin/sshd"))


def find_sshd():
    """A path, or None. It starts itself again by an absolute one."""
    found = [os.path.realpath(path) for path in SSHD_PLACES if os.access(path, os.X_OK)]
    return found[0] if found and shutil.which("ssh") else None


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def is_listening(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class SshServer:
    """An sshd that lets in who has the key, as the user who runs this test."""

    def __init__(self, house):
        self.folder = house.path("sshd")
        os.makedirs(self.folder, mode=0o700)
        for name in ("host", "user"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(name)]
            subprocess.run(words, check=True)
        self.port = free_port()
        self.write_settings()
        with open(self.path("log"), "wb") as log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                self.words(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(lambda: is_listening(self.port), "sshd listens")

    def close(self):
        self.process.terminate()
        self.process.wait()

    def path(self, name):
        return os.path.join(self.folder, name)

    def write_settings(self):
        rows = f"""
ListenAddress 127.0.0.1:{self.port}
HostKey {self.path("host")}
AuthorizedKeysFile {self.path("user.pub")}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
"""
        with open(self.path("settings"), "w", encoding="utf-8") as file:
            file.write(rows)

    def words(self):
        words = [find_sshd(), "-D", "-e", "-f", self.path("settings")]
        return self.inside_of_a_view() + words if os.geteuid() == 0 else words

    def inside_of_a_view(self):
        """Started by root, it wants a user and a folder that only its package makes."""
        with open("/etc/passwd", encoding="utf-8") as file:
            users = "".join(row for row in file if not row.startswith("sshd:"))
        with open(self.path("users"), "w", encoding="utf-8") as file:
            file.write(users + "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n")
        words = ["bwrap", "--die-with-parent", "--dev-bind", "/", "/", "--ro-bind", self.path("users"), "/etc/passwd"]
        return words + ["--tmpfs", "/run", "--perms", "0755", "--dir", "/run/sshd", "--"]

    def url(self, repository):
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{repository.path}"

    def known_host(self):
        """As a row of known_hosts."""
        with open(self.path("host.pub"), encoding="utf-8") as file:
            kind, key = file.read().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def environment(self):
        """For the git of who pushes."""
        with open(self.path("hosts"), "w", encoding="utf-8") as file:
            file.write(self.known_host())
        words = ["ssh", "-F", "none", "-oBatchMode=yes", "-oIdentitiesOnly=yes"]
        words += [f"-oIdentityFile={self.path('user')}"]
        words += [f"-oUserKnownHostsFile={self.path('hosts')}"]
        return {"GIT_SSH_COMMAND": shlex.join(words)}


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, _request, _address):  # pylint: disable=arguments-differ
        """Who asked was killed."""


class HttpServer:
    """git-http-backend(1) behind a server that wants a user and a token for all it does."""

    def __init__(self, house, user="ada", token="s3cret/%+token"):
        self.user, self.token = user, token
        self.house = house
        self.server = Quiet(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.refused = 0
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def url(self, repository):
        path = os.path.relpath(repository.path, self.house.folder)
        return f"http://127.0.0.1:{self.port}/{path}"

    def environment(self):
        """For the git of who pushes."""
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: {self.wanted()}",
        }

    def wanted(self):
        return "Basic " + base64.b64encode(f"{self.user}:{self.token}".encode()).decode()

    def handler(self):
        mine = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_words):  # pylint: disable=arguments-differ
                pass

            def do_GET(self):
                self.answer(b"")

            def do_POST(self):
                self.answer(self.rfile.read(int(self.headers["Content-Length"])))

            def answer(self, body):
                if self.headers["Authorization"] != mine.wanted():
                    mine.refused += 1
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="git"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                head, _, content = mine.run(self, body).partition(b"\r\n\r\n")
                rows = [row.split(": ", 1) for row in head.decode().splitlines()]
                status = [int(value.split()[0]) for name, value in rows if name == "Status"]
                self.send_response(status[0] if status else 200)
                for name, value in rows:
                    if name != "Status":
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler

    def run(self, request, body):
        """What the program of git answers to a request."""
        path, _, query = request.path.partition("?")
        environment = {
            **self.house.environment,
            "GIT_PROJECT_ROOT": self.house.folder,
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": self.user,
            "REQUEST_METHOD": request.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        }
        words = ["git", "http-backend"]
        return subprocess.run(
            words, input=body, env=environment, stdout=subprocess.PIPE, check=False
        ).stdout
