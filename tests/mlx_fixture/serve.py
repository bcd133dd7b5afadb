"""Runs the real mlx_lm.server, and ends it when standard input is closed: it cannot outlive the test that started it.

Usage: serve.py [arguments of mlx_lm.server]
"""

import os
import sys
import threading

from mlx_lm.server import main


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
main()
