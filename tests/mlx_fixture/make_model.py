"""Writes a scripted tiny model that the real mlx_lm.server loads: what it says is known in advance, token by token.

How a Llama is made to recite: both blocks' output projections are zero, so the hidden state of a position is nothing but
the embedding of its token. The embeddings are random signs, 256 wide, hence almost orthogonal, and the row of the output
head for a token is the sum of the embeddings of its predecessors: the likeliest next token is a function of the current
one alone. A line is therefore a chain of tokens that occur nowhere else, and the chat template, at the end of the prompt,
puts the token that begins the line which fits the conversation.

Usage: make_model.py FOLDER
"""

import json
import struct
import sys
from pathlib import Path

import numpy
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

WIDTH = 256
END = "<|end|>"
# Marks that the tokenizer hides from the text, and those that mlx_lm looks for in it.
HIDDEN = [END, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
SEEN = ["<think>", "</think>", "<tool_call>", "</tool_call>"]

# Every piece is one token and stands in one line only. A line ends with END, goes on with another line's first token, or
# bites its own tail.
LINES = {
    "<|say greeting|>": ["Good", " evening", ",", " this", " is", " the", " scripted", " model", ".", END],
    "<|say accents|>": ["Caf", "é", " au", " lait", " — ", "日", "本", "語", "!", END],
    "<|say thought|>": ["<think>", "They", " ask", " for", " weather", ".\n", "</think>", "<tool_call>"],
    "<|say call|>": ["<tool_call>", '{"name": "get_', 'weather", ', '"arguments"', ': {"city": ', '"Oslo"}}', "</tool_call>", END],
    "<|say result|>": ["In", " Oslo", " it", " snows", " now", ".", END],
    "<|say forever|>": ["One", " sheep", " jumps", " over", " a", " fence", "; ", "One"],
}

TEMPLATE = """
{%- for message in messages -%}
<|{{ message.role }}|>{{ message.content }}
{%- for tool_call in message.tool_calls or [] -%}
{%- set tool_call = tool_call.function or tool_call -%}
<tool_call>{"name": "{{ tool_call.name }}", "arguments": {{ tool_call.arguments | tojson }}}</tool_call>
{%- endfor -%}
<|end|>
{%- endfor -%}
{%- if add_generation_prompt -%}
<|assistant|>
{%- set last = messages[-1] -%}
{%- if last.role == 'tool' -%}<|say result|>
{%- elif tools and enable_thinking is defined and not enable_thinking -%}<|say call|>
{%- elif tools -%}<|say thought|>
{%- elif 'sheep' in last.content -%}<|say forever|>
{%- elif 'coffee' in last.content -%}<|say accents|>
{%- else -%}<|say greeting|>
{%- endif -%}
{%- endif -%}
"""


def byte_letters():
    """The printable letters by which a byte-level tokenizer writes the 256 bytes, in the order of the bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def vocabulary():
    """Token ids, and for each token its follower."""
    letters = byte_letters()
    marks = HIDDEN + SEEN + list(LINES)
    tokens = {token: number for number, token in enumerate(letters + marks)}

    def number(piece):
        name = piece if piece in marks else "".join(letters[byte] for byte in piece.encode())
        return tokens.setdefault(name, len(tokens))

    follower = {}
    for start, pieces in LINES.items():
        for before, after in zip([start, *pieces], pieces):
            if follower.setdefault(number(before), number(after)) != number(after):
                raise ValueError(f"{before!r} stands in two lines")
    return tokens, follower


def weights(tokens, follower, config):
    random = numpy.random.default_rng(20)
    signs = random.choice([-1.0, 1.0], size=(len(tokens), WIDTH))
    head = numpy.zeros_like(signs)
    for before, after in follower.items():
        head[after] += signs[before]
    # Tokens of no line lead to the end, faintly: hundreds of them at full strength would drown the lines.
    for before in set(range(len(tokens))) - set(follower):
        head[tokens[END]] += signs[before] * 0.05
    small = lambda *shape: random.standard_normal(shape) * 0.02
    key_value = config["num_key_value_heads"] * config["head_dim"]
    inner = config["intermediate_size"]
    out = {
        "model.embed_tokens.weight": signs,
        "model.norm.weight": numpy.ones(WIDTH),
        "lm_head.weight": head * 4,
    }
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}."
        out |= {
            block + "input_layernorm.weight": numpy.ones(WIDTH),
            block + "post_attention_layernorm.weight": numpy.ones(WIDTH),
            block + "self_attn.q_proj.weight": small(WIDTH, WIDTH),
            block + "self_attn.k_proj.weight": small(key_value, WIDTH),
            block + "self_attn.v_proj.weight": small(key_value, WIDTH),
            block + "self_attn.o_proj.weight": numpy.zeros((WIDTH, WIDTH)),
            block + "mlp.gate_proj.weight": small(inner, WIDTH),
            block + "mlp.up_proj.weight": small(inner, WIDTH),
            block + "mlp.down_proj.weight": numpy.zeros((WIDTH, inner)),
        }
    return out


def write_safetensors(path, tensors):
    header, blob = {}, b""
    for name, tensor in tensors.items():
        data = tensor.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(blob), len(blob) + len(data)]}
        blob += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + blob)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    tokens, follower = vocabulary()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "vocab_size": len(tokens),
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "bos_token_id": None,
        "eos_token_id": tokens[END],
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    write_safetensors(folder / "model.safetensors", weights(tokens, follower, config))

    tokenizer = Tokenizer(models.BPE(vocab=tokens, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in HIDDEN + list(LINES)])
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in SEEN])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": TEMPLATE.strip(),
        "eos_token": END,
        "model_max_length": 8192,
        "clean_up_tokenization_spaces": False,
    }, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
