"""A small stand-in for the Hugging Face hub: makes repositories, takes commits, hands out files."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"


class Hub(ThreadingHTTPServer):
    """Repositories in memory.

    Attributes:
        commits: by repository its commits, oldest first, each {path: bytes}.
        private: repositories that only ``TOKEN`` may read.
        failing: an HTTP status that every request gets, or 0.
        asked: "METHOD path" of every request.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.commits, self.private, self.failing, self.asked = {}, set(), 0, []
        self.address = f"http://127.0.0.1:{self.server_port}"

    def files(self, repo):
        return self.commits[repo][-1]


def sha(repo, number):
    return hashlib.sha1(f"{repo} {number}".encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def start(self):
        """Read the body; whether the request was answered already."""
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            self.body = b"".join(chunks)
        self.path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {self.path}")
        self.may = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.server.failing:
            self.answer(self.server.failing, {"error": "broken"})
        return bool(self.server.failing)

    def repository(self, parts):
        """The repository and its number of a commit; None after an error was answered."""
        repo, commits = "/".join(parts[:2]), self.server.commits.get("/".join(parts[:2]))
        if commits is None or (repo in self.server.private and not self.may):
            self.answer(404 if self.may else 401, {"error": "x"}, X_Error_Code="RepoNotFound")
            return None
        revision = parts[3] if len(parts) > 3 else "main"
        known = {sha(repo, number): number for number in range(len(commits))} | {"main": len(commits) - 1}
        if revision not in known:
            self.answer(404, {"error": "x"}, X_Error_Code="RevisionNotFound")
            return None
        return repo, known[revision]

    def do_POST(self):
        if self.start():
            return
        if self.path == "/api/validate-yaml":
            self.answer(200, {"warnings": [], "errors": []})
        elif not self.may:
            self.answer(401, {"error": "Invalid username or password."})
        elif self.path == "/api/repos/create":
            asked = json.loads(self.body)
            repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
            if repo.startswith("other/"):
                self.answer(403, {"error": "You don't have the rights to create a model under this namespace"})
                return
            self.server.commits.setdefault(repo, [{}])
            if asked.get("private") or asked.get("visibility") == "private":
                self.server.private.add(repo)
            self.answer(200, {"url": f"{self.server.address}/{repo}", "name": repo})
        elif "/preupload/" in self.path:
            files = json.loads(self.body)["files"]
            modes = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in files]
            self.answer(200, {"files": modes})
        elif "/commit/" in self.path:
            repo = "/".join(self.path.split("/")[3:5])
            files = dict(self.server.files(repo))
            for line in map(json.loads, self.body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.server.commits[repo].append(files)
            oid = sha(repo, len(self.server.commits[repo]) - 1)
            self.answer(
                200, {"commitUrl": f"{self.server.address}/{repo}/commit/{oid}", "commitOid": oid, "success": True}
            )
        else:
            self.answer(404, {"error": "no such address"})

    def do_GET(self):
        if self.start():
            return
        parts = self.path.strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        found = self.repository(parts[2:] if is_api else parts)
        if found is None:
            return
        repo, number = found
        files, oid = self.server.commits[repo][number], sha(repo, number)
        if is_api and "tree" in parts:
            entries = [
                {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for path, content in files.items()
            ]
            self.answer(200, entries)
        elif is_api:
            siblings = [{"rfilename": path} for path in files]
            self.answer(
                200, {"id": repo, "modelId": repo, "sha": oid, "private": False, "tags": [], "siblings": siblings}
            )
        elif (path := "/".join(parts[4:])) in files:
            etag = f'"{hashlib.sha1(files[path]).hexdigest()}"'
            self.answer(200, files[path], ETag=etag, X_Repo_Commit=oid)
        else:
            self.answer(404, {"error": "x"}, X_Error_Code="EntryNotFound")

    do_HEAD = do_GET


@contextmanager
def hub():
    """``with hub() as server:`` a hub that answers at ``server.address``."""
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
