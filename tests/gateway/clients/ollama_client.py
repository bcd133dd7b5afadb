"""The real ollama package against a gateway.

Usage: ollama_client.py URL TOKEN BACKEND   (BACKEND: mlx, whose model is scripted, or llama, whose model babbles)
"""

import sys

import ollama

url, token, backend = sys.argv[1:]
scripted = backend == "mlx"
client = ollama.Client(host=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
hello = [{"role": "user", "content": "hello there"}]
few = {"num_predict": 24, "temperature": 0, "num_ctx": 131072}

names = [model.model for model in client.list().models]
assert names[0] == "hark:latest", names
assert client.show("hark").capabilities is not None
assert client.ps().models[0].model == "hark:latest"

whole = client.chat(model="llama3", messages=hello, options=few, keep_alive="5m")
assert whole.message.content and whole.done and whole.model == "hark", whole
pieces = list(client.chat(model="llama3", messages=hello, options=few, stream=True))
assert "".join(piece.message.content or "" for piece in pieces) == whole.message.content, pieces
assert pieces[-1].done and pieces[-1].done_reason in ("stop", "length"), pieces[-1]
assert pieces[-1].eval_count > 0, pieces[-1]

text = client.generate(model="llama3", prompt="hello there", options=few)
assert text.response == whole.message.content, text

if scripted:
    def get_weather(city: str) -> str:
        """Tells the weather.

        Args:
            city: The city.
        """
        return "snow"

    asked = client.chat(model="x", messages=hello, tools=[get_weather])
    call = asked.message.tool_calls[0]
    assert call.function.name == "get_weather" and call.function.arguments == {"city": "Oslo"}, call
    told = client.chat(model="x", tools=[get_weather], messages=[
        *hello, asked.message, {"role": "tool", "content": "snow", "tool_name": "get_weather"},
    ])
    assert told.message.content == "In Oslo it snows now.", told
else:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
    formed = client.chat(model="x", messages=hello, format=schema, options={"num_predict": 60})
    assert "ok" in formed.message.content, formed

# Loading and unloading are the gateway's business; a client is told what it wants to hear.
assert client.chat(model="x", messages=[], keep_alive=0).done_reason == "unload"
assert client.generate(model="x").done_reason == "load"

for wish in (lambda: client.pull("llama3"), lambda: client.embed(model="x", input="hello")):
    try:
        wish()
        raise AssertionError("it was granted")
    except ollama.ResponseError as error:
        assert error.status_code == 501, error

try:
    ollama.Client(host=url, headers={"Authorization": "Bearer wrong"}).list()
    raise AssertionError("a wrong token was let in")
except ollama.ResponseError as error:
    assert error.status_code == 401, error
print("ollama: all good")
