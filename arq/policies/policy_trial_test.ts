// A policy on made-up operations, in this process: its inputs, its state, its failures.
import assert from "node:assert/strict";
import wabt from "wabt";
import { configFrom } from "../../shared/config/load.ts";
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import { createTrial, type TrialOperation, type TrialOptions } from "./policy_trial.ts";

const { parseWat } = await wabt();

/** Refuses with the host's value that `$say` left; its length precedes it. */
const PRELUDE = `
  (import "arqon_host_v1" "host_get_header" (func $header (param i32 i32) (result i32)))
  (import "arqon_host_v1" "host_get_claim" (func $claim (param i32 i32) (result i32)))
  (import "arqon_host_v1" "host_get_payload" (func $payload (result i32)))
  (import "arqon_host_v1" "host_add_header" (func $add (param i32 i32 i32 i32)))
  (import "arqon_host_v1" "host_log" (func $log (param i32 i32 i32)))
  (import "arqon_host_v1" "host_reject" (func $reject (param i32 i32 i32)))
  (memory (export "memory") 8)
  (func (export "arqon_alloc") (param i32) (result i32) (i32.const 4096))
  (func $say (param $at i32)
    (if (i32.eqz (local.get $at)) (then (return)))
    (call $reject (i32.const 418)
      (i32.add (local.get $at) (i32.const 4)) (i32.load (local.get $at))))`;

function trialOf(fields: string, options: Partial<TrialOptions> = {}) {
  const { buffer } = parseWat("trial.wat", `(module ${PRELUDE} ${fields})`).toBinary({});
  const metered = meterPolicy(buffer, { memory_limit_pages: 64 });
  const trial = createTrial({
    module: new WebAssembly.Module(metered.bytes),
    fuel_limit: 10_000,
    config: configFrom({}),
    tenant_id: "acme",
    user_id: "ann",
    claims: {},
    now: () => 1_700_000_000_000,
    monotonic_ms: () => 0,
    ...options,
  });
  return (operation: Partial<TrialOperation> = {}) =>
    trial({
      hook: "on_message",
      room_id: "lobby",
      headers: {},
      type: "chat",
      content_type: "text/plain",
      payload: new TextEncoder().encode("hello"),
      ...operation,
    });
}

const hook = (body: string, name = "on_message") =>
  `(func (export "arqon_${name}") (result i32) ${body} (i32.const 0))`;

/** A policy that refuses with a header's value. */
const saysHeader = (name: string, at = "on_message") =>
  `(data (i32.const 0) "${name}") ` +
  hook(`(call $say (call $header (i32.const 0) (i32.const ${name.length})))`, at);

Deno.test("a policy sees what a bus gives it: reserved headers, own ones, the payload", async () => {
  const expected = {
    "x-arqon-hook": "on_message",
    "x-arqon-tenant": "acme",
    "x-arqon-room": "lobby",
    "x-arqon-user": "ann",
    "x-arqon-type": "chat",
    "x-arqon-content-type": "text/plain",
    "x-arqon-remote-ip": "127.0.0.1",
    "x-arqon-now-ms": "1700000000000",
    "x-mine": "yes",
  };
  for (const [name, value] of Object.entries(expected)) {
    const { verdict, code, reason } = await trialOf(saysHeader(name))({
      headers: { "X-Mine": "yes" },
    });
    assert.deepEqual({ verdict, code, reason }, { verdict: "refused", code: 418, reason: value });
  }
  const payload = await trialOf(hook("(call $say (call $payload))"))();
  assert.equal(payload.reason, "hello");
});

Deno.test("connections and subscriptions have the request's headers, and no event", async () => {
  for (const name of ["on_connect", "on_subscribe"] as const) {
    const ask = trialOf(saysHeader("x-mine", name));
    assert.equal((await ask({ hook: name, headers: { "X-Mine": "1" } })).reason, "1");
    assert.equal((await ask({ hook: name })).verdict, "allowed");
  }
  const room = trialOf(saysHeader("x-arqon-room", "on_subscribe"));
  assert.equal((await room({ hook: "on_subscribe" })).reason, "lobby");
});

Deno.test("a byte order mark is part of a payload, and of a growing message's piece", async () => {
  for (const name of ["on_message", "on_append"] as const) {
    const payload = new TextEncoder().encode("\uFEFFhello");
    const says = trialOf(hook("(call $say (call $payload))", name));
    assert.equal((await says({ hook: name, payload })).reason, "\uFEFFhello", name);
  }
});

Deno.test("pieces of a growing message are judged together with what was held back before", async () => {
  // Holds back all but the first two bytes, and reports how many bytes readers have.
  const holds = `(data (i32.const 0) "release") (data (i32.const 16) "2")
    (data (i32.const 32) "x-arqon-growing-bytes")` +
    hook(
      `(call $log (i32.const 1) (i32.add (i32.const 4) (call $header (i32.const 32) (i32.const 21)))
        (i32.const 1))
      (call $add (i32.const 0) (i32.const 7) (i32.const 16) (i32.const 1))`,
      "on_append",
    );
  const trial = trialOf(holds);
  const outcomes = [];
  for (const text of ["hello", "!", ""]) {
    const payload = new TextEncoder().encode(text);
    const { verdict, logs } = await trial({ hook: "on_append", payload });
    outcomes.push([verdict, logs[0]?.message]);
  }
  assert.deepEqual(outcomes, [["allowed", "0"], ["allowed", "2"], ["allowed", "4"]]);
});

Deno.test("claims are the given ones and those that every token has", async () => {
  const says = (name: string) =>
    `(data (i32.const 0) "${name}") ` +
    hook(`(call $say (call $claim (i32.const 0) (i32.const ${name.length})))`);
  const claims = { plan: "free", limits: { daily: 3 }, role: "service" };
  const reasons = ["plan", "limits", "role", "sub", "tenant_id", "none"].map(async (name) =>
    (await trialOf(says(name), { claims })()).reason
  );
  assert.deepEqual(await Promise.all(reasons), [
    "free",
    '{"daily":3}',
    "service",
    "ann",
    "acme",
    "",
  ]);
});

Deno.test("added headers and logs are shown; a client gets a refusal as on a bus", async () => {
  const texts = '(data (i32.const 0) "x-plan") (data (i32.const 16) "gold")';
  const add = `(call $add (i32.const 0) (i32.const 6) (i32.const 16) (i32.const 4))
    (call $log (i32.const 2) (i32.const 16) (i32.const 4))`;
  const allowed = await trialOf(texts + hook(add))();
  assert.deepEqual(allowed.added_headers, [["x-plan", "gold"]]);
  assert.deepEqual(allowed.logs, [{ level: 2, message: "gold" }]);
  assert.equal(allowed.client, null);
  const reject = "(call $reject (i32.const 429) (i32.const 16) (i32.const 4))";
  const refused = await trialOf(texts + hook(add + reject))();
  assert.deepEqual(refused.added_headers, []);
  assert.deepEqual(refused.client, {
    code: 429,
    reason: "policy-rejected",
    message: "Message blocked by policy: gold",
  });
});

Deno.test("state is kept from call to call until a fault makes a new instance", async () => {
  const counts = `(global $n (mut i32) (i32.const 0))
    (func (export "arqon_on_message") (result i32)
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (if (i32.eq (global.get $n) (i32.const 3)) (then (unreachable)))
      (i32.eq (global.get $n) (i32.const 2)))`;
  const ask = trialOf(counts);
  const verdicts: string[] = [];
  for (let call = 0; call < 6; call++) verdicts.push((await ask()).verdict);
  assert.deepEqual(verdicts, ["allowed", "refused", "fault", "allowed", "refused", "fault"]);
});

Deno.test("faults are shown with their cause, and a client gets 503", async () => {
  const loop = await trialOf(hook("(loop (br 0))"), { fuel_limit: 7 })();
  assert.deepEqual([loop.verdict, loop.fault, loop.fuel], ["fault", "fuel", 7]);
  assert.equal(loop.client?.code, 503);
  assert.equal(loop.client?.reason, "policy-fault");
  const trap = await trialOf(hook("(unreachable)"))();
  assert.deepEqual([trap.fault, trap.detail], ["trap", "unreachable"]);
  const large = await trialOf(hook(""))({ payload: new Uint8Array(262_145) });
  assert.equal(large.fault, "payload-too-large");
  assert.match(large.detail, /^262145 bytes; .* at most 262144$/);
});

Deno.test("the same call uses the same fuel every time", async () => {
  const ask = trialOf(hook("(drop (call $payload))"));
  const first = await ask();
  assert.ok(first.fuel > 0);
  assert.equal((await ask()).fuel, first.fuel);
});

Deno.test("an envelope that gateways refuse is an error", async () => {
  const ask = trialOf(hook(""));
  await assert.rejects(ask({ headers: { a: "1", A: "2" } }), { reason: "repeated-field" });
});
