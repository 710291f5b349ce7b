"""What decoders by contrast cost: seconds for a token, beside greedy search of transformers, on the same models and prompts.

    NEARFAR_DATA=... .venv/bin/python benchmarks/decoding.py           # about 5 minutes on 2 cores
    NEARFAR_DATA=... .venv/bin/python benchmarks/decoding.py --quick   # few tokens, one round, printed and not stored

A run is one call of `generate`: so many new tokens after each of so many prompts of unequal length, all in one batch, keys and values
kept. Two models: `stories`, the one of characters that the claims about decoding use (0.9 million weights, where the calls around the
products are most of the time), and `llama`, 8 layers of 512 with a vocabulary of 32,000 and random weights (44 million), whose products
count; what a token costs does not depend on what the weights know. The amateur is a model of two layers and half the width. No end of
text is set, so that every way writes the same number of tokens.

    greedy              transformers alone: one reading of one token
    contrastive search  the k = 5 likeliest tokens are read, in one batch
    amateur             expert and a smaller amateur, each with keys and values of its own
    amateur, 16 tokens  the same model as its own amateur, which reads its last 16 tokens anew
    layers              one reading, and a few layers' states through the table of tokens
    prompts             one model reads two texts
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from measure import (
    RECORDS,
    Record,
    Worker,
    answered,
    command_line,
    find,
    measured,
    require_installed,
    require_linux,
    rotated,
    serve,
)

RECORD = RECORDS / "decoding.json"
KEY = ("way", "model")
GREEDY = "greedy"
PROMPTS, LONGEST, SHORTEST = 4, 48, 24
NEW, RUNS = 32, 5
MODELS = ("stories", "llama")
LLAMA = {"vocab_size": 32_000, "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8}
Made = tuple[Any, Any]  # a model and its amateur


def random_llama(**sizes: Any) -> Any:
    """A model of these sizes with random weights."""
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        **{"intermediate_size": 3 * sizes["hidden_size"], **sizes}, tie_word_embeddings=True
    )
    return transformers.LlamaForCausalLM(config).eval()


def models(name: str) -> Made:
    """The model, and an amateur of its vocabulary with random weights."""
    if name == "llama":
        return random_llama(**LLAMA), random_llama(**{**LLAMA, "hidden_size": 256, "num_hidden_layers": 2})
    from nearfar.datasets.tinystories_prefixes import story_model
    from nearfar.generation.language_model import language_model

    model = language_model(story_model())
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return model, random_llama(vocab_size=model.config.vocab_size, **sizes)


def decoder(way: str, amateur: Any, hidden: tuple[torch.Tensor, torch.Tensor]) -> Any:
    """What `generate` is given as its decoder; nothing for greedy search."""
    import nearfar as nf

    made: dict[str, Callable[[], Any]] = {
        GREEDY: lambda: None,
        "contrastive search": lambda: nf.contrastive_search(5, 0.6),
        "amateur": lambda: nf.amateur_contrast(amateur),
        "amateur, 16 tokens": lambda: nf.amateur_contrast(context=16),
        "layers": lambda: nf.layer_contrast("high"),
        "prompts": lambda: nf.prompt_contrast(*hidden),
    }
    return made[way]()


WAYS = (GREEDY, "contrastive search", "amateur", "amateur, 16 tokens", "layers", "prompts")


class Bench:
    """The state of one worker: its decoder, and the model and prompts at hand."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.run: Callable[[int], torch.Tensor] = lambda _: torch.zeros(0)

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """prepare: a model and prompts, tried once. decode: seconds for so many tokens."""
        if message["do"] == "prepare":
            self.prepare(message["model"])
            return {"tokens": int(self.run(4).numel())}
        found: list[torch.Tensor] = []

        def once() -> float:
            found.append(self.run(message["new"]))
            return 0.0

        made = measured(once)
        return {"seconds": made["seconds"], "tokens": int(found[0].numel()), "sum": int(found[0].sum())}

    def prepare(self, name: str) -> None:
        """Prompts of unequal length, of tokens drawn at random; what hides a condition lacks the last third of each."""
        from nearfar.generation.language_model import left_padded

        model, amateur = models(name)
        draws = torch.Generator().manual_seed(0)
        lengths = torch.linspace(SHORTEST, LONGEST, PROMPTS).long().tolist()
        texts = [torch.randint(3, model.config.vocab_size, (n,), generator=draws).tolist() for n in lengths]
        ids, mask = left_padded(texts, 0)
        less, less_mask = left_padded([text[: 2 * len(text) // 3] for text in texts], 0)
        by = decoder(self.way, amateur, (less, less_mask.long()))
        options: dict[str, Any] = {} if by is None else {"custom_generate": by}

        def run(new: int) -> torch.Tensor:
            made = model.generate(
                ids,
                attention_mask=mask.long(),
                max_new_tokens=new,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
                **options,
            )
            return made[:, ids.shape[1] :]

        self.run = run


# The parent


def run_model(record: Record, name: str, new: int, runs: int, workers: dict[str, Worker]) -> None:
    """Every way in turn, as many rounds as asked; stored at the end. Each round begins with another way."""
    for worker in workers.values():
        worker.send(do="prepare", model=name)
    for way, worker in workers.items():
        answered(way, worker.receive())
    answers: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for number in range(runs):
        for way in rotated(WAYS, number):
            answers[way].append(answered(way, workers[way].ask(do="decode", new=new)))
    if wrong := unlike(answers, PROMPTS * new):
        raise SystemExit(wrong)
    facts = {"model": name, "prompts": PROMPTS, "new": new}
    record.add([{"way": way, **facts, "seconds": [a["seconds"] for a in made]} for way, made in answers.items()])


def unlike(answers: dict[str, list[dict[str, Any]]], tokens: int) -> str:
    """What is wrong if a way did not write so many tokens, or not the same each time; else nothing."""
    for way, made in answers.items():
        if any(a["tokens"] != tokens for a in made):
            return f"{way} wrote {[a['tokens'] for a in made]} tokens, not {tokens}"
        if len({a["sum"] for a in made}) > 1:
            return f"{way} writes something else each time"
    return ""


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Rows of one model as text; ratios are to greedy search."""
    base = statistics.median((find(list(rows), way=GREEDY) or rows[0])["seconds"])
    return [
        f"  {r['way']:<20} {1000 * statistics.median(r['seconds']) / r['new']:8.2f} ms a step of {r['prompts']} tokens  "
        f"x {statistics.median(r['seconds']) / base:5.2f}"
        for r in rows
    ]


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__ or "", RECORD, quick="8 tokens, one round", runs=f"rounds ({RUNS})", workers=WAYS)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="which models")
    return parser.parse_args(words)


def main() -> None:
    """Measure what is not measured yet, and store it."""
    args = arguments()
    require_linux()
    require_installed(("transformers",))
    if args.worker:
        serve(Bench(args.worker).answer)
        return
    runs, new = args.runs or (1 if args.quick else RUNS), 8 if args.quick else NEW
    settings = {"prompts": PROMPTS, "longest": LONGEST, "shortest": SHORTEST, "new": new, "llama": LLAMA}
    path = args.out or (None if args.quick else RECORD)
    record = Record(path, "decoding", KEY, settings, fresh=args.fresh)
    todo = [name for name in args.models if any(_runs(record, way, name) < runs for way in WAYS)]
    workers = {way: Worker(Path(__file__), way) for way in WAYS} if todo else {}
    try:
        for name in todo:
            run_model(record, name, new, runs, workers)
            some = [row for row in record.rows if row["model"] == name]
            print("\n".join([f"{name}, {runs} rounds", *lines(some)]), file=sys.stderr, flush=True)
    finally:
        for worker in workers.values():
            worker.close()


def _runs(record: Record, way: str, model: str) -> int:
    row = record.find(way=way, model=model)
    return 0 if row is None else len(row["seconds"])


if __name__ == "__main__":
    main()
