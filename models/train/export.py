"""export.py CHECKPOINT.pt OUT.bin [f16|q8_0|q5_1]: writes the file that whisper.cpp loads (to a temporary name first, then renamed)."""
import os
import sys

import torch

import weights

if __name__ == "__main__":
    c = torch.load(sys.argv[1], map_location="cpu")
    out = sys.argv[2]
    weights.write(out + ".tmp", c.get("ema") or c["net"], c["config"], c["ids"], sys.argv[3] if len(sys.argv) > 3 else "q5_1")
    os.replace(out + ".tmp", out)
    print(out, os.path.getsize(out), "bytes")
