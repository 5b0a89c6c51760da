/**
 * Keyed state with real workers: calls that share a key run as if one after another, whatever else runs and whichever
 * worker dies; tenants, policies and modes share nothing; values expire; refusals keep their writes and faults do not.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { exposition } from "../../../shared/metrics/metrics.ts";
import { sharedByTests } from "../../../shared/testing/shared_by_tests.ts";
import type { EvaluateRequest } from "../abi/policy.ts";
import { declares, type GuestText, unmeteredGuest, WEDGES } from "../testing/guests.ts";
import { message, policy, startTestPool, type TestPool } from "../testing/pool.ts";

/** Reads the count in slot 0 and writes one more; `$i` has the new count. */
const COUNT = `
  (local.set $i (call $state_get (i32.const 0)))
  (local.set $i (if (result i32) (local.get $i)
    (then (i32.load (i32.add (local.get $i) (i32.const 4))))
    (else (i32.const 0))))
  (local.set $i (i32.add (local.get $i) (i32.const 1)))
  (i32.store (i32.const 0) (local.get $i))
  (call $state_set (i32.const 0) (i32.const 0) (i32.const 4))`;
/** Refuses with 400 and the count. */
const TELL =
  "(call $reject (i32.add (i32.const 400) (local.get $i)) (i32.const 0) (i32.const 0)) i32.const 0";
/** Whether the payload begins with this letter. */
const BEGINS = (letter: string) =>
  `(i32.eq (i32.load8_u (i32.add (call $get_payload) (i32.const 4))) (i32.const ${
    letter.charCodeAt(0)
  }))`;
const counter = (key: string, body = `${COUNT} i32.const 0`): GuestText => (
  { abi: 2, more: declares([{ key }]), body }
);
/** Reports how often the key was counted, this time included. */
const teller = (key: string): GuestText => counter(key, `${COUNT} ${TELL}`);
/** Counts, and reports the count if the payload begins with "t". */
const tellerWhenAsked = (key: string): GuestText =>
  counter(key, `${COUNT} (if ${BEGINS("t")} (then ${TELL} drop)) i32.const 0`);

type Asked = Partial<EvaluateRequest>;

/** A message of a user in a room, on its own connection unless one is given. */
function of(user: string, room = "r", more: Asked = {}): Asked {
  const headers = [["x-arqon-room", room], ["x-arqon-user", user]] as const;
  return { connection_id: `c-${user}`, facts: () => ({ headers, claims: {} }), ...more };
}

/** For tests whose policies have their own names, and at most one state each: starting a worker is expensive. */
const sharedPool = sharedByTests(() => startTestPool());

const ask = ({ pool }: TestPool, name: string, more: Asked) =>
  pool.evaluate(message([policy(name)], more));

Deno.test("ten connections of one user are counted together, exactly, on several workers", async () => {
  await using test = await startTestPool({ policy: { workers: 4 } });
  test.load("count", teller("{user}"));
  const sent = (at: number) => of(`u${at % 3}`, "r", { connection_id: `c${at % 10}` });
  const pending = Array.from({ length: 150 }, (_, at) => ask(test, "count", sent(at)));
  const codes = new Map<string, number[]>();
  for (const [at, verdict] of (await Promise.all(pending)).entries()) {
    const user = `u${at % 3}`;
    codes.set(user, [...codes.get(user) ?? [], verdict.code]);
  }
  for (const seen of codes.values()) {
    assert.deepEqual(seen.sort((a, b) => a - b), Array.from({ length: 50 }, (_, at) => 401 + at));
  }
});

Deno.test("two tenants with the same users share nothing, and neither do two policies or two modes", async () => {
  const test = await sharedPool();
  test.load("one", teller("{user}"));
  test.load("two", teller("{user}"));
  const next = async (name: string, more: Asked = {}) =>
    (await ask(test, name, of("u", "r", more))).code;
  assert.deepEqual([await next("one"), await next("one")], [401, 402]);
  assert.equal(await next("one", { tenant_id: "other" }), 401);
  assert.equal(await next("two"), 401);
  const observed = message([policy("one", { mode: "observe" })], of("u"));
  assert.equal((await test.pool.evaluate(observed)).outcomes[0]?.code, 401);
  assert.equal((await test.pool.evaluate(observed)).outcomes[0]?.code, 402);
  assert.equal(await next("one"), 403);
});

Deno.test("the same module deployed again continues with its state, and another module starts without state", async () => {
  const test = await sharedPool();
  test.load("a", teller("{user}"));
  test.load("b", { ...teller("{user}"), pages: 2 });
  const next = async (sha256: string) => {
    const chain = [policy("limit", { sha256 })];
    return (await test.pool.evaluate(message(chain, of("u")))).code;
  };
  assert.deepEqual([await next("a"), await next("a")], [401, 402]);
  assert.equal(await next("b"), 401);
  test.pool.unload("a");
  test.load("a", teller("{user}"));
  assert.equal(await next("a"), 403);
});

Deno.test("a value expires after its time since the last write", async () => {
  await using test = await startTestPool();
  test.load("count", teller("{user}"));
  const next = async () => (await ask(test, "count", of("u"))).code;
  assert.equal(await next(), 401);
  test.forward(59_000);
  assert.equal(await next(), 402);
  test.forward(59_000);
  assert.equal(await next(), 403);
  test.forward(60_000);
  assert.equal(await next(), 401);
});

Deno.test("writes of a failed call are not kept, and writes of a call that refused are", async () => {
  await using test = await startTestPool({ policy: { breaker_failures: 1_000 } });
  // Fails in every second call after it has written; the count would show what it wrote.
  test.load("fails", counter("{user}", `${COUNT} (if ${BEGINS("f")} (then unreachable)) ${TELL}`));
  const codes = [];
  for (const text of ["say", "fail", "say", "fail", "say"]) {
    const payload = new TextEncoder().encode(text);
    codes.push((await ask(test, "fails", of("u", "r", { payload }))).code);
  }
  assert.deepEqual(codes, [401, 503, 402, 503, 403]);
});

const FAULTS: Readonly<Record<string, readonly [body: string, detail: RegExp]>> = {
  "a slot that it does not declare": [
    "(drop (call $state_get (i32.const 1))) i32.const 0",
    /slot 1 of the state; the policy declares 1/,
  ],
  "a negative slot": ["(call $state_delete (i32.const -1)) i32.const 0", /slot 4294967295/],
  "a value that is too long": [
    "(call $state_set (i32.const 0) (i32.const 0) (i32.const 9)) i32.const 0",
    /9 bytes; slot 0 has at most 8/,
  ],
  "a value outside its memory": [
    "(call $state_set (i32.const 0) (i32.const 65535) (i32.const 2)) i32.const 0",
    /outside of the memory/,
  ],
};

for (const [what, [body, detail]] of Object.entries(FAULTS)) {
  Deno.test(`a policy that uses ${what} has a fault`, async () => {
    const test = await sharedPool();
    test.load(what, counter("{user}", body));
    const { outcomes } = await ask(test, what, of("u"));
    assert.equal(outcomes[0]?.fault, "abi");
    assert.match(test.lines.join("\n"), detail);
  });
}

Deno.test("a policy sees what it wrote, and also that it deleted", async () => {
  const test = await sharedPool();
  const turns = `(if (call $state_get (i32.const 0)) (then
      (call $state_delete (i32.const 0))
      (if (call $state_get (i32.const 0)) (then unreachable))
      (return (i32.const 1))))
    (call $state_set (i32.const 0) (i32.const 0) (i32.const 0))
    (if (i32.eqz (call $state_get (i32.const 0))) (then unreachable))
    i32.const 0`;
  test.load("turns", counter("{user}", turns));
  const codes = [];
  for (let time = 0; time < 4; time++) codes.push((await ask(test, "turns", of("u"))).code);
  assert.deepEqual(codes, [0, 403, 0, 403]);
});

Deno.test("on the Shield's own thread policies use the workers' state, and a failed call leaves none", async () => {
  const own = { inline_fuel: 200, inline_modules: ["count", "long"], breaker_failures: 1_000 };
  await using test = await startTestPool({ policy: own });
  test.load("count", teller("{user}"));
  const judge = async (name: string) => {
    const request = message([policy(name)], of("u"));
    const inline = test.pool.evaluateInline(request);
    const { code } = inline ?? await test.pool.evaluate(request);
    return [inline !== undefined, code];
  };
  assert.deepEqual(await judge("count"), [false, 401]);
  assert.deepEqual(await judge("count"), [true, 402]);
  assert.deepEqual(await judge("count"), [true, 403]);
  assert.equal((await ask(test, "count", of("u"))).code, 404);
  assert.deepEqual(await judge("count"), [true, 405]);
});

Deno.test("a stall and the death of a worker free the keys; earlier verdicts count", async () => {
  const own = { workers: 2, stall_ms: 2_000, wedge_ms: 300, breaker_failures: 1_000 };
  await using test = await startTestPool({ policy: own });
  test.load("count", teller("{user}"));
  const spins = counter("{user}", `${COUNT} i32.const 0`);
  test.load("count-too", spins);
  assert.equal((await ask(test, "count", of("u"))).code, 401);
  // Two policies share the chain, and with it the keys of both: the second one never returns.
  const { pool } = test;
  pool.load("wedges", unmeteredGuest({ body: WEDGES }));
  const lost = await pool.evaluate(message([policy("count"), policy("wedges")], of("u")));
  // The first policy refuses, so that the second one does not run: its verdict counts.
  assert.equal(lost.code, 402);
  const wedged = await pool.evaluate(message([policy("count-too"), policy("wedges")], of("u")));
  assert.ok(["wedge", "stall"].includes(wedged.outcomes.at(-1)?.fault ?? ""));
  for (;;) {
    const { outcomes, code } = await ask(test, "count", of("u"));
    if (outcomes[0]?.fault !== undefined) continue;
    assert.equal(code, 403);
    break;
  }
});

Deno.test("without room the value with the oldest write is dropped, and counted", async () => {
  await using test = await startTestPool({ policy: { state_tenant_entries: 2 } });
  test.load("count", teller("{user}"));
  const next = async (user: string) => (await ask(test, "count", of(user))).code;
  assert.deepEqual([await next("a"), await next("b"), await next("a")], [401, 401, 402]);
  assert.deepEqual([await next("c"), await next("a"), await next("b")], [401, 403, 401]);
  const { body } = await exposition(test.registry);
  assert.match(body, /^shield_policy_state_entries 2$/m);
  assert.match(body, /^shield_policy_state_dropped_total 2$/m);
  assert.match(body, /^shield_policy_state_bytes [3-9]\d\d$/m);
});

/** The chain of a message, its user, and its connection. */
const sent = fc.record({
  chain: fc.constantFrom(["user"], ["room"], ["user", "room"], ["room", "user"], ["plain", "user"]),
  user: fc.nat(4),
  room: fc.nat(2),
  connection: fc.nat(9),
  tenant: fc.constantFrom("acme", "other"),
});

Deno.test("whatever calls share keys on several workers, the counters are those of sequential calls", async () => {
  const own = { workers: 3, fuel_per_second: 1e12, breaker_failures: 1e6 };
  await using test = await startTestPool({ policy: own });
  test.load("user", tellerWhenAsked("{user}"));
  test.load("room", tellerWhenAsked("{room}"));
  test.load("plain", { body: "i32.const 0" });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(sent, { minLength: 50, maxLength: 250 }), async (all) => {
      run++;
      const counts = new Map<string, number>();
      const key = (tenant: string, name: string, value: number) => `${tenant} ${name} ${value}`;
      const asked = all.map(({ chain, user, room, connection, tenant }) => {
        for (const name of chain) {
          if (name === "plain") continue;
          const counted = key(tenant, name, name === "user" ? user : room);
          counts.set(counted, (counts.get(counted) ?? 0) + 1);
        }
        const more = { tenant_id: `${tenant}${run}`, connection_id: `c${connection}` };
        const bindings = chain.map((name) => policy(name));
        return test.pool.evaluate(message(bindings, of(`u${user}`, `r${room}`, more)));
      });
      for (const { allowed } of await Promise.all(asked)) assert.ok(allowed);
      for (const [counted, count] of counts) {
        const [tenant, name, value] = counted.split(" ") as [string, string, string];
        const payload = new TextEncoder().encode("tell");
        const more = { tenant_id: `${tenant}${run}`, payload };
        const { code } = await ask(test, name, of(`u${value}`, `r${value}`, more));
        assert.equal(code, 400 + count + 1, counted);
      }
    }),
    { numRuns: 10 },
  );
});

Deno.test("a chain that writes and logs as much as it can still gets a verdict", async () => {
  await using test = await startTestPool({ policy: { fuel_per_second: 1e12 } });
  const slots = ["{user}", "{room}", "{tenant}", "{type}"];
  test.load("writes", {
    abi: 2,
    more: declares(slots.map((key) => ({ key, value_bytes: 4_096 }))),
    body: slots.map((_, slot) =>
      `(call $state_set (i32.const ${slot}) (i32.const 32768) (i32.const 4096))`
    ).join(" ") + " i32.const 0",
  });
  // Each character of its lines takes six bytes in the ring.
  test.load("logs", {
    more: "(func $lines (param $left i32) (loop $l (call $log (i32.const 1) (i32.const 40000)" +
      " (i32.const 1024)) (br_if $l (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))",
    body: "(call $lines (i32.const 32)) i32.const 0",
  });
  const chain = Array.from({ length: 8 }, (_, at) => policy(`w${at}`, { sha256: "writes" }));
  for (let at = 0; at < 4; at++) chain.push(policy(`l${at}`, { sha256: "logs" }));
  // Observing policies write as much again, which is not a reason for a refusal.
  const beside = chain.slice(0, 8).map((one) => ({ ...one, mode: "observe" as const }));
  for (let time = 0; time < 20; time++) {
    const { allowed, logs } = await test.pool.evaluate(message([...beside, ...chain], of("u")));
    assert.deepEqual([allowed, logs.length], [true, 128]);
  }
  const more = policy("w8", { sha256: "writes", order: 1 });
  const { outcomes } = await test.pool.evaluate(message([...chain.slice(0, 8), more], of("u")));
  assert.deepEqual(outcomes.map(({ fault }) => fault), [...Array(8).fill(undefined), "abi"]);
  assert.match(test.lines.join("\n"), /the chain writes more than 131072 bytes of state/);
});

Deno.test("what each policy read and wrote of its state is reported on request, inline too", async () => {
  const own = { workers: 2, inline_fuel: 200, inline_modules: ["count"] };
  await using test = await startTestPool({ policy: own });
  test.load("count", teller("{room}/{user}"));
  const seen = [];
  for (let time = 0; time < 4; time++) {
    const request = message([policy("count")], of("ann", "lobby", { record_reads: time !== 1 }));
    const verdict = test.pool.evaluateInline(request) ?? await test.pool.evaluate(request);
    const [only, ...others] = verdict.seen ?? [];
    assert.deepEqual(others, []);
    seen.push(only && { abi: only.abi, read: only.state_reads, written: only.state_writes });
  }
  const value = (count: number) => ({
    template: "{room}/{user}",
    filled: '["lobby","ann"]',
    value: new Uint8Array([count, 0, 0, 0]).toBase64(),
  });
  assert.deepEqual(seen, [
    { abi: 2, read: [{ ...value(0), value: null }], written: [value(1)] },
    undefined,
    { abi: 2, read: [value(2)], written: [value(3)] },
    { abi: 2, read: [value(3)], written: [value(4)] },
  ]);
});
