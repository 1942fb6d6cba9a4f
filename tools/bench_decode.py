#!/usr/bin/env python3
"""Products with packed weights beside llama.cpp, in tokens per second.

    tools/bench_decode.py --program build/release/bench/tandem_decode_gemv [--json FILE]

Writes a language model of random blocks (embedding 2048, inner 5632, 16 heads; as many layers as
make 256 MiB) as GGUF for each of llama.cpp's Q4_0, Q8_0 and Q6_K, and lets PyPI's llama-cpp-python
decode one token after the other. Then our program reads the same matrices in the same block
structure, activations coded in 8 bits as llama.cpp does. Both take turns; the ratio is the median
over pairs of turns that follow each other, above 1 we are faster. llama.cpp also computes the
attention over a few positions, norms and a head of 512 words: about 2 % of a token's bytes.
Exit code 1 where a ratio is below --least.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

EMBEDDING, INNER, HEADS, WORDS = 2048, 5632, 16, 512
MIB = 1 << 20
# Of a block: weights, bytes.
BLOCKS = {"q4_0": (32, 18), "q8_0": (32, 34), "q6_k": (256, 210)}
LAYER = 4 * EMBEDDING * EMBEDDING + 3 * EMBEDDING * INNER


def layers_of(kind, mib):
    weights, size = BLOCKS[kind]
    return -(-mib * MIB // (LAYER * size // weights))


def random_blocks(kind, rows, columns, rng):
    """Rows of blocks: any codes, scales that keep values small."""
    weights, size = BLOCKS[kind]
    blocks = rng.integers(0, 256, (rows, columns // weights, size), dtype=np.uint8)
    if kind == "q6_k":  # 192 bytes of codes, 16 signed scales, then f16
        scale, at = np.float16(2e-5), 208
    else:
        scale, at = np.float16(0.004 if kind == "q4_0" else 0.0003), 0
    blocks[:, :, at:at + 2] = np.frombuffer(scale.tobytes(), dtype=np.uint8)
    return blocks.reshape(rows, -1)


def write_model(path, kind, layers):
    import gguf
    quantized = getattr(gguf.GGMLQuantizationType, kind.upper())
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_vocab_size(WORDS)
    writer.add_context_length(512)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_tokenizer_model("no_vocab")

    def add(name, rows, columns):
        writer.add_tensor(name, random_blocks(kind, rows, columns, rng), raw_dtype=quantized)

    def add_norm(name):
        writer.add_tensor(name, np.ones(EMBEDDING, dtype=np.float32))

    add("token_embd.weight", WORDS, EMBEDDING)
    add_norm("output_norm.weight")
    add("output.weight", WORDS, EMBEDDING)
    for layer in range(layers):
        base = f"blk.{layer}."
        add_norm(base + "attn_norm.weight")
        add_norm(base + "ffn_norm.weight")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{base}{name}.weight", EMBEDDING, EMBEDDING)
        add(base + "ffn_gate.weight", INNER, EMBEDDING)
        add(base + "ffn_up.weight", INNER, EMBEDDING)
        add(base + "ffn_down.weight", EMBEDDING, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Llama:
    """One model, loaded; tokens are decoded one by one from an empty context."""

    def __init__(self, path, threads):
        import llama_cpp
        self.api = llama_cpp
        # It tells of every tensor and node; errors are enough.
        error = 4

        @llama_cpp.llama_log_callback
        def log(level, text, _):
            if level == error:
                sys.stderr.write(text.decode(errors="replace"))

        self.log = log  # called as long as the library is there
        llama_cpp.llama_log_set(log, None)
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            sys.exit(f"bench_decode.py: llama.cpp does not load {path}")
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = 512
        options.n_threads = options.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)

    def tokens_per_second(self, count):
        """The best of `count` tokens, each of which reads all weights."""
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        best = float("inf")
        for index in range(count):
            token = (self.api.llama_token * 1)(index % WORDS)
            start = time.perf_counter()
            if self.api.llama_decode(self.context, self.api.llama_batch_get_one(token, 1)) != 0:
                sys.exit("bench_decode.py: llama.cpp does not decode")
            self.api.llama_synchronize(self.context)
            best = min(best, time.perf_counter() - start)
        return 1 / best

    def close(self):
        self.api.llama_free(self.context)
        self.api.llama_model_free(self.model)


class Ours:
    """Our program with its weights, which waits between turns."""

    def __init__(self, kind, layers, options):
        self.process = subprocess.Popen(
            [options.program, "--tokens", kind, "--layers", str(layers), "--threads",
             str(options.threads), "--seconds", str(options.seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.turn()

    def turn(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("bench_decode.py: our program has ended")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(kind, options):
    layers = layers_of(kind, options.mib)
    with tempfile.TemporaryDirectory() as folder:
        path = (options.models or Path(folder)) / f"{kind}-{layers}.gguf"
        if not path.exists():
            write_model(path, kind, layers)
        llama, own = Llama(path, options.threads), Ours(kind, layers, options)
        llama.tokens_per_second(3)
        pairs, record = [], None
        for _ in range(options.turns):
            peer = llama.tokens_per_second(options.tokens)
            record = own.turn()
            pairs.append((record["tokens_per_s"], peer))
        llama.close()
        own.close()
    ratio = statistics.median(mine / peer for mine, peer in pairs)
    return {"blocks": kind, "layers": layers, "mib": record["mib"],
            "tokens_per_s": statistics.median(mine for mine, _ in pairs),
            "llama_tokens_per_s": statistics.median(peer for _, peer in pairs), "ratio": ratio}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--kinds", default="q4_0,q8_0,q6_k")
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--least", type=float, default=1.0)
    parser.add_argument("--models", type=Path, help="folder that keeps the models; none by default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'blocks':8} {'MiB':>6} {'tokens/s':>9} {'llama.cpp':>9} {'ratio':>6}")
    for kind in options.kinds.split(","):
        if kind not in BLOCKS:
            sys.exit(f"bench_decode.py: no blocks '{kind}'; there are {', '.join(BLOCKS)}")
        row = measure(kind, options)
        rows.append(row)
        print(f"{kind:8} {row['mib']:6.0f} {row['tokens_per_s']:9.2f} "
              f"{row['llama_tokens_per_s']:9.2f} {row['ratio']:6.2f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"schema": "tandem-bench-decode/1", "rows": rows},
                                           indent=1) + "\n")
    sys.exit(any(row["ratio"] < options.least for row in rows))


if __name__ == "__main__":
    main()
