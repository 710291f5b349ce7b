"""Beginnings of small stories, and a language model of characters that can go on with them: tinystories_charlm/ under NEARFAR_DATA.

Parts: train 300, dev 32, test 32 beginnings (field `text`), put together from openings, names, animals and places, and dealt out once:
nobody wrote them, and nobody's continuation of them is known. What is real is the model, which `story_model` reads: a Llama of
0.94 million weights over 105 characters, trained on TinyStories (Eldan and Li 2023, arXiv 2305.07759) by the repository EN10/BabyLlama
(MIT). It writes simple words, falls into loops when it is greedy, and was given no texts of more than 256 characters.
"""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from nearfar.core.card import Card
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset, data_folder
from nearfar.encoders.character_model import BEGIN, END, UNKNOWN, CharacterModel, llama, tokenizer_of
from nearfar.encoders.shared.architecture import build_architecture
from nearfar.encoders.shared.sentence_folder import TextSetup

CARD = Card(
    name="tinystories_prefixes",
    summary="beginnings of small stories, and a language model of characters trained on TinyStories",
    related=("character_model", "contrastive_search"),
)

FOLDER = "tinystories_charlm"
SIZES = {"hidden_size": 128, "num_hidden_layers": 5, "num_attention_heads": 8, "num_key_value_heads": 4}
INNER, POSITIONS, NORM = 352, 256, 1e-5

OPENINGS = (
    "Once upon a time, there was a {who} named {name}. One day,",
    "{name} was a {how} {who} who lived near the {where}. Every day",
    "One day, {name} the {who} went to the {where} and saw",
    "{name} and the {how} {who} were playing in the {where} when",
)
NAMES = ("Lily", "Tom", "Sara", "Ben", "Mia", "Max")
WHO = ("girl", "boy", "dog", "cat", "bird")
HOW = ("happy", "sad", "little", "brave")
WHERE = ("park", "forest", "garden", "lake", "house")


def tinystories_prefixes() -> Dataset:
    """The parts. Raises ResourceError where NEARFAR_DATA is not set or has no such folder."""
    data_folder(FOLDER, "model.safetensors")
    words = product(OPENINGS, NAMES, WHO, HOW, WHERE)
    texts = sorted({o.format(name=n, who=w, how=h, where=p) for o, n, w, h, p in words})
    dealt = np.random.default_rng(0).permutation(len(texts)).tolist()
    bounds = {"train": (0, 300), "dev": (300, 332), "test": (332, 364)}
    parts = {name: array_records(text=[texts[i] for i in dealt[a:b]]) for name, (a, b) in bounds.items()}
    return Dataset("tinystories_prefixes", parts)


def story_model() -> CharacterModel:
    """The language model as an encoder. Raises ResourceError where NEARFAR_DATA is not set or has no such folder."""
    characters = json.loads(data_folder(FOLDER, "vocab.json").read_text("utf-8"))
    ids = {UNKNOWN: 0, BEGIN: 1, END: 2}
    for number, character in enumerate(characters):
        # The space is written as a mark; the spaces beside it were never seen in training.
        ids.setdefault(" " if character == "\u2581" else character, number)
    weights = load_file(data_folder(FOLDER, "model.safetensors"))
    config = llama(len(characters), INNER, POSITIONS, SIZES) | {"rms_norm_eps": NORM}
    model = build_architecture(config, "text")
    model.load_state_dict(_renamed(weights))
    setup = TextSetup(max_tokens=POSITIONS)
    return CharacterModel(model, tokenizer_of(ids | _unused(ids, len(characters))), setup).eval()


def _unused(ids: dict[str, int], size: int) -> dict[str, int]:
    """Names for the numbers that no character has."""
    taken = set(ids.values())
    return {f"<{number}>": number for number in range(size) if number not in taken}


def _renamed(weights: dict[str, Tensor]) -> dict[str, Any]:
    """By the names of transformers, rows of queries and keys in the order in which it turns them: halves, not neighbours."""
    found = {"embed_tokens.weight": weights["tok_embeddings"], "norm.weight": weights["norm"]}
    names = {
        "wq": "self_attn.q_proj",
        "wk": "self_attn.k_proj",
        "wv": "self_attn.v_proj",
        "wo": "self_attn.o_proj",
        "w1": "mlp.gate_proj",
        "w2": "mlp.down_proj",
        "w3": "mlp.up_proj",
        "attention_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
    }
    heads = {"wq": SIZES["num_attention_heads"], "wk": SIZES["num_key_value_heads"]}
    for name, other in names.items():
        for layer, table in enumerate(weights[name]):
            found[f"layers.{layer}.{other}.weight"] = _halves(table, heads[name]) if name in heads else table
    return {name: torch.as_tensor(table).float() for name, table in found.items()}


def _halves(table: Tensor, heads: int) -> Tensor:
    rows, columns = table.shape
    return table.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)
