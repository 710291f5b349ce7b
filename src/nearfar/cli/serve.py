"""`nearfar serve`: a page and an HTTP API over an index, on this machine unless told otherwise."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from nearfar.cli.search import model_of
from nearfar.cli.terminal import bold

EXAMPLES = """examples:
  nearfar serve nearfar-quickstart                          the code search of this machine, in a browser
  nearfar serve answers --beside answers-before             two models on the same query
  nearfar serve answers --allow-writes --token-file token   an index that other programs add to"""
SHORTEST = 16  # letters of a token


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Index, where to listen, who may ask."""
    parser.epilog = EXAMPLES
    parser.add_argument("index", help="an index directory, or what `nearfar quickstart` wrote")
    parser.add_argument("--model", metavar="DIR", help="the model that made the index, if it was moved")
    parser.add_argument("--beside", metavar="DIR", help="another index of the same records, to compare two models")
    parser.add_argument("--beside-model", metavar="DIR", help="the model that made that one, if it was moved")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    parser.add_argument("--port", type=int, default=8642, help="port to listen on; 0: any that is free (8642)")
    parser.add_argument("--token-file", metavar="FILE", help="a file with the token that every request must bring")
    parser.add_argument(
        "--no-token",
        action="store_true",
        help="let everybody who reaches this address ask, and write if writes are allowed",
    )
    parser.add_argument(
        "--allow-writes", action="store_true", help="let requests add records to the index, and delete them"
    )
    parser.add_argument("--no-verify", action="store_true", help="start sooner: sizes are checked, checksums are not")


def run(args: argparse.Namespace) -> int:
    """Open, check, serve until stopped."""
    from nearfar.core.optional import needed

    needed("starlette", "serve")
    needed("uvicorn", "serve")
    from nearfar.server.run import bound, run
    from nearfar.server.service import Service

    token = _token(args)
    directories = [(Path(args.index), args.model)]
    if args.beside:
        directories.append((Path(args.beside), args.beside_model))
    listening = bound(args.host, args.port)
    names = _names([directory for directory, _ in directories])
    opened = []
    try:
        for name, (directory, model) in zip(names, directories, strict=True):
            opened.append(
                (name, *_open(directory, model, write=args.allow_writes and not opened, verify=not args.no_verify))
            )
        service = Service.of(opened, writes=args.allow_writes, token=token is not None)
    except BaseException:
        for _, index, _ in opened:
            index.close()
        listening.close()
        raise
    host, port = listening.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def started() -> None:
        what = " beside ".join(f"{name} ({len(index):,} records)" for name, index, _ in opened)
        print(f"{what}\n{bold(address)}   Ctrl-C stops", flush=True)

    run(service, listening, token=token, started=started)
    print("stopped", file=sys.stderr)
    return 0


def _open(directory: Path, place: str | None, *, write: bool, verify: bool) -> tuple[Any, Any]:
    """An index and the model that made it, both checked."""
    from nearfar.search.index import Index
    from nearfar.training.load import load

    index = Index.open(directory, verify=verify, write=write)
    try:
        model = load(model_of(index, place))
        index.check_model(model.fingerprint)
    except BaseException:
        index.close()
        raise
    return index, model


def _names(directories: list[Path]) -> list[str]:
    """What the page and the API call them: the folders' names, told apart."""
    names = [directory.resolve().name or "index" for directory in directories]
    return (
        names if len(set(names)) == len(names) else [f"{name} {number}" for number, name in enumerate(names, start=1)]
    )


def _token(args: argparse.Namespace) -> str | None:
    from nearfar.core.errors import UsageError
    from nearfar.server.run import is_loopback

    if args.token_file is None:
        if not is_loopback(args.host) and not args.no_token:
            raise UsageError(
                f"other machines can reach {args.host}, and no token is asked for",
                where="--host",
                remedy="give --token-file FILE, or say --no-token if everybody may ask",
            )
        return None
    if args.no_token:
        raise UsageError("both --token-file and --no-token are given", where="--no-token", remedy="give one of them")
    try:
        token = Path(args.token_file).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the token cannot be read: {getattr(error, 'strerror', None) or 'it is not ASCII'}",
            where=args.token_file,
            remedy="write one line of letters and digits into it",
        ) from error
    if len(token) < SHORTEST or not token.isprintable() or " " in token:
        raise UsageError(
            f"the token must be one word of at least {SHORTEST} letters and digits",
            where=args.token_file,
            remedy="python -c 'import secrets; print(secrets.token_urlsafe())' writes a good one",
        )
    return token
