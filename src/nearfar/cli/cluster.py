"""`nearfar cluster`: the rows of an index in clusters, with the words that set each apart and its most typical rows."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from nearfar.cli.arguments import add_json, add_quiet
from nearfar.cli.index_rows import add_write, refuse_column, shown, write_column
from nearfar.cli.terminal import bold, print_json
from nearfar.core.progress import step

if TYPE_CHECKING:
    from nearfar.search.cluster import Clusters
    from nearfar.search.living import Living

EXAMPLES = """examples:
  nearfar cluster answers                                 as many clusters as are told apart best
  nearfar cluster answers --clusters 20 --write topic     and write them as a column
  nearfar search answers "how do I sort" --where "topic~list"

The words are those that a cluster has more often than all other rows, in standard deviations; there is no list of stop words."""
NAMED_BY = 3  # words of a cluster's name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Index, how many clusters, what to show and write."""
    parser.epilog = EXAMPLES
    parser.add_argument("index", help="an index directory, or what `nearfar quickstart` wrote")
    parser.add_argument(
        "--clusters", type=int, metavar="N", help="how many (of some numbers the one with the largest silhouette)"
    )
    parser.add_argument("--words", type=int, default=6, metavar="N", help="words of a cluster (6)")
    parser.add_argument("--examples", type=int, default=3, metavar="N", help="most typical rows of a cluster (3)")
    parser.add_argument("--seed", type=int, default=0, help="the only source of chance (0)")
    add_write(parser, "each row's cluster, by its three first words,")
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Cluster, name, show, write."""
    from nearfar.search.cluster import cluster_words, clusters
    from nearfar.search.index import Index
    from nearfar.search.living import Living, text_of

    with Index.open(args.index, write=args.write is not None) as index:
        living, quiet = Living(index), args.quiet or args.json
        refuse_column(args.write, (row for _, row in living.every()), args.overwrite)
        with step("clustering", quiet):
            found = clusters(living, args.clusters, seed=args.seed)
        with step("reading words", quiet):
            texts = (text_of(row) for _, row in living.every())
            words = cluster_words(texts, found.cluster, max(args.words, NAMED_BY))
        names = named(words)
        told = [_told(living, found, number, args) for number in range(len(names))]
        for cluster, name, some in zip(told, names, words, strict=True):
            cluster |= {"name": name, "words": [{"word": w, "z": round(z, 2)} for w, z in some[: args.words]]}
        if args.write:
            write_column(living, args.write, [names[number] for number in found.cluster.tolist()])
    facts = {
        "rows": len(living),
        "silhouette": round(found.silhouette, 4),
        "tried": {str(k): round(value, 4) for k, value in found.tried.items()},
    }
    if args.json:
        print_json({**facts, "clusters": told, "written": args.write})
    else:
        _show(facts, told, args)
    return 0


def named(words: list[list[tuple[str, float]]]) -> list[str]:
    """A name for each cluster: its first words, and a number where two have the same.

    >>> named([[("cat", 3.0)], [("dog", 2.0), ("bone", 1.0)], [("cat", 1.0)], []])
    ['cat', 'dog bone', 'cat (2)', 'cluster 3']
    """
    made: list[str] = []
    for number, some in enumerate(words):
        name = " ".join(word for word, _ in some[:NAMED_BY]) or f"cluster {number}"
        taken = sum(other == name or other.startswith(f"{name} (") for other in made)
        made.append(f"{name} ({taken + 1})" if taken else name)
    return made


def _told(living: Living, found: Clusters, number: int, args: argparse.Namespace) -> dict[str, Any]:
    rows = found.nearest(number, args.examples)
    near = zip(living.named(rows), found.cosines[rows].tolist(), strict=True)
    examples = [{"key": key, "cosine": round(cosine, 4), "row": row} for (key, row), cosine in near]
    return {"name": "", "size": found.sizes()[number], "words": [], "examples": examples}


def _show(facts: dict[str, Any], told: list[dict[str, Any]], args: argparse.Namespace) -> None:
    tried = ", ".join(f"{k}: {value:.3f}" for k, value in facts["tried"].items())
    print(f"{facts['rows']:,} rows in {len(told)} clusters, mean silhouette {facts['silhouette']:.3f}")
    if args.clusters is None:
        print(f"the number with the largest silhouette on a sample ({tried})")
    for cluster in told:
        words = " ".join(w["word"] for w in cluster["words"])
        print(f"\n{cluster['size']:>9,}  {bold(words or cluster['name'])}")
        for one in cluster["examples"]:
            print(f"           {one['cosine']:.3f}  {shown(one['key'], one['row'], 18)}")
    if args.write:
        print(f'\nwritten as the column {args.write!r}: filter with --where "{args.write}={told[0]["name"]}"')
