"""Tiny pretrained models of texts, images and sound with random weights in folders, as `transformers` writes them: for tests of what reads them."""

from __future__ import annotations

import json
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


VISION_SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
MAPS = {"hidden_sizes": [8, 16], "depths": [1, 1]}
CROP = {
    "size": {"shortest_edge": 36},
    "crop_size": {"height": 32, "width": 32},
    "do_center_crop": True,
    "resample": 3,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.3, 0.2],
}


def vision_config(kind: str):
    """A small configuration of a model of images."""
    import transformers

    if kind == "clip":
        text = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        text |= {"intermediate_size": 8, "bos_token_id": 0, "eos_token_id": 1}
        return transformers.CLIPConfig(vision_config={**VISION_SIZES, "intermediate_size": 32}, text_config=text)
    return {
        "vit": lambda: transformers.ViTConfig(**VISION_SIZES, intermediate_size=32),
        "dinov2": lambda: transformers.Dinov2Config(**VISION_SIZES),
        "registers": lambda: transformers.Dinov2WithRegistersConfig(**VISION_SIZES),
        "clip_vision": lambda: transformers.CLIPVisionConfig(**VISION_SIZES, intermediate_size=32),
        "siglip": lambda: transformers.SiglipVisionConfig(**VISION_SIZES, intermediate_size=32),
        "resnet": lambda: transformers.ResNetConfig(**MAPS, embedding_size=8),
        "convnext": lambda: transformers.ConvNextConfig(**MAPS, num_stages=2),
    }[kind]()


def vision_folder(folder: Path, kind: str = "vit", preprocessing: dict = CROP) -> str:
    """A folder with config.json, model.safetensors and preprocessor_config.json."""
    import transformers

    saved(folder, transformers.AutoModel.from_config(vision_config(kind)), tokens=False)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing), "utf-8")
    return str(folder)


RATE = 16_000
SPEECH_SIZES = {
    "vocab_size": 32,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8, 8],
    "conv_stride": [5, 2],
    "conv_kernel": [10, 3],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.0,
}


def speech_config(kind: str):
    """A small configuration of a model of sound; "base" normalises over time, "large" does not."""
    import transformers

    if kind == "whisper":
        return transformers.WhisperConfig(
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
        )
    return {
        "base": lambda: transformers.Wav2Vec2Config(**SPEECH_SIZES),
        "large": lambda: transformers.Wav2Vec2Config(
            **SPEECH_SIZES, feat_extract_norm="layer", do_stable_layer_norm=True
        ),
        "hubert": lambda: transformers.HubertConfig(**SPEECH_SIZES, feat_extract_norm="layer"),
        "data2vec": lambda: transformers.Data2VecAudioConfig(**{**SPEECH_SIZES, "num_conv_pos_embeddings": 2}),
    }[kind]()


def speech_folder(folder: Path, kind: str = "large") -> str:
    """A folder with config.json, model.safetensors and preprocessor_config.json."""
    import transformers

    saved(folder, transformers.AutoModel.from_config(speech_config(kind)), tokens=False)
    settings = {"sampling_rate": RATE, "do_normalize": kind in ("large", "hubert")}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), "utf-8")
    return str(folder)
