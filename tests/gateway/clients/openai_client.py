"""The real openai package against a gateway: everything that it offers and the gateway serves.

Usage: openai_client.py URL TOKEN BACKEND RECORDING   (BACKEND: mlx, whose model is scripted, or llama, whose model babbles)
"""

import sys

import openai

url, token, backend, recording = sys.argv[1:]
scripted = backend == "mlx"
client = openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=60)
hello = [{"role": "user", "content": "hello there"}]

names = [model.id for model in client.models.list()]
assert names[0] == "hark", names
assert client.models.retrieve("hark").owned_by == "hark"

whole = client.chat.completions.create(model="gpt-4o", messages=hello, max_tokens=24, temperature=0)
said = whole.choices[0].message.content
assert said and whole.model == "hark" and whole.usage.completion_tokens > 0, whole

pieces, usage, reason = [], None, None
for chunk in client.chat.completions.create(
    model="gpt-4o", messages=hello, max_tokens=24, temperature=0, stream=True, stream_options={"include_usage": True}
):
    usage = chunk.usage or usage
    for choice in chunk.choices:
        pieces.append(choice.delta.content or "")
        reason = choice.finish_reason or reason
assert "".join(pieces) == said, (pieces, said)
assert usage.total_tokens > 0 and reason in ("stop", "length"), (usage, reason)

text = client.completions.create(model="x", prompt="Once", max_tokens=4, temperature=0)
assert text.object == "text_completion" and text.choices[0].finish_reason, text

if scripted:
    tools = [{"type": "function", "function": {
        "name": "get_weather", "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }}]
    asked = client.chat.completions.create(model="x", messages=hello, tools=tools)
    call = asked.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather" and call.function.arguments == '{"city": "Oslo"}', call
    told = client.chat.completions.create(model="x", tools=tools, messages=[
        *hello, asked.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "snow"},
    ])
    assert told.choices[0].message.content == "In Oslo it snows now.", told
else:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
    formed = client.chat.completions.create(model="x", messages=hello, max_tokens=60, response_format={
        "type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True},
    })
    assert "ok" in formed.choices[0].message.content, formed

try:
    client.embeddings.create(model="x", input="hello")
    raise AssertionError("neither backend of these tests has embeddings")
except openai.APIStatusError as error:
    assert error.status_code == 501, error

stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0)
try:
    stranger.models.list()
    raise AssertionError("a wrong token was let in")
except openai.AuthenticationError as error:
    assert error.code == "wrong_token", error

# Leaving in the middle, and asking again at once.
stream = client.chat.completions.create(model="x", messages=[{"role": "user", "content": "count sheep"}], max_tokens=4000, stream=True)
next(iter(stream))
stream.close()
assert client.chat.completions.create(model="x", messages=hello, max_tokens=4).choices

if recording != "-":
    with open(recording, "rb") as file:
        heard = client.audio.transcriptions.create(model="whisper-1", file=file)
    assert "time" in heard.text.lower(), heard
    with open(recording, "rb") as file:
        heard = client.audio.transcriptions.create(model="whisper-1", file=file, response_format="verbose_json")
    assert heard.duration > 0 and heard.segments, heard
    sound = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.", response_format="wav").read()
    assert sound[:4] == b"RIFF" and len(sound) > 10_000, len(sound)
print("openai: all good")
