/** The verdicts of the AssemblyScript examples, run as the Shield runs them. The bad words have a separate test. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { meterPolicy } from "../shield/policy/abi/abi_check.ts";
import { decodePolicy } from "../wasm/metering/meter.ts";
import { BAD_WORDS } from "./testing/word_cases.ts";
import { type Policy, readPolicy, startExample, startPolicy } from "./testing/guest_host.ts";

const EXAMPLES = [...BAD_WORDS, "block_header", "content_size", "json_redaction", "rate_limit"];
const EXAMPLES_V2 = ["json_masking", "mask_digits"];
/** The examples of version 2, with their additional exports. */
const ALSO_V2: Readonly<Record<string, readonly string[]>> = {
  content_size: ["arqon_init"],
  rate_limit: ["arqon_init", "arqon_state_keys"],
};
const JSON_TYPE = { "x-arqon-content-type": "application/json" };

Deno.test("every built example is a policy without a start section and with one hook", async () => {
  for (const name of EXAMPLES) {
    const bytes = await readPolicy(name);
    assert.ok(bytes.length < 65_536, `${name}: ${bytes.length} bytes`);
    const module = decodePolicy(bytes);
    assert.equal(module.start, undefined, name);
    const host = name in ALSO_V2 ? "arqon_host_v2" : "arqon_host_v1";
    assert.ok(module.imports.every((entry) => entry.module === host), name);
    const functions = module.exports.filter(({ kind }) => kind === "function");
    const hook = name === "block_header" ? "arqon_on_connect" : "arqon_on_message";
    const names = ["arqon_alloc", hook, ...ALSO_V2[name] ?? []].sort();
    assert.deepEqual(functions.map((entry) => entry.name).sort(), names, name);
  }
});

Deno.test("block_header refuses a connection with X-Block-Me, with any value", async () => {
  const policy = await startExample("block_header");
  for (const value of ["1", "", "no"]) {
    const { allowed, code, reason } = policy({
      hook: "on_connect",
      headers: { "x-block-me": value },
    });
    assert.deepEqual({ allowed, code, reason }, {
      allowed: false,
      code: 403,
      reason: "X-Block-Me is set",
    });
  }
  assert.equal(policy({ hook: "on_connect", headers: { "x-block-you": "1" } }).allowed, true);
});

Deno.test("json_redaction refuses a secret that is not redacted, at any depth", async () => {
  const policy = await startExample("json_redaction");
  const judge = (payload: string) => policy({ headers: JSON_TYPE, payload }).code;
  const refused = [
    '{"password":"hunter2"}',
    '{"Password":"hunter2"}',
    '{"pass\\u0077ord":"hunter2"}',
    '{"user":{"cards":[{"card_number":4111111111111111}]}}',
    '[[{"ssn":"1"}]]',
    '{"cvv":{"value":"***"}}',
    '{"iban":["***"]}',
    '{"password":"***","secret":false}',
    '{"password":"***","password":"x"}',
  ];
  for (const payload of refused) assert.equal(judge(payload), 422, payload);
  const passed = [
    '{"password":"***"}',
    '{"password":null,"ssn":""}',
    '{"text":"my password is hunter2"}',
    "[1,2,3]",
    '"password"',
  ];
  for (const payload of passed) assert.equal(judge(payload), 0, payload);
  assert.equal(
    policy({ headers: JSON_TYPE, payload: '{"secret":1}' }).reason,
    'the field "secret" is not redacted',
  );
});

Deno.test("json_redaction reads JSON types only, with parameters and suffixes", async () => {
  const policy = await startExample("json_redaction");
  const payload = '{"password":"x"}';
  const judge = (type: string) =>
    policy({ headers: { "x-arqon-content-type": type }, payload }).code;
  for (
    const type of ["application/json", "Application/JSON; charset=utf-8", "application/a+json"]
  ) {
    assert.equal(judge(type), 422, type);
  }
  for (const type of ["text/plain", "", "application/jsonx"]) assert.equal(judge(type), 0, type);
});

Deno.test("json_redaction fails on the same texts as JSON.parse", async () => {
  const policy = await startExample("json_redaction");
  const parses = (text: string) => {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  };
  const compare = (payload: string) => {
    const { code, detail } = policy({ headers: JSON_TYPE, payload });
    assert.equal(code, parses(payload) ? 0 : 400, `${payload} ${detail}`);
  };
  const scraps = fc.array(
    fc.constantFrom(
      ...'{}[],:"\\u01e-+. \n\ttfn',
      "true",
      "null",
      '"a"',
      "\\n",
      "12",
      "1.5e3",
      "-0",
    ),
    { maxLength: 12 },
  );
  fc.assert(fc.property(scraps, (pieces) => compare(pieces.join(""))), { numRuns: 1_000 });
  fc.assert(fc.property(fc.json(), compare));
  fc.assert(fc.property(fc.json(), fc.nat(), fc.string({ maxLength: 1 }), (text, at, change) => {
    const cut = at % (text.length + 1);
    const changed = text.slice(0, cut) + change + text.slice(cut + 1);
    if (changed.isWellFormed()) compare(changed);
  }));
});

Deno.test("json_redaction refuses text that exceeds its maximum depth", async () => {
  const policy = await startExample("json_redaction");
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  assert.equal(policy({ headers: JSON_TYPE, payload: nested(128) }).code, 0);
  assert.equal(policy({ headers: JSON_TYPE, payload: nested(129) }).code, 400);
});

/** Allows 20 messages of a user in 10 seconds, and more in the next window. */
function limits(policy: Policy): void {
  const send = (user: string, now_ms: number) =>
    policy({ headers: { "x-arqon-user": user, "x-arqon-now-ms": String(now_ms) } }).code;
  const start_ms = 1_700_000_000_000;
  for (let index = 0; index < 20; index++) assert.equal(send("ann", start_ms + index), 0);
  assert.equal(send("ann", start_ms + 20), 429);
  assert.equal(send("bob", start_ms + 20), 0, "another user");
  // Half of the next window has passed: half of the 20 still count.
  const later_ms = start_ms + 15_000;
  for (let index = 0; index < 10; index++) assert.equal(send("ann", later_ms), 0, `${index}`);
  assert.equal(send("ann", later_ms), 429);
  assert.equal(send("ann", start_ms), 429, "a clock that goes back gives nothing");
  assert.equal(send("ann", start_ms + 60_000), 0, "after a long time");
}

Deno.test("rate_limit allows 20 messages of a user in 10 seconds, and more in the next window", async () => {
  limits(await startExample("rate_limit"));
});

Deno.test("the rate_limit of version 1, built before version 2 existed, has the same verdicts", async () => {
  const bytes = await Deno.readFile(new URL("testing/rate_limit_v1.wasm", import.meta.url));
  const imports = decodePolicy(bytes).imports.map((entry) => entry.module);
  assert.deepEqual([...new Set(imports)], ["arqon_host_v1"]);
  limits(startPolicy(bytes));
});

Deno.test("rate_limit counts ten thousand users without running out of memory or fuel", async () => {
  const policy = await startExample("rate_limit");
  for (let index = 0; index < 10_000; index++) {
    const { allowed, detail } = policy({
      headers: { "x-arqon-user": `user-${index}`, "x-arqon-now-ms": "1700000000000" },
    });
    assert.deepEqual({ allowed, detail }, { allowed: true, detail: "" }, `${index}`);
  }
});

Deno.test("rate_limit refuses if the Shield gives no time", async () => {
  const policy = await startExample("rate_limit");
  assert.equal(policy({ headers: { "x-arqon-user": "ann" } }).code, 503);
});

Deno.test("content_size refuses a payload above the limit of its content type", async () => {
  const policy = await startExample("content_size");
  const judge = (type: string | undefined, size_bytes: number) =>
    policy({
      headers: type === undefined ? {} : { "x-arqon-content-type": type },
      payload: new Uint8Array(size_bytes),
    });
  const limits: [string | undefined, number][] = [
    ["text/plain", 4_096],
    ["Text/HTML; charset=utf-8", 4_096],
    ["application/json", 16_384],
    ["image/png", 262_144],
    ["audio/ogg", 131_072],
    ["application/octet-stream", 65_536],
    [undefined, 65_536],
  ];
  for (const [type, limit] of limits) {
    assert.equal(judge(type, limit).code, 0, type);
    const { code, reason } = judge(type, limit + 1);
    assert.equal(code, 413, type);
    assert.equal(reason, `${limit + 1} bytes; at most ${limit} here`);
  }
});

Deno.test("the examples of version 2 are policies of that version, with one hook", async () => {
  for (const name of EXAMPLES_V2) {
    const metered = meterPolicy(await readPolicy(name), { memory_limit_pages: 64 });
    assert.deepEqual([metered.abi, metered.renewal?.by], [2, "restore"], name);
    assert.deepEqual(metered.hooks, ["on_message"], name);
  }
});

Deno.test("json_masking masks every value of a secret, at any depth, and nothing else", async () => {
  const policy = await startExample("json_masking");
  const judge = (payload: string) => {
    const ran = policy({ headers: JSON_TYPE, payload });
    assert.deepEqual([ran.allowed, ran.detail], [true, ""], payload);
    return ran.payload === undefined ? undefined : new TextDecoder().decode(ran.payload);
  };
  const masked: Readonly<Record<string, string>> = {
    '{"password":"hunter2"}': '{"password":"***"}',
    '{ "Pass\\u0077ord" : "x" , "a":1 }': '{ "Pass\\u0077ord" : "***" , "a":1 }',
    '{"user":{"card_number":4111111111111111,"name":"é"}}':
      '{"user":{"card_number":"***","name":"é"}}',
    '[{"ssn":null},{"ssn":[1,{"a":true}],"b":2}]':
      '[{"ssn":"***"},{"ssn":["***",{"a":"***"}],"b":2}]',
    '{"cvv":{"x":{"y":""}},"z":"password"}': '{"cvv":{"x":{"y":"***"}},"z":"password"}',
  };
  for (const [payload, wanted] of Object.entries(masked)) {
    assert.equal(judge(payload), wanted);
    JSON.parse(wanted);
  }
  for (const payload of ['{"text":"my password"}', "[1,2]", '"ssn"', '{"ssn":[]}']) {
    assert.equal(judge(payload), undefined, payload);
  }
  assert.equal(policy({ headers: JSON_TYPE, payload: '{"ssn":1' }).code, 400);
  const plain = policy({ headers: { "x-arqon-content-type": "text/plain" }, payload: '{"ssn":1}' });
  assert.deepEqual([plain.allowed, plain.payload], [true, undefined]);
});

Deno.test("json_masking leaves no character of a secret's values", async () => {
  const policy = await startExample("json_masking");
  const parse = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));
  fc.assert(fc.property(fc.jsonValue({ maxDepth: 4 }), fc.jsonValue(), (secret, open) => {
    const payload = JSON.stringify({ open, iban: secret });
    const sent = policy({ headers: JSON_TYPE, payload }).payload;
    const hidden = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(hidden);
      if (value === null || typeof value !== "object") return "***";
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, hidden(one)]));
    };
    const got = sent === undefined ? JSON.parse(payload) : parse(sent);
    assert.deepEqual(got.iban, hidden(JSON.parse(JSON.stringify(secret))));
  }));
});

Deno.test("mask_digits masks digits, and a message without digits stays unmarked", async () => {
  const policy = await startExample("mask_digits");
  fc.assert(fc.property(fc.string(), (text) => {
    const { payload, detail } = policy({ payload: text });
    assert.equal(detail, "");
    const wanted = text.replaceAll(/[0-9]/g, "*");
    const got = payload === undefined ? undefined : new TextDecoder().decode(payload);
    assert.equal(got, wanted === text ? undefined : wanted);
  }));
  const large = "7".repeat(100_000);
  const { payload } = policy({ payload: large });
  assert.equal(new TextDecoder().decode(payload), "*".repeat(100_000));
});
