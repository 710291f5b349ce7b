"""nearfar: contrastive learning - putting what belongs together near and everything else far.

    import nearfar as nf
    loss = nf.contrast(nf.info_nce, x, y, nf.paired(), both_ways=True, temperature=0.05)
    model = nf.train("pairs", data="pairs.jsonl")
    vectors = model.encode(["..."])

Public names exist here and only here, and load when first used: `import nearfar` imports neither torch nor numpy.
The parts (`nf.info_nce`, `nf.paired`, ...) are found by their cards; `FACE` lists the few names that are no parts.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

FACE = {
    "Aligned": "nearfar.objectives.composed",
    "Also": "nearfar.core.recipe",
    "Arm": "nearfar.core.claim",
    "Batching": "nearfar.core.batching",
    "Block": "nearfar.core.block",
    "Card": "nearfar.core.card",
    "Claim": "nearfar.core.claim",
    "Contrast": "nearfar.core.recipe",
    "DataError": "nearfar.core.errors",
    "Decode": "nearfar.core.stage",
    "Draws": "nearfar.core.draws",
    "Feed": "nearfar.core.recipe",
    "Fit": "nearfar.core.stage",
    "Graph": "nearfar.core.graph",
    "Local": "nearfar.objectives.composed",
    "Measure": "nearfar.core.stage",
    "Model": "nearfar.core.model",
    "Named": "nearfar.core.recipe",
    "NearfarError": "nearfar.core.errors",
    "Objective": "nearfar.objectives.composed",
    "OnRows": "nearfar.objectives.composed",
    "Own": "nearfar.core.tile",
    "Ramp": "nearfar.core.ramp",
    "Recipe": "nearfar.core.recipe",
    "Records": "nearfar.data.records",
    "Refresh": "nearfar.core.stage",
    "Relation": "nearfar.core.relation",
    "ResourceError": "nearfar.core.errors",
    "Rows": "nearfar.core.rows",
    "Scored": "nearfar.objectives.scored",
    "Similarity": "nearfar.maths.similarity",
    "Smoke": "nearfar.core.smoke",
    "Terms": "nearfar.core.terms",
    "Transform": "nearfar.core.stage",
    "UsageError": "nearfar.core.errors",
    "Use": "nearfar.core.use",
    "alike": "nearfar.core.predicate",
    "array_records": "nearfar.data.array_records",
    "audio_folder": "nearfar.data.audio_folder",
    "bilinear": "nearfar.maths.similarity",
    "cat": "nearfar.core.rows",
    "cosine": "nearfar.maths.similarity",
    "dot": "nearfar.maths.similarity",
    "excluded": "nearfar.core.predicate",
    "image_folder": "nearfar.data.image_folder",
    "itself": "nearfar.core.predicate",
    "key_has": "nearfar.core.predicate",
    "late_interaction": "nearfar.maths.similarity",
    "lazy_pairs": "nearfar.data.lazy",
    "lazy_records": "nearfar.data.lazy",
    "load": "nearfar.training.load",
    "log_weighted": "nearfar.maths.similarity",
    "mine": "nearfar.mining.mine",
    "negative_distance": "nearfar.maths.similarity",
    "negative_squared_distance": "nearfar.maths.similarity",
    "pairs": "nearfar.data.pairs",
    "query_has": "nearfar.core.predicate",
    "ranks": "nearfar.execution.ranks",
    "rows": "nearfar.core.rows",
    "rule": "nearfar.core.rule",
    "same": "nearfar.core.predicate",
    "sources": "nearfar.data.sources",
    "split": "nearfar.data.split",
    "sum_gradients": "nearfar.execution.ranks",
    "train": "nearfar.training.train",
    "tune": "nearfar.training.tune",
    "with_teacher": "nearfar.maths.similarity",
    "within": "nearfar.core.predicate",
}


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module 'nearfar' has no attribute {name!r}")
    from importlib import import_module

    if name in FACE:
        value = getattr(import_module(FACE[name]), name)
    else:
        from nearfar.core.parts import public_names, unknown

        names = public_names()
        if name not in names:
            hint = unknown(name, [*names, *FACE], "public name").remedy
            raise AttributeError(f"module 'nearfar' has no attribute {name!r}; {hint}", name=name, obj=None)
        value = names[name].load(name)
    # A name that is a sub-module too (none today) would be overwritten by the import system; a test forbids it.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from nearfar.core.parts import public_names

    return sorted({*globals(), *FACE, *public_names()})
