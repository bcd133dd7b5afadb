"""Records the answers of a running mlx_lm.server with the scripted model, byte by byte, into tests/data/llm.

Run by hand when the pinned server changes; the parse tests read the files without any server.

Usage: capture.py PORT FOLDER
"""

import json
import platform
import socket
import sys
from pathlib import Path

WEATHER = [{"type": "function", "function": {
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}}]
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "snow"}
THINK = {"chat_template_kwargs": {"enable_thinking": True}}


def user(words):
    return {"role": "user", "content": words}


# Name: the fields that differ from the plain request, and after how many bytes we hang up.
CASES = {
    "mlx-text": ({"messages": [{"role": "system", "content": "Be short."}, user("Hello")]}, None),
    "mlx-accents": ({"messages": [user("coffee")]}, None),
    "mlx-length": ({"messages": [user("sheep")], "max_tokens": 5}, None),
    "mlx-call": ({"messages": [user("weather")], "tools": WEATHER}, None),
    "mlx-thought-and-call": ({"messages": [user("weather")], "tools": WEATHER, **THINK}, None),
    "mlx-result": ({"messages": [user("weather"), CALL, RESULT], "tools": WEATHER}, None),
    "mlx-call-cut-by-limit": ({"messages": [user("weather")], "tools": WEATHER, "max_tokens": 4}, None),
    "mlx-left-in-the-middle": ({"messages": [user("sheep")], "max_tokens": 100_000}, 1_900),
    "mlx-unknown-model": ({"messages": [user("Hello")], "model": "no/such-model"}, None),
}


def main(port, folder):
    for name, (fields, hang_up) in CASES.items():
        body = {
            "model": "default_model",
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 64,
            "temperature": 0.5,
            "chat_template_kwargs": {"enable_thinking": False},
            **fields,
        }
        sent = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
        got = b""
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(head.encode() + sent)
            while piece := connection.recv(65536):
                got += piece
                if hang_up and len(got) >= hang_up:
                    got = got[:hang_up]
                    break
        # The machine's name has no business in the repository; event streams carry no lengths that this could break.
        (folder / f"{name}.http").write_bytes(got.replace(platform.platform().encode(), platform.system().encode()))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
