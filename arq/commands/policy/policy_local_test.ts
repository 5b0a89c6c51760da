/**
 * `arq policy build`, `check` and `test` as their own processes: what an author sees, and that a real bus behaves as
 * they say.
 */
import assert from "node:assert/strict";
import wabt from "wabt";
import { startBusWith } from "../../../tests/harness/bus.ts";
import { PATIENT_POLICIES } from "../../../tests/harness/patient_policies.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { policyIn as policy, runArq } from "../../testing/run_arq.ts";

const BUILT = new URL("../../../policies/build/", import.meta.url).pathname;
const NO_MALWARE = `import { allow, info, onMessage, reject } from "@arqon/policy/v2";
import { word } from "./parts/word.ts";

onMessage((m) => {
  info("from " + m.user + " in " + m.room + " with " + m.contentType);
  m.addHeader("x-checked", "yes");
  return m.text.includes(word) ? reject("no malware, please") : allow();
});
`;

/** A module from WebAssembly text, also with features that no gateway accepts. */
async function assemble(fields: string): Promise<Uint8Array> {
  const module = (await wabt()).parseWat("policy.wat", `(module ${fields})`, { simd: true });
  return module.toBinary({}).buffer;
}

const GOOD = `(memory (export "memory") 1)
  (func (export "arqon_alloc") (param i32) (result i32) (i32.const 0))
  (func (export "arqon_on_message") (result i32) (i32.const 0))`;

Deno.test("written, built, checked, tested, deployed: the bus decides as the test did", async () => {
  const files = {
    "src/no_malware.ts": NO_MALWARE,
    "src/parts/word.ts": 'export const word = "malware";\n',
    "clean.json": '{"text":"hello"}',
    "bad.json": '{"text":"some malware"}',
  };
  await using folder = await folderWith(files);
  const { path } = folder;
  const built = await policy(path, 0, "build", "src/no_malware.ts", "-o", "p.wasm");
  assert.match(built.stdout, /^p\.wasm: \d+ bytes, on_message\n$/);
  const checked = await policy(path, 0, "check", "p.wasm");
  assert.match(checked.stdout, /^accepted {2}p\.wasm\n/);
  assert.match(checked.stdout, /\n +hooks +on_message\n +imports +arqon_host_v2\.host_/);
  assert.match(checked.stdout, /\n +message sizes +up to/);
  assert.match(checked.stdout, /\n +trial compilation +both compilers in [\d,]+ ms\n/);
  const clean = await policy(path, 0, "test", "p.wasm", "--event", "clean.json", "--user", "ann");
  assert.match(clean.stdout, /^allowed {2}clean\.json\n {2}fuel [\d.]+ of 10,000; [\d.]+ ms\n/);
  assert.match(clean.stdout, /\n {2}header {2}x-checked: yes\n/);
  assert.match(clean.stdout, /\n {2}log {5}info {2}from ann in lobby with application\/json\n$/);
  const both = ["--event", "clean.json", "--event", "bad.json"];
  const tested = await policy(path, 1, "test", "p.wasm", ...both);
  assert.match(tested.stdout, /\nrefused {2}bad\.json {2}403 no malware, please\n/);
  assert.match(tested.stdout, /\n1 of 2 allowed\n$/);
  const [, reason] = /client {2}403 policy-rejected: (.*)/.exec(tested.stdout) ?? [];
  await using bus = await startBusWith(PATIENT_POLICIES);
  const at = ["--url", bus.url];
  await policy(path, 0, "deploy", "p.wasm", ...at);
  const blocked = await runArq(["pub", "lobby", files["bad.json"], ...at]);
  assert.equal(blocked.code, 5);
  assert.equal(blocked.stderr, `arq: ${reason} (403 policy-rejected)\n`);
  assert.equal((await runArq(["pub", "lobby", files["clean.json"], ...at])).code, 0);
});

Deno.test("build writes next to the entry, and the same bytes as before", async () => {
  await using folder = await folderWith({
    "a/p.ts": 'import { allow, onMessage } from "@arqon/policy/v2";\nonMessage((_m) => allow());\n',
  });
  const json = await policy(folder.path, 0, "build", "a/p.ts", "--json");
  const first = await Deno.readFile(`${folder.path}/a/p.wasm`);
  const written = { file: "a/p.wasm", size_bytes: first.length, hooks: ["on_message"] };
  assert.deepEqual(JSON.parse(json.stdout), { entry: "a/p.ts", built: true, ...written });
  await policy(folder.path, 0, "build", `${folder.path}/a/p.ts`);
  assert.deepEqual(await Deno.readFile(`${folder.path}/a/p.wasm`), first);
});

Deno.test("compile errors are reported with file, line and text; nothing is written", async () => {
  await using folder = await folderWith({
    "src/p.ts":
      'import { onMessage } from "@arqon/policy/v2";\nonMessage((m) => m.texts.length);\n',
    "src/gone.ts": 'import { x } from "./q.ts";\nimport { y } from "../../y.ts";\nx(y);\n',
    "src/none.ts": "export const nothing = 1;\n",
  });
  const { path } = folder;
  const wrong = await policy(path, 1, "build", "src/p.ts");
  const line =
    /^arq: src\/p\.ts does not compile\nsrc\/p\.ts:2:20: Property 'texts' does not exist .*\(TS2339\)\n/;
  assert.match(wrong.stderr, line);
  assert.match(wrong.stderr, /\n +2 │ onMessage\(\(m\) => m\.texts\.length\);\n +│ +~~~~~\n$/);
  assert.equal(wrong.stdout, "");
  const gone = await policy(path, 1, "build", "src/gone.ts", "--json");
  const { built, problems } = JSON.parse(gone.stdout);
  assert.equal(built, false);
  const places = problems.map((one: { file: string; line: number }) => `${one.file}:${one.line}`);
  assert.deepEqual(places, ["src/gone.ts:1", "src/gone.ts:2"]);
  assert.equal(problems[0].message, "File 'src/q.ts' not found.");
  assert.match(problems[1].message, /own folder or below/);
  const none = await policy(path, 1, "build", "src/none.ts");
  assert.match(none.stderr, /none\.ts registers no handler; call onConnect/);
  const names = await Array.fromAsync(Deno.readDir(`${path}/src`), ({ name }) => name);
  assert.deepEqual(names.filter((name) => name.endsWith(".wasm")), []);
});

Deno.test("check refuses with the gateway's reason and text, and prints what is known", async () => {
  const cases: readonly (readonly [fields: string, reason: string, sentence: RegExp])[] = [
    [
      `(import "wasi_snapshot_preview1" "fd_write" (func (param i32))) ${GOOD}`,
      "wasi-import",
      /is WASI/,
    ],
    ['(memory (export "memory") 1)', "alloc-missing", /arqon_alloc.*No hook is exported/],
    [GOOD.replace("1)", "65)"), "memory-limit", /starts with 65 pages .* at most 64/],
    [
      `${GOOD} (func ${"(local i64 i64 i64 i64 i64 i64 i64 i64)".repeat(120)}
        ${"(loop)".repeat(2_000)})`,
      "compile-cost",
      /too complex to compile/,
    ],
    [
      `${GOOD} ${"(global i32 (i32.const 0))".repeat(20_000)}`,
      "instance-cost",
      /costs [0-9]+ fuel, mostly for its 20000 globals; at most 5000/,
    ],
    [`${GOOD} (func (drop (v128.const i32x4 0 0 0 0)))`, "module-unsupported", /SIMD/],
  ];
  const files: Record<string, Uint8Array | string> = { "text.wasm": "no module" };
  for (const [at, [fields]] of cases.entries()) files[`${at}.wasm`] = await assemble(fields);
  await using folder = await folderWith(files);
  for (const [at, [, reason, sentence]] of cases.entries()) {
    const { stdout } = await policy(folder.path, 1, "check", `${at}.wasm`, "--json");
    const answer = JSON.parse(stdout);
    assert.deepEqual([answer.accepted, answer.reason], [false, reason]);
    assert.match(answer.sentence, sentence);
    assert.equal(answer.facts === undefined, reason === "module-unsupported");
    assert.equal(answer.feature, reason === "module-unsupported" ? "SIMD" : undefined);
  }
  const people = await policy(folder.path, 1, "check", "0.wasm");
  const why = /^refused {2}0\.wasm\nThe import .* is WASI.*\n +reason +wasi-import\n/;
  assert.match(people.stdout, why);
  assert.match(people.stdout, /\n +imports +wasi_snapshot_preview1\.fd_write\n/);
  const text = await policy(folder.path, 1, "check", "text.wasm");
  assert.match(text.stdout, /not WebAssembly: no magic number.*\n +reason +module-malformed\n/);
  const larger = await policy(folder.path, 0, "check", "2.wasm", "--memory-limit-pages", "65");
  assert.match(larger.stdout, /^accepted.*\n[^]*\n +memory +65 pages; at most 65 \(/);
});

Deno.test("check and deploy name each hook that fails its trial call, whatever the fault", async () => {
  const failing = `(memory (export "memory") 1)
    (func (export "arqon_alloc") (param i32) (result i32) (i32.const 0))
    (func $deep (result i32) (i32.add (call $deep) (i32.const 1)))
    (func (export "arqon_on_message") (result i32) (call $deep))
    (func (export "arqon_on_subscribe") (result i32) unreachable)
    (func (export "arqon_on_connect") (result i32) (i32.const 0))`;
  await using folder = await folderWith({ "p.wasm": await assemble(failing) });
  const { stdout } = await policy(folder.path, 0, "check", "p.wasm", "--json");
  const answer = JSON.parse(stdout);
  const found = answer.failing.map(({ hook, fault }: Record<string, string>) => `${hook} ${fault}`);
  assert.deepEqual(found.sort(), ["on_message trap", "on_subscribe trap"]);
  assert.equal(answer.message_sizes, undefined);
  const text = await policy(folder.path, 0, "check", "p.wasm");
  assert.match(text.stdout, /\n +failing +on_subscribe: trap, .*; refused with 503\n/);
  assert.doesNotMatch(text.stdout, /message sizes/);
  await using bus = await startBusWith(PATIENT_POLICIES);
  const { stderr } = await policy(folder.path, 0, "deploy", "p.wasm", "--url", bus.url);
  assert.match(stderr, /fails a short trial call.*on_subscribe: trap/);
});

Deno.test("check names the fault of long messages", async () => {
  const source = `import { allow, onMessage } from "@arqon/policy/v2";
    onMessage((m) => {
      if (m.text.length > 2000) throw new Error("long");
      return allow();
    });`;
  await using folder = await folderWith({ "p.ts": source });
  await policy(folder.path, 0, "build", "p.ts");
  const { stdout } = await policy(folder.path, 0, "check", "p.wasm", "--json");
  const { failing, message_sizes } = JSON.parse(stdout);
  assert.deepEqual(failing, []);
  const prose = message_sizes.refused.find((one: { content: string }) =>
    one.content === "English prose"
  );
  assert.equal(prose.fault, "trap");
  assert.ok(prose.bytes > 1_900 && prose.bytes <= 2_016, `${prose.bytes}`);
});

Deno.test("check shows figures with their limits for programs", async () => {
  const { stdout } = await policy(BUILT, 0, "check", "bad_words.wasm", "--json");
  const { sha256, accepted, size_bytes, facts, compile_ms, message_sizes } = JSON.parse(stdout);
  assert.equal(accepted, true);
  assert.match(sha256, /^[0-9a-f]{64}$/);
  assert.equal(size_bytes.limit, 1_048_576);
  assert.deepEqual([facts.hooks, facts.start_function], [["on_message"], false]);
  assert.deepEqual(facts.features, ["bulk memory"]);
  const costs = ["compile_cost", "function_compile_cost", "instance_fuel"];
  for (const name of ["functions", "table_entries", ...costs]) {
    assert.ok(facts[name].is <= facts[name].limit, name);
  }
  assert.ok(facts.function_compile_cost.is <= facts.compile_cost.is);
  assert.equal(typeof compile_ms, "number");
  assert.deepEqual([message_sizes.limit_bytes, message_sizes.fuel_limit], [262_144, 10_000]);
  const text = await policy(BUILT, 0, "check", "bad_words.wasm");
  assert.match(text.stdout, /\n +message sizes +up to [\d,]+ of 262,144 bytes; longer ones may be/);
});

Deno.test("test preserves the policy's state between runs, and shows the first refusal", async () => {
  await using folder = await folderWith({ "e.json": "1", "e.txt": "a\u001b[2Jb" });
  const module = `${BUILT}rate_limit.wasm`;
  const args = ["--event", "e.json", "--runs", "25"];
  const { stdout } = await policy(folder.path, 1, "test", module, ...args);
  const first = /^refused {2}e\.json {2}429 at most 20 .* \(first in run 21; 20 of 25 allowed\)\n/;
  assert.match(stdout, first);
  const json = await policy(folder.path, 1, "test", module, ...args, "--json");
  const { allowed, fuel_limit, events } = JSON.parse(json.stdout);
  assert.deepEqual([allowed, fuel_limit, events.length], [false, 10_000, 1]);
  const [{ verdict, code, run, runs, allowed_runs, fuel, fuel_max, client }] = events;
  assert.deepEqual([verdict, code, run, runs, allowed_runs], ["refused", 429, 21, 25, 20]);
  assert.ok(fuel > 0 && fuel <= fuel_max);
  assert.deepEqual([client.code, client.reason], [429, "policy-rejected"]);
  const poor = ["--event", "e.txt", "--fuel-limit", "1"];
  const fault = await policy(folder.path, 1, "test", module, ...poor);
  assert.match(fault.stdout, /^fault {4}e\.txt {2}fuel: out of fuel\n {2}fuel 1 of 1;/);
  assert.match(fault.stdout, /\n {2}client {2}503 policy-fault: /);
});

Deno.test("test calls the other hooks without an event", async () => {
  const module = `${BUILT}block_header.wasm`;
  const connect = ["--hook", "on_connect"];
  const { stdout } = await policy(BUILT, 1, "test", module, ...connect, "--header", "X-Block-Me=");
  assert.match(stdout, /^refused {2}403 X-Block-Me is set\n/);
  assert.match((await policy(BUILT, 0, "test", module, ...connect)).stdout, /^allowed\n {2}fuel /);
});

Deno.test("invalid command lines and unreadable files have different errors", async () => {
  await using folder = await folderWith({ "e.json": "1", "bad.wasm": "no module", "p.ts": "" });
  const words = `${BUILT}bad_words.wasm`;
  const event = ["--event", "e.json"];
  const cases: [string[], number, RegExp][] = [
    [["build"], 2, /missing required argument/],
    [["build", "p.js"], 2, /a policy's source is a \.ts file/],
    [["build", "p.ts", "-o", "p.ts"], 2, /must end in \.wasm/],
    [["build", "gone.ts"], 1, /cannot read .*gone\.ts/],
    [["build", "/nowhere/p.ts"], 1, /cannot read \/nowhere\/p\.ts/],
    [["check", "gone.wasm"], 1, /cannot read .*gone\.wasm/],
    [["check", words, "--memory-limit-pages", "0"], 2, /a whole number of pages/],
    [["test", "bad.wasm", ...event], 1, /refused \(module-malformed\).*\n.*arq policy check bad/],
    [["test", words], 2, /give --event FILE/],
    [["test", words, "--event", "gone.json"], 1, /cannot read .*gone\.json/],
    [["test", words, ...event, "--hook", "on_fire"], 2, /on_connect, on_subscribe, on_message/],
    [["test", words, ...event, "--hook", "on_connect"], 2, /no hook on_connect; it has on_message/],
    [["test", words, ...event, "--claim", "plan=free"], 2, /--claim 'plan="free"'/],
    [["test", words, ...event, "--header", "novalue"], 2, /NAME=VALUE/],
    [["test", words, ...event, "--header", "X-Arqon-User=x"], 2, /the gateway sets.*\n.*--user/],
    [["test", words, ...event, "--header", "a=1", "--header", "A=2"], 2, /a gateway would refuse/],
    [["test", words, ...event, "--room", "a b"], 2, /Not a room/],
    [["test", words, ...event, "--tenant", "a b"], 2, /Not a tenant/],
    [["test", words, ...event, "--runs", "0"], 2, /1 to 1000000/],
    [["test", `${BUILT}block_header.wasm`, "--hook", "on_connect", ...event], 2, /has no event/],
  ];
  for (const [args, code, expected] of cases) {
    const result = await policy(folder.path, code, ...args);
    assert.match(result.stderr, expected, args.join(" "));
    assert.equal(result.stdout, "");
  }
});

Deno.test("help names the options, and the compiler is not loaded for it", async () => {
  const options = { build: /--output/, check: /--memory/, test: /--claim/ };
  for (const [name, option] of Object.entries(options)) {
    assert.match((await policy(BUILT, 0, name, "--help")).stdout, option);
  }
  const root = new URL("../../..", import.meta.url).pathname;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "arq/program/program.ts"],
    cwd: root,
    stdout: "piped",
    stderr: "null",
  }).output();
  interface Dependency {
    code?: { specifier?: string };
    isDynamic?: boolean;
  }
  interface Module {
    specifier: string;
    dependencies?: Dependency[];
  }
  const { roots, modules } = JSON.parse(new TextDecoder().decode(stdout));
  const known = new Map((modules as Module[]).map((one) => [one.specifier, one]));
  const loaded = new Set<string>(roots);
  for (const specifier of loaded) {
    for (const { code, isDynamic } of known.get(specifier)?.dependencies ?? []) {
      if (isDynamic !== true && code?.specifier !== undefined) loaded.add(code.specifier);
    }
  }
  assert.ok([...loaded].some((one) => one.endsWith("/arq/program/groups/policy.ts")));
  // Names, the version, the hooks and helpers for texts.
  const lights = [
    ...["schema_id.ts", "version.ts", "within.ts", "plural.ts", "containers/concat.ts"],
    ...["logs/line_queue.ts", "config/values/postgres.ts", "audit/outcome.ts"],
    ...["rollout/condition.ts", "records/verdict.ts"],
  ];
  const ours = /\/(shield|shared)\/|(?<!\/arq)\/policies\/|assemblyscript/;
  const parts = [...loaded].filter((one) => ours.test(one));
  const expected = lights.map((one) => new URL(`../../../shared/${one}`, import.meta.url).href);
  assert.deepEqual(parts.sort(), expected.sort());
});
