import errno
import io
import os
import threading
import urllib.request
from email.message import Message
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.error import URLError

import pytest

from maskstore.errors import InvalidInput
from supsup.datasets.cache import DownloadError, download

BODY = bytes(range(256)) * 1000


def accept(path):
    assert path.read_bytes() == BODY


class Answer(io.BytesIO):
    """What urlopen returns, as far as it is used."""

    headers = Message()


@pytest.fixture
def server(monkeypatch):
    """An HTTP server that knows one path, /file; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/file":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY)

        def log_message(self, *args):
            pass

    monkeypatch.setenv("no_proxy", "*")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("quiet", [True, False])
def test_downloads_over_http(server, tmp_path, capsys, quiet):
    target = tmp_path / "new" / "folder" / "file"
    download(f"{server}/file", target, verify=accept, quiet=quiet)
    accept(target)
    assert os.listdir(target.parent) == ["file"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == ("" if quiet else "downloading file\n")


def test_a_file_url(tmp_path):
    (tmp_path / "source").write_bytes(BODY)
    download((tmp_path / "source").as_uri(), tmp_path / "file", verify=accept, quiet=True)
    accept(tmp_path / "file")


def test_not_on_the_server(server, tmp_path):
    with pytest.raises(DownloadError, match="HTTP 404 Not Found"):
        download(f"{server}/other", tmp_path / "file", verify=accept, quiet=True)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (URLError("Name or service not known"), "Name or service not known"),
        (TimeoutError("timed out"), "timed out"),
        (ConnectionResetError(), "ConnectionResetError"),
        (IncompleteRead(b"abc", 5), "IncompleteRead"),
    ],
)
@pytest.mark.parametrize("when", ["open", "read"])
def test_network_failures_leave_nothing(tmp_path, monkeypatch, failure, message, when):
    class Breaking(Answer):
        def read(self, size=-1):
            block = super().read(size)
            if not block:
                raise failure
            return block

    def opener(url, timeout):
        if when == "open":
            raise failure
        return Breaking(b"half of it")

    monkeypatch.setattr(urllib.request, "urlopen", opener)
    with pytest.raises(DownloadError, match=message):
        download("http://host/file", tmp_path / "file", verify=accept, quiet=True)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("refusal", [InvalidInput("wrong checksum"), KeyboardInterrupt()])
def test_what_is_not_verified_does_not_stay(tmp_path, monkeypatch, refusal):
    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer(BODY))

    def refuse(path):
        accept(path)
        raise refusal

    with pytest.raises(type(refusal)):
        download("http://host/file", tmp_path / "file", verify=refuse, quiet=True)
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer(BODY))
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(InvalidInput, match="taken: cannot keep downloaded files there.*--data"):
        download("http://host/file", tmp_path / "taken" / "file", verify=accept, quiet=True)


def test_a_full_disk(tmp_path, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer(BODY))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidInput, match="No space left on device"):
        download("http://host/file", tmp_path / "file", verify=accept, quiet=True)
    assert os.listdir(tmp_path) == []
