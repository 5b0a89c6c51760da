/** Random decisions, and how they are encoded and decoded. Tests only. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { anyCharacter } from "../../testing/any_character.ts";
import { BlockBuilder, type BlockHole, ClosedBlock } from "../block.ts";
import type { JournalEntry, JournalLine } from "../record.ts";
import type { UserKey } from "../user_keys.ts";

/** Their owner. */
export const OWNER = {
  tenant: "acme",
  node: "s1",
  meter_version: 4,
  fuel_limit: 10_000,
  chain_fuel_limit: 20_000,
};

/** A key derived from the user alone. */
export function keyOf(user: string): UserKey {
  const key = createHash("sha256").update(user).digest();
  return { id: key.subarray(0, 16), key };
}

/** The bytes of a block of these decisions. */
export function close(
  entries: readonly JournalEntry[],
  holes: readonly BlockHole[] = [],
): Uint8Array {
  const builder = new BlockBuilder();
  for (const entry of entries) builder.add(entry);
  return closed(builder, holes);
}

/** The bytes of a block. */
export function closed(builder: BlockBuilder, holes: readonly BlockHole[] = []): Uint8Array {
  const steps = builder.close(
    OWNER,
    { series: 7, number: 0, first: 100 },
    holes,
    builder.users.map(keyOf),
  );
  return ended(steps);
}

/** What the steps return. */
export function ended<T>(steps: Generator<void, T, void>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** The lines of a block, without the keys of erased users. */
export function open(bytes: Uint8Array, erased: readonly string[] = []): JournalLine[] {
  const block = new ClosedBlock(bytes);
  const erased_ids = erased.map((user) => keyOf(user).id.toHex());
  const users = new Map<string, Uint8Array>();
  for (const user of USERS) users.set(keyOf(user).id.toHex(), keyOf(user).key);
  const keys = block.key_ids.map((id) =>
    erased_ids.includes(id.toHex()) ? undefined : users.get(id.toHex())
  );
  return [...block.lines(ended(block.open(keys)))];
}

/** Records without a null prototype, which no line has. */
const plain = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model as never, { noNullPrototype: true }) as fc.Arbitrary<T>;

const USERS = ["", "ann", "bob", "Zoë"];
const text = fc.string({ unit: anyCharacter, maxLength: 40 });
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
/** Ids, those that a block shortens, and similar ones. */
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
/** The terms of a decision. */
export const terms = plain({
  credential: plain({ issuer: text, kid: some(text), role: text, has_grants: fc.boolean() }),
  expires_ms: count.map((ms) => ms + 1),
  grant: some(fc.string({ unit: anyCharacter, minLength: 1, maxLength: 9 })),
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
/** A decision. */
export const entry: fc.Arbitrary<JournalEntry> = plain({
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
  schema_id: fc.option(text, { nil: undefined }),
  is_signed: fc.option(fc.constant(true as const), { nil: undefined }),
  is_command: fc.option(fc.constant(true as const), { nil: undefined }),
  terms: fc.option(terms, { nil: undefined }),
  twist: fc.option(fc.uuid(), { nil: undefined }),
}).map(({ schema_id, is_signed, is_command, terms, twist, ...one }) => ({
  ...one,
  ...(schema_id === undefined ? {} : { schema_id }),
  ...(is_signed === undefined ? {} : { is_signed }),
  ...(is_command === undefined ? {} : { is_command }),
  ...(terms === undefined ? {} : { terms }),
  ...(twist === undefined ? {} : { message_id: null, twist }),
  ...(one.allowed ? { code: 0, reason: "", message: "" } : {}),
  policies: one.chain_version === null ? [] : one.policies,
}));

/** The record that an entry becomes. */
export function recordOf(one: JournalEntry, number: number): unknown {
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
