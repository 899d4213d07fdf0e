"""Small tokenizers for the tiny models: every byte is a token, and a few common words are one token each."""

from __future__ import annotations

import json
from pathlib import Path

WORDS = ("a", "the", "on", "red", "blue", "green", "circle", "square", "background", "white", "cat", "dog", "of", "and")
SEEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
"""Where Qwen's models that see are shown a picture."""
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_characters() -> list[str]:
    """The 256 printable stand-ins for bytes that byte-level BPE uses, in the order of CLIP's vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def clip_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges: bytes, bytes that end a word, the words of `WORDS`, then start and end."""
    characters = byte_characters()
    pieces = [*characters, *(character + "</w>" for character in characters)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            pair = (parts[0], parts[1])
            if pair not in merges:
                merges.append(pair)
            parts[:2] = [parts[0] + parts[1]]
    pieces += ["".join(pair) for pair in merges]
    pieces += [START, END]
    unique = list(dict.fromkeys(pieces))
    return {piece: index for index, piece in enumerate(unique)}, merges


def save_clip_tokenizer(folder: Path, *, pad: str = END) -> dict[str, int]:
    """Write `vocab.json`, `merges.txt` and the tokenizer's config; returns the vocabulary."""
    vocabulary, merges = clip_vocabulary()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges), ""]), "utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": pad,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), "utf-8")
    return vocabulary


def save_t5_tokenizer(folder: Path, *, length: int = 32) -> int:
    """Write a tokenizer of letters and a few words in T5's manner; returns the size of its vocabulary."""
    from transformers import T5Tokenizer

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"()-"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [("▁" + word, -3.0) for word in WORDS if len(word) > 1]
    pieces += [(letter, -6.0) for letter in letters]
    tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=length)
    tokenizer.save_pretrained(folder)
    return len(pieces)


def save_qwen_tokenizer(folder: Path) -> int:
    """Write a tokenizer in Qwen's manner in which every byte is a token; returns the size of its vocabulary."""
    from transformers import Qwen2Tokenizer

    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *SEEN)
    vocabulary = {piece: index for index, piece in enumerate((*byte_characters(), *special))}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary, merges=[], model_max_length=1024, additional_special_tokens=list(special[1:])
    )
    tokenizer.save_pretrained(folder)
    return len(vocabulary)


def save_qwen_processor(folder: Path) -> int:
    """Write that tokenizer as part of a processor, which sees pictures, too; returns the size of its vocabulary."""
    from transformers import Qwen2Tokenizer, Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

    pieces = save_qwen_tokenizer(folder)
    tokenizer = Qwen2Tokenizer.from_pretrained(folder)
    Qwen2VLProcessor(Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor()).save_pretrained(folder)
    return pieces


def save_gemma_tokenizer(folder: Path) -> int:
    """Write a tokenizer in Gemma's manner in which every letter is a token; returns the size of its vocabulary."""
    from transformers import GemmaTokenizer

    letters = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"()-<>"
    pieces = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *letters)
    GemmaTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[]).save_pretrained(folder)
    return len(pieces)


def save_chatglm_tokenizer(folder: Path) -> int:
    """Train a vocabulary of the words here and their letters by sentencepiece; returns how many tokens ChatGLM's
    tokenizer makes of it."""
    import io

    from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer
    from sentencepiece import SentencePieceTrainer

    trained = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter([*WORDS, "".join(map(chr, range(33, 127)))] * 3),
        model_writer=trained,
        model_type="bpe",
        vocab_size=160,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
    )
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tokenizer.model"
    file.write_bytes(trained.getvalue())
    tokenizer = ChatGLMTokenizer(str(file))
    tokenizer.save_pretrained(folder)
    return int(tokenizer.vocab_size)


MISTRAL = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "<pad>")
PICTURES = ("[IMG_BREAK]", "[IMG_END]", "[IMG]")
TALK = (
    "{{ bos_token }}{% for message in messages %}"
    "{% set mark = 'INST' if message['role'] == 'user' else 'SYSTEM_PROMPT' %}"
    "{{ '[' + mark + ']' }}{% for block in message['content'] %}{{ block['text'] }}{% endfor %}{{ '[/' + mark + ']' }}"
    "{% endfor %}"
)
"""How Mistral's chat template lays out what a system and a user say, of texts alone."""


def save_mistral_processor(folder: Path) -> int:
    """Write a processor in Mistral Small 3's manner in which every byte is a token; returns the size of its
    vocabulary. Texts are filled up on the left."""
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as Bytes
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.processors import TemplateProcessing
    from transformers import PixtralImageProcessor, PixtralProcessor, PreTrainedTokenizerFast

    special = (*MISTRAL, *PICTURES)
    vocabulary = {piece: index for index, piece in enumerate((*special[:-1], *byte_characters(), special[-1]))}
    core = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer, core.decoder = ByteLevel(add_prefix_space=False), Bytes()
    core.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        padding_side="left",
        additional_special_tokens=[piece for piece in special if piece.startswith("[")],
    )
    processor = PixtralProcessor(PixtralImageProcessor(), tokenizer, patch_size=8, chat_template=TALK)
    processor.save_pretrained(folder)
    return len(vocabulary)
