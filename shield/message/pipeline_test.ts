/**
 * The message path from a client's bytes to the Spine, on a real engine with a subscription to everything.
 * `hub_test.ts` tests delivery to clients; `tests/` limits and answers.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  ArqonError,
  isId,
  readEnvelope,
  scanEnvelope,
  signingInput,
  writeEnvelope,
} from "@arqon/proto";
import type { PlainEnvelope, ScannedEnvelope } from "@arqon/proto";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { commandSubject, roomSubject } from "../../shared/subjects/subject.ts";
import { ORIGIN_HEADER } from "../../shared/records/caller_headers.ts";
import { canAct } from "../auth/authorize.ts";
import type { Identity } from "../auth/identity.ts";
import { NO_POLICIES } from "./gates.ts";
import { publish } from "./pipeline.ts";
import { ann } from "../auth/testing/identity.ts";
import { SPINE_NOW_MS } from "../testing/spine.ts";
import { callerOf, LIMITS, plainPath, scan, testPath } from "./testing/path.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const TRACE_ID = /^(?!0{32})[0-9a-f]{32}$/;

const text = fc.oneof(fc.string(), fc.string({ unit: "grapheme" }));
const id = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom("lobby", "vip", "acme", "globex") },
  { weight: 1, arbitrary: fc.constantFrom("", "*", ">", "a.b", "a b", "x".repeat(65)) },
  { weight: 1, arbitrary: text },
);
const action = fc.constantFrom("publish", "subscribe", "presence", "command");
const grants = fc.array(
  fc.record({
    room: fc.constantFrom("*", "lobby", "v*", "other"),
    actions: fc.uniqueArray(action),
  }),
  { maxLength: 3 },
);
const identity: fc.Arbitrary<Identity> = fc.record({
  tenant_id: fc.constantFrom("acme", "globex"),
  user_id: fc.constantFrom("ann", "bob smith", "ünï"),
  role: fc.constantFrom("user", "service", "admin"),
  grants: fc.option(grants, { nil: undefined }),
}).map((parts) => ({ ...ann, ...parts }));

const NAMES = ["X-Arqon-Shadow", "x-arqon-origin", "X-TIMESTAMP", "x-twist-id", "__proto__", "k"];
const headers = fc.uniqueArray(
  fc.tuple(fc.oneof(text, fc.constantFrom(...NAMES)), fc.oneof(text, fc.uuid())),
  { maxLength: 4, selector: ([name]) => name.toLowerCase() },
).map((pairs) => Object.assign(Object.create(null), Object.fromEntries(pairs)));

const data = fc.uint8Array().map((bytes) => new Uint8Array(bytes));
const type = fc.oneof(
  text,
  fc.constantFrom("chat", "PRESENCE_JOIN", "ROOM_X", "SYSTEM_", "System_"),
);
const name = fc.oneof(text, fc.constantFrom("presence.list", "room.get", "kick", "room.ban"));
const payload = fc.oneof(
  fc.record({ type, data }).map((event) => ({
    event: { ...event, content_type: "", schema_id: "" },
  })),
  fc.record({ name, data }).map((command) => ({
    command: {
      ...command,
      content_type: "",
      expect_version: 0,
      after_version: 0,
      fence: 0,
      epoch: "",
      command_id: "",
    },
  })),
  fc.record({ target: text, reason: text }).map((signal) => ({
    signal: { ...signal, kind: "BAN" as const, until_ms: 0 },
  })),
);
/** Everything that a client may claim, true or not. */
const sent = fc.tuple(
  fc.record({
    trace_id: fc.constantFrom("", "0123456789abcdef0123456789abcdef"),
    tenant_id: fc.oneof({ weight: 3, arbitrary: fc.constant("") }, id),
    room_id: id,
    timestamp_ms: fc.maxSafeInteger(),
    headers,
    ack_requested: fc.boolean(),
    request_id: fc.nat(),
    sender_id: fc.oneof(text, fc.constantFrom("ann", "system")),
    offset: fc.nat(),
    message_id: text,
  }),
  payload,
).map(([fields, payload]) => writeEnvelope({ ...fields, ...payload }));

/** The conditions for an accepted envelope. */
function assertAllowed(identity: Identity, envelope: PlainEnvelope): void {
  assert.ok(isId(envelope.room_id));
  assert.ok(envelope.tenant_id === "" || envelope.tenant_id === identity.tenant_id);
  const action = envelope.command === undefined ? "publish" : "command";
  assert.ok(canAct(identity, action, envelope.room_id));
  const names = Object.keys(envelope.headers).map((name) => name.toLowerCase());
  assert.ok(!names.includes("x-arqon-shadow"));
  if (identity.role !== "user") return;
  assert.equal(envelope.signal, undefined);
  assert.doesNotMatch(envelope.event?.type ?? "", /^(PRESENCE|ROOM|SYSTEM)_/);
  assert.ok(!["kick", "room.ban"].includes(envelope.command?.name ?? ""));
}

/** The conditions for its published message. */
function assertStamped(identity: Identity, envelope: PlainEnvelope, message: SpineMessage): void {
  const { tenant_id } = identity;
  const subject = envelope.command === undefined
    ? roomSubject("in", tenant_id, envelope.room_id)
    : commandSubject(tenant_id, envelope.room_id);
  assert.equal(message.subject, subject);
  assert.deepEqual({ ...message.headers }, {});
  const out = readEnvelope(message.payload);
  const { trace_id, headers, ...rest } = out;
  const { event, command, signal, message_id } = envelope;
  assert.deepEqual(rest, {
    ...rest,
    tenant_id,
    room_id: envelope.room_id,
    sender_id: identity.user_id,
    timestamp_ms: SPINE_NOW_MS,
    ack_requested: false,
    request_id: 0,
    offset: 0,
    message_id,
    ...(event === undefined ? {} : { event }),
    ...(command === undefined ? {} : { command }),
    ...(signal === undefined ? {} : { signal }),
  });
  assert.match(trace_id, TRACE_ID);
  if (envelope.trace_id !== "") assert.equal(trace_id, envelope.trace_id);
  assert.match(headers["X-Twist-ID"] ?? "", UUID);
  assert.equal(headers["X-Timestamp"], String(SPINE_NOW_MS));
  const names = Object.keys(headers).map((name) => name.toLowerCase());
  assert.equal(new Set(names).size, names.length);
  assert.deepEqual(names.filter((name) => name.startsWith("x-arqon-")), []);
}

Deno.test("for any claims of a client, the Spine gets its token's tenant and user and its room, or nothing", async () => {
  await using path = testPath();
  let accepted = 0;
  const reasons = new Set<string>();
  await fc.assert(
    fc.asyncProperty(identity, sent, async (identity, bytes) => {
      const before = path.published.length;
      const refused = await path.send(identity, scanEnvelope(bytes, LIMITS));
      const messages = path.published.slice(before).filter(({ subject }) => !/^_/.test(subject));
      const envelope = readEnvelope(bytes);
      if (refused !== undefined) {
        reasons.add(refused);
        assert.deepEqual(messages, []);
        return;
      }
      accepted++;
      assertAllowed(identity, envelope);
      assert.equal(messages.length, 1);
      assertStamped(identity, envelope, messages[0]!);
    }),
    { numRuns: 1_000 },
  );
  assert.ok(accepted > 50, `only ${accepted} were accepted`);
  for (const reason of ["invalid-room", "tenant-mismatch", "not-granted", "signal-forbidden"]) {
    assert.ok(reasons.has(reason), `nothing was refused as ${reason}`);
  }
});

Deno.test("a signed message is published only after its signature is verified", async () => {
  await using path = testPath([{ role: "user", room: "*" }]);
  const pair = await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ]) as CryptoKeyPair;
  const signer = { ...ann, signing_key: pair.publicKey };
  const { bytes, payload } = scan({ message_id: "m-1" });
  const field = bytes.subarray(payload.field_start, payload.field_end);
  const input = signingInput("acme", "lobby", "m-1", field);
  const signature = new Uint8Array(await crypto.subtle.sign("Ed25519", pair.privateKey, input));
  const good = scan({ message_id: "m-1", signature });
  assert.equal(
    await path.send(signer, scan({ message_id: "m-2", signature })),
    "signature-invalid",
  );
  assert.deepEqual(path.published, []);
  assert.equal(await path.send(signer, good), undefined);
  assert.deepEqual(path.published.map(({ payload }) => readEnvelope(payload).signature), [
    signature,
  ]);
});

Deno.test("a policy's headers are sent, and its refusal applies, for immediate and later verdicts", async () => {
  const added = [["X-Lang", "en"]] as const;
  const refused = new ArqonError("policy-rejected");
  for (const later of [false, true]) {
    const judge = ({ room_id }: ScannedEnvelope) => {
      if (room_id === "lobby") return later ? Promise.resolve(added) : added;
      if (later) return Promise.reject(refused);
      throw refused;
    };
    await using path = testPath([], {
      ...NO_POLICIES,
      onMessage: (_caller, envelope) => judge(envelope),
    });
    assert.equal(await path.send(ann, scan()), undefined);
    assert.equal(await path.send(ann, scan({ room_id: "vip" })), "policy-rejected");
    assert.deepEqual(
      path.published.map(({ payload }) => readEnvelope(payload).headers["X-Lang"]),
      ["en"],
    );
  }
});

Deno.test("the origin connection is a Spine header only if there is one", async () => {
  await using path = testPath();
  await path.send(ann, scan());
  await path.send(ann, scan(), "c1");
  assert.deepEqual(path.published.map(({ headers }) => headers[ORIGIN_HEADER]), [undefined, "c1"]);
});

Deno.test("a message that the Spine refuses is refused with the Spine's reason", async () => {
  const path = testPath();
  const big = { type: "chat", data: new Uint8Array(1_048_576), content_type: "", schema_id: "" };
  assert.equal(await path.send(ann, scan({ event: big })), "message-too-large");
  assert.deepEqual(path.published, []);
  await path.spine.drain();
  const publisher = { caller: callerOf(ann), origin: undefined };
  const closed = plainPath(path.spine);
  assert.throws(() => publish(closed, publisher, scan()), { reason: "spine-unavailable" });
});
