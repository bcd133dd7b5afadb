"""Starts mlx_lm.server as Hark needs it: it ends with its parent, dies aloud, and keeps its prompt cache bounded.

Three things that the server does not do by itself (mlx_lm 0.32): a generator that has died leaves a process that answers
503 for ever, a bad model or a taken port leaves one that holds memory and answers nobody, and --prompt-cache-bytes is not
passed on to the cache of the sequential path. The wired limit is left alone, because raising it under load has brought down
whole machines. What cannot be found in another version of the server is left as it is.
"""

import os
import sys
import threading


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


if os.environ.get("HARK_LEASH") == "1":
    threading.Thread(target=end_with_parent, daemon=True).start()

import mlx.core as mx

mx.set_wired_limit = lambda limit: 0

import mlx_lm.server as server

cache = getattr(server, "LRUPromptCache", None)
if cache is not None and "HARK_PROMPT_CACHE_BYTES" in os.environ:
    bytes_ = int(os.environ["HARK_PROMPT_CACHE_BYTES"])

    def bounded(size, *rest, **more):
        try:
            return cache(size, bytes_)
        except TypeError:
            return cache(size, *rest, **more)

    server.LRUPromptCache = bounded

generator = getattr(server, "ResponseGenerator", None)
if generator is not None and hasattr(generator, "_run_generate"):
    run_generate = generator._run_generate

    def run_and_die_aloud(self, *arguments, **named):
        try:
            return run_generate(self, *arguments, **named)
        finally:
            if getattr(self, "_generation_failed", False):
                print("the generator has died: exiting", file=sys.stderr, flush=True)
                os._exit(70)

    generator._run_generate = run_and_die_aloud

try:
    server.main()
except SystemExit:
    raise
except BaseException:
    import traceback

    traceback.print_exc()
    sys.stderr.flush()
    os._exit(71)
