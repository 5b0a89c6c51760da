/**
 * Refusals that answer no request, on a real bus: a client can read which room they are about without parsing their
 * text. Two clients do the same, one in each form.
 */
import assert from "node:assert/strict";
import {
  encodePub,
  encodeRefresh,
  encodeSub,
  encodeUnsub,
  errorMessage,
  ERRORS,
  Opcode,
  writeEnvelope,
} from "@arqon/proto";
import type { ServerFrame } from "@arqon/proto";
import { startLocalBus } from "./harness/local_bus.ts";
import { openText, RawClient } from "./peers/raw_client.ts";

/** The members of a refusal besides its message, in either form. */
interface Refusal {
  readonly reason: keyof typeof ERRORS;
  readonly detail?: string;
  readonly room?: string;
  readonly action?: string;
}

const LONG = "x".repeat(65);
const command = { name: "room.kick" };

/** Operations without an id, in both forms, and the refusal of each. */
const REFUSED: readonly (readonly [frame: Uint8Array, text: object, refusal: Refusal])[] = [
  [
    encodePub(writeEnvelope({ room_id: "no", event: { type: "t" } })),
    { op: "pub", room: "no", type: "t" },
    { reason: "not-granted", detail: "publish in no", room: "no", action: "publish" },
  ],
  [
    encodePub(writeEnvelope({ room_id: "in", command })),
    { op: "cmd", room: "in", name: "room.kick" },
    { reason: "command-forbidden", detail: "room.kick", room: "in", action: "command" },
  ],
  [
    encodePub(writeEnvelope({ room_id: "in", command: { name: "room.nothing" } })),
    { op: "cmd", room: "in", name: "room.nothing" },
    { reason: "invalid-command", room: "in", action: "command" },
  ],
  [
    encodeSub({ room_id: "no" }),
    { op: "sub", room: "no" },
    { reason: "not-granted", detail: "subscribe in no", room: "no", action: "subscribe" },
  ],
  [
    encodeUnsub({ room_id: "in" }),
    { op: "unsub", room: "in" },
    { reason: "not-subscribed", detail: "in", room: "in", action: "unsubscribe" },
  ],
  // An invalid room name is not returned: it may have any length.
  [encodeSub({ room_id: LONG }), { op: "sub", room: LONG }, { reason: "invalid-room" }],
];

const FORMS = ["binary", "text"] as const;
type Form = typeof FORMS[number];

async function open(form: Form, url: string, token: string): Promise<RawClient> {
  if (form === "text") return await openText(url, token);
  const client = new RawClient(url, { token });
  assert.equal((await client.frame()).kind, "welcome");
  return client;
}

/** The next frame that is not a message: presence events are skipped. */
async function nextText(client: RawClient) {
  for (;;) {
    const frame = await client.json();
    if (frame.op !== "msg") return frame;
  }
}

async function nextBinary(client: RawClient): Promise<ServerFrame> {
  for (;;) {
    const frame = await client.frame();
    if (frame.kind !== "msg") return frame;
  }
}

async function subscribe(client: RawClient, form: Form, room: string, presence: boolean) {
  if (form === "text") client.send({ op: "sub", room, presence, id: 1 });
  else client.send(encodeSub({ room_id: room, presence, request_id: 1 }));
  if (form === "text") return assert.equal((await nextText(client)).code, 0);
  const answer = await nextBinary(client);
  assert.ok(answer.kind === "ack" && answer.ack.code === 0, JSON.stringify(answer));
}

/** The next frame must be this refusal, in that form. */
async function receive(client: RawClient, form: Form, wanted: Refusal): Promise<void> {
  const { reason, detail, room = "", action = "" } = wanted;
  const { code } = ERRORS[reason];
  const message = detail === undefined ? undefined : errorMessage(reason, detail);
  const right = (text: string) => message === undefined || assert.equal(text, message);
  if (form === "text") {
    const { message: text, ...frame } = await nextText(client);
    right(text);
    const place = room === "" ? {} : { room, action };
    return assert.deepEqual(frame, { op: "err", code, reason, ...place });
  }
  const frame = await nextBinary(client);
  assert.ok(frame.kind === "err", JSON.stringify(frame));
  const { kind: _, message: text, ...refusal } = frame;
  right(text);
  assert.deepEqual({ ...refusal }, { code, reason, retry_after_ms: 0, room_id: room, action });
}

const grant = (room: string, ...actions: string[]) => ({ room, actions });
const EVERYTHING = ["publish", "subscribe", "presence", "command"];

Deno.test("a refusal without a request names its room and action", async (t) => {
  await using bus = await startLocalBus();
  const claims = { grants: [grant("in", ...EVERYTHING)] };
  const token = await bus.tokenFor({ claims });
  for (const form of FORMS) {
    using client = await open(form, bus.url, token);
    for (const [frame, text, refusal] of REFUSED) {
      await t.step(`${form}: ${refusal.reason}`, async () => {
        client.send(form === "text" ? text : frame);
        await receive(client, form, refusal);
      });
    }
    await t.step(`${form}: a refusal of unreadable bytes names no room`, async () => {
      client.send(form === "text" ? "{}" : Uint8Array.of(Opcode.PUB, 0xff));
      await receive(client, form, { reason: "malformed-frame" });
    });
  }
});

Deno.test("what a new token removes ends with its room and action: 'not-granted'", async (t) => {
  await using bus = await startLocalBus();
  const before = { grants: [grant("*", ...EVERYTHING)] };
  const after = { grants: [grant("keep", "subscribe"), grant("seen", "subscribe")] };
  for (const form of FORMS) {
    await t.step(form, async () => {
      using client = await open(form, bus.url, await bus.tokenFor({ claims: before }));
      await subscribe(client, form, "keep", false);
      await subscribe(client, form, "lose", false);
      await subscribe(client, form, "seen", true);
      const next = await bus.tokenFor({ claims: after });
      client.send(
        form === "text" ? { op: "refresh", token: next } : encodeRefresh({ token: next }),
      );
      const about = (action: string, room: string): Refusal => ({
        reason: "not-granted",
        detail: `${action} in ${room}`,
        room,
        action,
      });
      await receive(client, form, about("subscribe", "lose"));
      await receive(client, form, about("presence", "seen"));
    });
  }
});

Deno.test("a refusal that ends the connection is about no room: 'token-expired'", async () => {
  let ahead_ms = 0;
  await using bus = await startLocalBus(undefined, { now: () => Date.now() + ahead_ms });
  using client = await open("binary", bus.url, await bus.tokenFor({ ttl_seconds: 600 }));
  ahead_ms = 601_000;
  await receive(client, "binary", { reason: "token-expired" });
  assert.deepEqual(await client.closed(), { code: 4401, reason: "token-expired" });
});
