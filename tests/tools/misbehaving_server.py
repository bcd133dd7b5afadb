#!/usr/bin/env python3
"""A server of the Model Context Protocol over standard streams that does everything wrong that a server can do.

Usage: misbehaving_server.py [never-ready | dies | endless-list] [--child FILE] [--starts FILE]
"""
import json
import os
import subprocess
import sys
import time

arguments = sys.argv[1:]
mode = arguments[0] if arguments and not arguments[0].startswith("--") else "plain"


def option(name):
    return arguments[arguments.index(name) + 1] if name in arguments else None


def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(request, result):
    send({"jsonrpc": "2.0", "id": request["id"], "result": result})


def text(request, words, **more):
    answer(request, {"content": [{"type": "text", "text": words}], **more})


def tool(name, hints=None, properties=None, required=None):
    schema = {"type": "object", "properties": properties or {}}
    if required:
        schema["required"] = required
    made = {"name": name, "description": "The tool " + name + ".\nSecond line.", "inputSchema": schema}
    if hints is not None:
        made["annotations"] = hints
    return made


TOOLS = [
    tool("echo", {"readOnlyHint": True}, {"text": {"type": "string"}}, ["text"]),
    tool("hang", {"readOnlyHint": False, "destructiveHint": False}),
    tool("big", {"readOnlyHint": True}),
    tool("flood", {"readOnlyHint": True}),
    tool("garbage", {"readOnlyHint": True}),
    tool("die", {"destructiveHint": True}),
    tool("grow", {"readOnlyHint": True}),
    tool("fail", {"readOnlyHint": True}),
    tool("environment", {"readOnlyHint": True}),
    tool("strange name.with/signs"),
]

if starts := option("--starts"):
    with open(starts, "a") as file:
        file.write(str(os.getpid()) + "\n")
if child := option("--child"):
    sleeper = subprocess.Popen(["sleep", "1000"])
    with open(child, "a") as file:
        file.write(str(sleeper.pid) + "\n")
if mode == "dies":
    sys.stderr.write("first line\nno licence found\n")
    sys.exit(3)

for line in sys.stdin:
    request = json.loads(line)
    method = request.get("method")
    if "id" not in request:
        continue
    if method == "initialize":
        if mode == "never-ready":
            time.sleep(1000)
        answer(request, {
            "protocolVersion": request["params"]["protocolVersion"],
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "misbehaving", "version": "1"},
        })
    elif method == "tools/list":
        page = {"tools": TOOLS}
        if mode == "endless-list":
            page["nextCursor"] = "again"
        answer(request, page)
    elif method == "tools/call":
        name = request["params"]["name"]
        if name == "echo":
            text(request, request["params"]["arguments"]["text"])
        elif name == "big":
            text(request, "word " * 200_000)
        elif name == "flood":
            for _ in range(200):
                sys.stderr.write("complaint " * 1_000 + "\n")
            sys.stdout.write("x" * 20_000_000 + "\n")
            text(request, "after the flood")
        elif name == "garbage":
            sys.stdout.write("this is no JSON\n{\"jsonrpc\": \"2.0\"}\n[]\n\n")
            send({"jsonrpc": "2.0", "id": 987654, "result": {"content": []}})
            text(request, "after the garbage")
        elif name == "die":
            os._exit(9)
        elif name == "grow":
            TOOLS.append(tool("grown", {"readOnlyHint": True}))
            send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
            text(request, "grown")
        elif name == "fail":
            text(request, "it did not work\nat all", isError=True)
        elif name == "environment":
            text(request, json.dumps(dict(os.environ)))
        elif name == "hang":
            pass
        else:
            text(request, "called " + name)
    else:
        send({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "no " + str(method)}})
