"""Fetching: what arrives is checked, what breaks off is resumed, nothing is executed."""

import errno
import hashlib
import io
import os
import tarfile
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import unearth

from adaptlab import download, sources
from adaptlab.errors import AdaptlabError

TEXT = b"label,text\n" + bytes(range(256)) * 400


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def a_zip(files: dict[str, bytes]) -> bytes:
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return box.getvalue()


def a_tarball(files: dict[str, bytes]) -> bytes:
    box = io.BytesIO()
    with tarfile.open(fileobj=box, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return box.getvalue()


class Server:
    """A package file on loopback. `drop_at` ends each answer after so many bytes of it."""

    def __init__(self, body: bytes, filename: str):
        self.body, self.drop_at, self.ranges = body, None, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                wanted = self.headers.get("Range")
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
                outer.ranges.append(start)
                rest = outer.body[start:]
                self.send_response(206 if wanted else 200)
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                self.wfile.write(rest[: outer.drop_at])

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()
        self.link = unearth.Link(f"http://127.0.0.1:{self._server.server_port}/{filename}")

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def served(monkeypatch, tmp_path, request):
    """serve(body) puts an archive on a server and makes it the source "thing"."""
    servers = []
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path))

    def serve(body: bytes, members: dict[str, str], filename="thing-1.0-py3-none-any.whl", **other):
        server = Server(body, filename)
        servers.append(server)
        settings = {"sha256": sha256(body), "archive": "wheel"} | other
        source = sources.Source(
            name="thing", what="", package="thing", version="1.0", license="", terms="",
            citation="", members=members, **settings,
        )  # fmt: skip
        monkeypatch.setattr(sources, "catalogue", lambda: {"thing": source})
        monkeypatch.setattr(download, "find_archive", lambda *_: server.link)
        return server

    yield serve
    for server in servers:
        server.close()


@pytest.mark.parametrize("pack", [a_zip, a_tarball])
def test_fetch_unpacks_the_members_and_nothing_else(served, pack, tmp_path):
    files = {"thing-1.0/data/a.csv": TEXT, "thing-1.0/setup.py": b"raise SystemExit('executed')"}
    server = served(pack(files), {"thing-1.0/data/a.csv": sha256(TEXT)})
    folder = sources.fetch("thing")
    assert (folder / "a.csv").read_bytes() == TEXT
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == {
        "a.csv", "verified.json", "thing.lock",
    }  # fmt: skip
    sources.fetch("thing")
    assert len(server.ranges) == 1, "a second fetch must not download again"


def test_a_changed_file_is_fetched_again(served):
    served(a_zip({"d/a.csv": TEXT}), {"d/a.csv": sha256(TEXT)})
    file = sources.path("thing", "a.csv")
    file.write_bytes(TEXT[:100])
    assert sources.path("thing", "a.csv").read_bytes() == TEXT


def test_a_broken_download_is_resumed_where_it_broke(served):
    body = a_zip({"d/a.csv": TEXT})
    server = served(body, {"d/a.csv": sha256(TEXT)})
    server.drop_at = len(body) // 3
    sources.fetch("thing")
    assert len(server.ranges) == 4
    assert server.ranges == sorted(set(server.ranges)), "each answer goes on behind the last"


def test_a_download_that_keeps_breaking_says_so_and_keeps_what_arrived(served, tmp_path):
    body = a_zip({"d/a.csv": TEXT})
    server = served(body, {"d/a.csv": sha256(TEXT)})
    server.drop_at = 1000
    with pytest.raises(AdaptlabError, match=r"broke off after 4,000 bytes .* to resume"):
        sources.fetch("thing")
    server.drop_at = None
    sources.fetch("thing")
    assert server.ranges[-1] == 4000


def test_an_archive_with_a_wrong_hash_is_deleted_and_named(served, tmp_path):
    served(a_zip({"d/a.csv": TEXT}), {"d/a.csv": sha256(TEXT)}, sha256="0" * 64)
    with pytest.raises(AdaptlabError, match=r"thing-1.0\S+ .*wrong sha256.*expected 0{64}, found"):
        sources.fetch("thing")
    assert not list(tmp_path.rglob("*.whl*"))
    assert not list(tmp_path.rglob("a.csv*"))


def test_a_member_with_a_wrong_hash_is_deleted_and_named(served, tmp_path):
    served(a_zip({"d/a.csv": TEXT}), {"d/a.csv": "1" * 64})
    with pytest.raises(AdaptlabError, match=r"d/a.csv .*wrong sha256.*expected 1{64}, found"):
        sources.fetch("thing")
    assert not list(tmp_path.rglob("a.csv*"))


def test_a_missing_member_is_named(served):
    served(a_zip({"d/b.csv": TEXT}), {"d/a.csv": sha256(TEXT)})
    with pytest.raises(AdaptlabError, match=r"no readable member d/a.csv"):
        sources.fetch("thing")


@pytest.mark.parametrize("pack", [a_zip, a_tarball])
@pytest.mark.parametrize("pack_inner", [a_zip, a_tarball])
def test_a_file_of_an_inner_archive_is_unpacked_alone(served, pack, pack_inner, tmp_path):
    inner = pack_inner({"in/a.txt": TEXT, "_about.txt": b"not asked for"})
    member = "thing-1.0/data/a.zip!in/a.txt"
    served(pack({"thing-1.0/data/a.zip": inner}), {member: sha256(TEXT)})
    assert sources.path("thing", "a.txt").read_bytes() == TEXT
    assert sources.hashes(["thing"]) == {"thing/a.txt": sha256(TEXT)}
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == {
        "a.txt", "verified.json", "thing.lock",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("held", "member"),
    [
        ({"d/a.zip": a_zip({"b.txt": TEXT})}, "d/a.zip!a.txt"),  # not in the inner archive
        ({"d/b.zip": a_zip({"a.txt": TEXT})}, "d/a.zip!a.txt"),  # no such inner archive
        ({"d/a.zip": TEXT}, "d/a.zip!a.txt"),  # no archive
        ({"d/a.zip": a_zip({"a.txt": TEXT})[:-9]}, "d/a.zip!a.txt"),  # a broken one
    ],
)
def test_a_missing_inner_member_is_named(served, held, member, tmp_path):
    served(a_zip(held), {member: sha256(TEXT)})
    with pytest.raises(AdaptlabError, match=f"no readable member {member}$"):
        sources.fetch("thing")
    assert not list(tmp_path.rglob("a.txt*"))


def test_an_inner_member_with_a_wrong_hash_is_deleted(served, tmp_path):
    served(a_zip({"d/a.zip": a_zip({"a.txt": TEXT})}), {"d/a.zip!a.txt": "1" * 64})
    with pytest.raises(AdaptlabError, match=r"d/a.zip!a.txt .*wrong sha256"):
        sources.fetch("thing")
    assert not list(tmp_path.rglob("a.txt*"))


def test_a_full_disk_is_one_line(served, monkeypatch):
    served(a_zip({"d/a.csv": TEXT}), {"d/a.csv": sha256(TEXT)})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "a.csv")

    monkeypatch.setattr(sources, "_copy", full)
    with pytest.raises(AdaptlabError, match=r"cannot store source thing .*No space left"):
        sources.fetch("thing")


def test_a_cache_that_cannot_be_made_is_one_line(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("ADAPTLAB_CACHE", str(blocked / "cache"))
    with pytest.raises(AdaptlabError, match="cannot create the cache"):
        sources.fetch("movie-reviews")


def test_no_network_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")  # nothing listens there
    with pytest.raises(AdaptlabError, match=r"index for movie-reviews, is there a network"):
        sources.fetch("movie-reviews")


def test_unknown_names_suggest_near_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path))
    with pytest.raises(AdaptlabError, match="did you mean movie-reviews"):
        sources.fetch("movie-review")
    with pytest.raises(AdaptlabError, match="unknown file of source movie-reviews"):
        sources.path("movie-reviews", "nope.csv")


def test_every_source_says_where_it_is_from_and_on_what_terms():
    for source in sources.catalogue().values():
        assert source.archive in {"wheel", "sdist"}
        assert all((source.what, source.version, source.license, source.terms, source.citation))
        assert source.members
        for digest in (source.sha256, *source.members.values()):
            assert len(bytes.fromhex(digest)) == 32
        kinds = {member.rsplit(".", 1)[-1] for member in source.members}
        assert not kinds & {"pkl", "pickle", "pt", "bin", "joblib", "npy"}, "no pickle"


def test_a_cache_copied_from_elsewhere_is_used_as_it_is(served):
    """Copying changes modification times; the hashes still tell that the files are right."""
    server = served(a_zip({"d/a.csv": TEXT}), {"d/a.csv": sha256(TEXT)})
    folder = sources.fetch("thing")
    os.utime(folder / "a.csv", (1, 1))
    assert not sources.is_present(sources.get("thing"))
    sources.fetch("thing")
    assert len(server.ranges) == 1
    assert sources.is_present(sources.get("thing"))


def test_a_file_link_is_copied(served, tmp_path, monkeypatch):
    """An index may be a folder; what it holds is checked like everything else."""
    body = a_zip({"d/a.csv": TEXT})
    served(body, {"d/a.csv": sha256(TEXT)})
    wheel = tmp_path / "index" / "thing-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(body)
    link = partial(unearth.Link.from_path, wheel)
    monkeypatch.setattr(download, "find_archive", lambda *_: link())
    assert (sources.fetch("thing") / "a.csv").read_bytes() == TEXT
    assert wheel.exists()
