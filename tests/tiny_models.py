"""Tiny pretrained models with random weights in folders, as `transformers` writes them: for tests of what reads them."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

TEXTS = [
    "a cat sat on the mat",
    "dogs chase cats over many hills and far away",
    "the sum of two numbers",
    "mat",
    "download a file from the web, then close it",
    "Far Away HILLS",
]
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]


def tokenizer() -> Tokenizer:
    """Word pieces of `TEXTS`, framed by [CLS] and [SEP]."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=SPECIAL, show_progress=False)
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return made


def text_config(kind: str, **more):
    """A small configuration; "llama" is a decoder, and with "modernbert" it turns vectors by position."""
    import transformers

    sizes = {
        "vocab_size": tokenizer().get_vocab_size(),
        "num_hidden_layers": 2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if kind == "t5":
        return transformers.T5Config(
            vocab_size=sizes["vocab_size"], d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4
        )
    if kind == "gpt2":
        return transformers.GPT2Config(**sizes, n_embd=32, n_layer=2, n_head=4)
    config = {
        "bert": transformers.BertConfig,
        "roberta": transformers.RobertaConfig,
        "modernbert": transformers.ModernBertConfig,
        "llama": transformers.LlamaConfig,
    }[kind]
    if kind == "modernbert":
        sizes |= {"cls_token_id": 1, "sep_token_id": 2}
    if kind == "roberta":
        sizes["pad_token_id"] = more.get("pad_token_id", 1)
    return config(**{**sizes, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, **more})


def text_folder(folder: Path, kind: str = "bert", **more) -> str:
    """A folder with config.json, model.safetensors, tokenizer.json and tokenizer_config.json."""
    import transformers

    config = text_config(kind, **more)
    model = transformers.T5EncoderModel(config) if kind == "t5" else transformers.AutoModel.from_config(config)
    return saved(folder, model)


def saved(folder: Path, model, tokens: bool = True) -> str:
    """Write a model, its random weights made large enough to be told apart, and a tokenizer."""
    import transformers

    from nearfar.encoders.shared.architecture import quiet

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    with quiet():
        model.save_pretrained(folder)
        if tokens:
            names = ("pad_token", "cls_token", "sep_token", "unk_token", "mask_token")
            transformers.PreTrainedTokenizerFast(
                tokenizer_object=tokenizer(), **dict(zip(names, SPECIAL, strict=True))
            ).save_pretrained(folder)
    return str(folder)
