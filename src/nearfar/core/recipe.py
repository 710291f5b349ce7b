"""`Recipe`: a method as data - encoder, streams, objective, stages - that a user trains on data of their own.

A frozen, typed, serialisable tree: every leaf has a dotted name for `--set`, is written into the run's configuration, and comes
back from it. Parts are named (`Use`); a user's own file may put its functions in directly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nearfar.core.ramp import Ramp
from nearfar.core.stage import Decode, Fit, Measure, Refresh, Stage, Transform
from nearfar.core.use import Use

Part = str | Use | Callable[..., Any]
Similarity = Literal["cosine", "dot", "negative_distance", "negative_squared_distance", "late_interaction"]


@dataclass(frozen=True)
class Named:
    """A part under a name of its own: a second tower, a head that several streams share."""

    name: str
    part: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Feed:
    """One stream of a recipe: what of a record is seen how, and through which tower it goes.

    name     what the objective calls it
    field    the field of the records that it reads
    more     a further field, of lists: each item a further row of the record, told apart by the column `negative`; or the name of
             a column [n k] of record numbers (-1: none) whose `field` is meant, such as mined negatives
    tower    "encoder", or one of the recipe's further `towers`; streams of one tower share its weights
    side     what the published model calls it; the field's name unless given
    views    how it is seen: names of views, or functions, in their order
    copies   how often each record is seen, told apart by the column `view`
    same     the name of a column: every view but the first one (number 0) is of another record with the same entry there, drawn anew
             each pass; of the record itself where none shares it, or where the entry is negative (unknown)
    look     the number of its first view: streams with equal numbers draw alike. None: counted up over the streams of a field
    head     the name of one of the recipe's `heads`, "" for none
    through  "online" learns; "momentum" is the moving average of what learns, "frozen" what the tower was when the stage began,
             "stopped" what it is now: none of these three has a gradient
    layer    the hidden layer that is taken, for encoders that offer it; None: the last
    mix      above 0: inputs are mixed, number by number, after their views: look k at a record with look k + 1 at another one of the
             batch, its `partner`; `share` says how much is the record's own, one draw a batch of Beta(mix, mix). Both are columns
    """

    name: str
    field: str
    more: str = ""
    tower: str = "encoder"
    side: str = ""
    views: tuple[Part, ...] = ()
    copies: int = 1
    same: str = ""
    look: int | None = None
    head: str = ""
    through: Literal["online", "momentum", "frozen", "stopped"] = "online"
    layer: int | None = None
    mix: float = 0.0


PAIRS = (Feed("x", "query"), Feed("y", "document", more="negatives"))


@dataclass(frozen=True)
class Contrast:
    """The contrastive objective of a recipe: a rule under a relation, and how its scores are made. See `nf.Scored`.

    Parts are names, names with options (`Use("triplet", {"margin": 0.3})`), or functions of a user's own file.
    `same_text` says what equal texts of different records are to each other: left out of the negatives, or negatives like any
    other. It holds for records that have ids of their texts, the columns `query` and `document`.

    relation    None: a row competes with its `own` keys alone
    similarity  one of these, or a part of `keys/` that scores pairs, perhaps by what it learns: `Use("extrapolated")`
    head        a global head, once a step on all rows: what mixes records
    predictor   a further one behind it, of the queries alone: they foretell what the keys are (BYOL)
    keys        once a step: a queue, a support set, noise keys; several: each on the keys that the one before made
    own         further keys of each row alone: mixed negatives, hallucinated positives
    edits       mining, dropping likely false negatives, reweighing
    dimensions  lengths of prefixes of the vectors that are contrasted too (Matryoshka); () contrasts whole vectors alone
    x, y        the streams of queries and of keys; y None: the queries themselves
    """

    rule: Part = "info_nce"
    relation: Part | None = "paired"
    similarity: Similarity | Use = "cosine"
    temperature: float = 0.05
    learn_temperature: bool = False
    bias: float = 0.0
    learn_bias: bool = False
    both_ways: bool = True
    same_text: Literal["left_out", "negative"] = "left_out"
    head: str | Use | None = None
    predictor: str | Use | None = None
    keys: Part | tuple[Part, ...] | None = None
    own: Part | None = None
    edits: tuple[Part, ...] = ()
    row: Literal["vector", "record"] = "vector"
    reduce: Literal["mean", "log_mean_exp"] = "mean"
    dimensions: tuple[int, ...] = ()
    x: str = "x"
    y: str | None = "y"


@dataclass(frozen=True)
class Also:
    """A further term of the objective and its weight: a number, or a ramp over the training.

    A function makes a term, and is given what it asks for by name: `dimension` of the vectors, `seed`, `towers` by name, and
    `main`, the recipe's objective with its terms, to share what they remember. Of a term
    `nf.Local(loss, stream="x")` the loss is of single records: `loss(outputs) -> (sum, count)` sees an `Outputs` of one micro-batch -
    vectors with the columns of the records, states of tokens or items, the inputs, their chance.
    """

    name: str
    term: Contrast | Use | Callable[..., Any]
    weight: float | Ramp = 1.0


@dataclass(frozen=True)
class Recipe:
    """What `nf.train` runs.

    encoder    the tower "encoder"; `towers` further ones
    objective  a `Contrast`, an objective of its own by name (`Use("vicreg")`), or a function that makes one
    also       further terms
    streams    what is embedded; pairs of texts unless given
    heads      heads by name
    data       what its records are: "pairs", or "images", "audio", "texts", "records" (a table, arrays: any modality)
    held_out   the share of records kept for evaluation; `held_out_seed` says which, so that runs of all seeds are measured on the same
    columns    further columns of the data that relations, probes or stages read: numbers, or texts (labels) as ids. Those that
               `batching` names are read wherever the data have them
    """

    name: str
    encoder: Use
    objective: Contrast | Use | Callable[..., Any] = field(default_factory=Contrast)
    stages: tuple[Fit | Refresh | Transform | Measure | Decode | Stage, ...] = field(default_factory=lambda: (Fit(),))
    held_out: float = 0.1
    held_out_seed: int = 0
    seed: int = 0
    data: Literal["pairs", "texts", "images", "audio", "records"] = "pairs"
    streams: tuple[Feed, ...] = PAIRS
    towers: tuple[Named, ...] = ()
    heads: tuple[Named, ...] = ()
    also: tuple[Also, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def fits(self) -> tuple[Fit, ...]:
        """The stages that optimise."""
        return tuple(stage for stage in self.stages if isinstance(stage, Fit))

    @property
    def batching_columns(self) -> tuple[str, ...]:
        """The columns that the batches of any stage go by, whether the data or an earlier stage bring them."""
        named: list[str | None] = []
        for batching in (fit.batching for fit in self.fits):
            named += [batching.sources, batching.groups, batching.balance, *batching.avoid]
            named += [batching.cost] if batching.buckets > 1 else []
        return tuple(dict.fromkeys(name for name in named if name))
