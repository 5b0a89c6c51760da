/**
 * Blocks of the journal: what goes in comes out, an erased user leaves what names nobody, and damage is a
 * hole and never another record.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { BlockBuilder, type BlockHole, ClosedBlock, damagedHole } from "./block.ts";
import { DamagedBlock, OtherVersionBlock } from "./block_bytes.ts";
import type { JournalEntry } from "./entry.ts";
import { isHole, type JournalLine, parseLine } from "./record.ts";
import { NO_KEY, type UserKey } from "./user_keys.ts";

const OWNER = {
  tenant: "acme",
  node: "s1",
  meter_version: 4,
  fuel_limit: 10_000,
  chain_fuel_limit: 20_000,
};
const HOLE: BlockHole = { from_ms: 5, to_ms: 9, records: 3, why: "queue-full" };

/** A key that hangs on the user alone. */
function keyOf(user: string): UserKey {
  const key = createHash("sha256").update(user).digest();
  return { id: key.subarray(0, 16), key };
}

function close(entries: readonly JournalEntry[], holes: readonly BlockHole[] = []): Uint8Array {
  const builder = new BlockBuilder();
  for (const entry of entries) builder.add(entry);
  const steps = builder.close(OWNER, 100, holes, builder.users.map(keyOf));
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

function open(bytes: Uint8Array, erased: readonly string[] = []): JournalLine[] {
  const block = new ClosedBlock(bytes);
  const erased_ids = erased.map((user) => keyOf(user).id.toHex());
  const users = new Map<string, Uint8Array>();
  for (const user of USERS) users.set(keyOf(user).id.toHex(), keyOf(user).key);
  return [...block.lines(
    block.key_ids.map((id) => erased_ids.includes(id.toHex()) ? undefined : users.get(id.toHex())),
  )];
}

/** Records without a null prototype, which no line has. */
const plain = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model as never, { noNullPrototype: true }) as fc.Arbitrary<T>;

const USERS = ["", "ann", "bob", "Zoë"];
const text = fc.string({ unit: "binary", maxLength: 40 });
const some = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const count = fc.oneof(fc.nat(), fc.constant(0), fc.maxSafeNat().map((n) => n % 2 ** 50));
const base64 = fc.uint8Array({ maxLength: 20 }).map((bytes) => bytes.toBase64());
const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((one) => one.toHex());

const read = fc.oneof(
  plain({
    from: fc.constantFrom("header" as const, "claim" as const),
    name: text,
    value: some(text),
  }),
  plain({ from: fc.constant("state" as const), name: text, value: some(base64), key: text }),
);
const policy = plain({
  name: text,
  module: hex(32),
  abi: fc.constantFrom(1 as const, 2 as const),
  mode: fc.constantFrom("enforce" as const, "observe" as const),
  allowed: fc.boolean(),
  code: fc.integer({ min: 400, max: 599 }),
  reason: text,
  fault: some(text),
  detail: text,
  units: count,
  budget_units: count,
  asking_bytes: fc.nat(),
  has_read_payload: fc.boolean(),
  reads: fc.array(read, { maxLength: 3 }),
  writes: fc.array(plain({ name: text, value: some(base64) }), { maxLength: 2 }),
  added_headers: fc.array(fc.tuple(text, text), { maxLength: 2 }),
  payload: some(base64),
  logs: fc.array(plain({ level: fc.nat(3), message: text }), { maxLength: 2 }),
}).map((one) => ({
  ...one,
  ...(one.allowed ? { code: 0, reason: "" } : {}),
  detail: one.fault === null ? "" : one.detail,
  ...(one.payload === null && one.allowed ? { is_payload_missing: true as const } : {}),
}));
const payload = fc.oneof(
  plain({ form: fc.constant("kept" as const), data: fc.uint8Array({ maxLength: 300 }) }),
  plain({ form: fc.constant("reference" as const), bytes: fc.nat() }),
  plain({ form: fc.constant("hash" as const), sha256: hex(32), bytes: fc.nat() }),
  plain({ form: fc.constant("none" as const) }),
);
/** Ids, those that a block shortens, and those that look like them. */
const id = some(fc.oneof(
  text,
  fc.uuid(),
  hex(16),
  fc.uuid().map((one) => one.toUpperCase()),
  fc.uuid().map((one) => one.replace("-", "g")),
  fc.tuple(hex(16), fc.nat(31)).map(([one, at]) => one.slice(0, at) + "-" + one.slice(at + 1)),
  fc.tuple(hex(18), fc.nat(35)).map(([one, at]) => one.slice(0, at) + "é" + one.slice(at + 1)),
));
const rate = plain({ messages_per_second: count, bytes_per_second: count });
const terms = plain({
  credential: plain({ issuer: text, kid: some(text), role: text, has_grants: fc.boolean() }),
  expires_ms: count.map((ms) => ms + 1),
  grant: some(fc.string({ unit: "binary", minLength: 1, maxLength: 9 })),
  limits: plain({ connection: rate, user: rate, tenant: rate, quota: some(rate) }),
  room_class: some(plain({
    pattern: text,
    source: fc.constantFrom("default" as const, "config" as const, "tenant" as const),
    durable: fc.boolean(),
  })),
  mirror: some(plain({
    prefix: text,
    percent: fc.constantFrom(0, 0.25, 1),
    source: fc.constantFrom("config" as const, "tenant" as const),
    is_copied: fc.boolean(),
  })),
});
const entry: fc.Arbitrary<JournalEntry> = plain({
  time_ms: fc.nat(2 ** 31).map((ms) => ms + 1_700_000_000_000),
  hook: fc.constantFrom("on_connect" as const, "on_subscribe" as const, "on_message" as const),
  room: fc.constantFrom("", "chat-1", "chat-2"),
  trace: id,
  message_id: id,
  offset: some(count),
  sender: plain({ user: fc.constantFrom(...USERS), connection: text, remote_ip: text }),
  type: text,
  content_type: text,
  payload,
  allowed: fc.boolean(),
  code: fc.nat(599),
  reason: text,
  message: text,
  schema: some(plain({
    id: text,
    version: fc.nat(),
    violation: some(plain({ path: text, rule: text, message: text })),
  })),
  chain_version: some(count),
  policies: fc.array(policy, { maxLength: 3 }),
  is_signed: fc.option(fc.constant(true as const), { nil: undefined }),
  terms: fc.option(terms, { nil: undefined }),
  twist: fc.option(fc.uuid(), { nil: undefined }),
}).map(({ is_signed, terms, twist, ...one }) => ({
  ...one,
  ...(is_signed === undefined ? {} : { is_signed }),
  ...(terms === undefined ? {} : { terms }),
  ...(twist === undefined ? {} : { message_id: null, twist }),
  ...(one.allowed ? { code: 0, reason: "", message: "" } : {}),
  policies: one.chain_version === null ? [] : one.policies,
}));

/** The record that an entry becomes. */
function recordOf(one: JournalEntry, number: number): unknown {
  const { payload } = one;
  return {
    format: 1,
    id: `s1.${number}`,
    node: "s1",
    tenant: "acme",
    meter_version: 4,
    ...one,
    payload: payload.form === "kept" ? { form: "kept", data: payload.data.toBase64() } : payload,
  };
}

Deno.test("journal: what goes into a block comes out of it, as lines of the journal's form", () => {
  fc.assert(fc.property(fc.array(entry, { maxLength: 12 }), (entries) => {
    const lines = open(close(entries, [HOLE]));
    assert.deepEqual(lines, [
      { format: 1, hole: { node: "s1", tenant: "acme", ...HOLE } },
      ...entries.map((one, at) => recordOf(one, 100 + at)),
    ]);
    for (const line of lines) assert("line" in parseLine(JSON.stringify(line)));
  }));
});

Deno.test("journal: an erased user leaves what names nobody, and nothing else of the user", () => {
  fc.assert(fc.property(fc.array(entry, { minLength: 1, maxLength: 8 }), (entries) => {
    const lines = open(close(entries), ["ann"]);
    for (const [at, one] of entries.entries()) {
      const line = lines[at]!;
      assert(!isHole(line));
      if (one.sender.user !== "ann") {
        assert.deepEqual(line, recordOf(one, 100 + at));
        continue;
      }
      assert.equal(line.sender, null);
      assert.deepEqual([line.room, line.reason, line.code], [one.room, one.reason, one.code]);
      assert.deepEqual([line.trace, line.message_id, line.message], [null, null, ""]);
      assert.equal(line.twist, undefined);
      const left = one.terms && { ...one.terms, expires_ms: null, grant: null };
      assert.deepEqual(line.terms, left);
      assert.equal(line.payload.form, one.payload.form === "none" ? "none" : "erased");
      const violation = one.schema?.violation && { path: "", rule: one.schema.violation.rule };
      assert.deepEqual(line.schema?.violation, violation && { ...violation, message: "" });
      for (const [place, { reads, units, logs, reason }] of line.policies.entries()) {
        assert.equal(units, one.policies[place]!.units);
        assert.deepEqual([logs, reason], [[], ""]);
        assert(reads.every(({ value, is_erased }) => value === null && is_erased === true));
      }
    }
  }));
});

Deno.test("journal: of a user without a key a block has what names nobody, and says that nobody was erased", () => {
  const [one, two] = fc.sample(entry, { numRuns: 2, seed: 11 }) as [JournalEntry, JournalEntry];
  const builder = new BlockBuilder();
  builder.add({ ...one, sender: { ...one.sender, user: "ann" }, room: "chat-1" });
  builder.add({ ...two, sender: { ...two.sender, user: "bob" } });
  const steps = builder.close(OWNER, 100, [], [NO_KEY, keyOf("bob")]);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  const [of_ann, of_bob] = open(step.value) as [JournalLine, JournalLine];
  assert(!isHole(of_ann) && !isHole(of_bob));
  assert.deepEqual([of_ann.sender, of_ann.is_unkept, of_ann.room], [null, true, "chat-1"]);
  assert.deepEqual(of_bob, recordOf({ ...two, sender: { ...two.sender, user: "bob" } }, 101));
  assert("line" in parseLine(JSON.stringify(of_ann)));
});

Deno.test("journal: a flipped bit, a cut or bytes behind it make a block damaged, never another record", () => {
  const bytes = close(fc.sample(entry, { numRuns: 20, seed: 7 }), [HOLE]);
  const damaged = (other: Uint8Array) => assert.throws(() => open(other), DamagedBlock);
  fc.assert(
    fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
      const other = bytes.slice();
      other[bit >> 3]! ^= 1 << (bit & 7);
      damaged(other);
    }),
    { numRuns: 500 },
  );
  fc.assert(fc.property(fc.nat(bytes.length - 1), (length) => damaged(bytes.slice(0, length))));
  damaged(Uint8Array.of(...bytes, 0));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), damaged));
  const { hole } = damagedHole({ ...OWNER, node: "s1", stored_ms: 7 }, new DamagedBlock(""));
  assert.deepEqual(hole, {
    node: "s1",
    tenant: "acme",
    from_ms: 7,
    to_ms: 7,
    records: null,
    why: "damaged",
  });
});

Deno.test("journal: a whole block of a version that nobody knows is told as such, not as damaged", () => {
  const bytes = close(fc.sample(entry, { numRuns: 3, seed: 7 })).slice(0, -16);
  for (const version of [1, 2, 255]) {
    bytes[3] = version;
    const sum = createHash("sha256").update(bytes).digest().subarray(0, 16);
    assert.throws(() => open(Uint8Array.of(...bytes, ...sum)), OtherVersionBlock);
    assert.equal(new OtherVersionBlock("").why, "other-version");
  }
});

Deno.test("journal: a section opens with its own key only, and in its own block only", () => {
  const [one] = fc.sample(entry, { numRuns: 1, seed: 3 });
  const block = new ClosedBlock(close([{ ...one!, sender: { ...one!.sender, user: "ann" } }]));
  assert.throws(() => [...block.lines([keyOf("bob").key])], DamagedBlock);
});

Deno.test("journal: what names somebody is not in the block's bytes", () => {
  const secret = "ann-the-user-of-this-block";
  const [one] = fc.sample(entry, { numRuns: 1, seed: 3 });
  const sender = { user: secret, connection: secret, remote_ip: secret };
  const data = new TextEncoder().encode(secret);
  const told = {
    ...one!,
    sender,
    trace: secret,
    message_id: secret,
    allowed: false,
    message: secret,
    terms: { ...fc.sample(terms, { numRuns: 1, seed: 3 })[0]!, grant: secret },
  };
  const bytes = close([{ ...told, payload: { form: "kept", data } }]);
  assert(!new TextDecoder("latin1").decode(bytes).includes("ann-the"));
});
