/** The command `history.get`: its two forms, refusals and their order, and shared reads. */
import assert from "node:assert/strict";
import { type Ack, ArqonError, readEnvelope, readHistory, writeHistoryQuery } from "@arqon/proto";
import { NO_BANS } from "../../auth/bans.ts";
import { ann } from "../../auth/testing/identity.ts";
import { roomEpoch } from "../../../shared/rooms/epoch.ts";
import { mostInOneTurn } from "../../../shared/testing/most_in_one_turn.ts";
import { CONFIG, testHistory } from "../testing/history.ts";
import { NO_POLICIES } from "../../message/gates.ts";

const ROOM = "kept-1";
const json = ({ result }: Ack) => JSON.parse(new TextDecoder().decode(result));
const chat = (text: string) => ({
  type: "chat",
  data: new TextEncoder().encode(JSON.stringify({ text })),
  content_type: "application/json",
});

Deno.test("JSON is answered with messages in the text form, with their offsets", async () => {
  const { get, put, log } = testHistory();
  const offsets = ["one", "two", "three"].map((text) => put(ROOM, chat(text)));
  const ack = await get(ROOM, { limit: 2 });
  assert.deepEqual([ack.code, ack.request_id], [0, 7]);
  assert.deepEqual(json(ack), {
    messages: ["one", "two"].map((text, n) => ({
      op: "msg",
      room: ROOM,
      type: "chat",
      data: { text },
      sender: "ann",
      ts: log.now_ms,
      headers: {},
      tenant_id: "acme",
      offset: offsets[n],
    })),
    offset: offsets[2],
    epoch: roomEpoch(log.stream, ROOM),
    more: true,
  });
  const back = json(await get(ROOM, { limit: 2, before: offsets[2], reverse: true }));
  assert.deepEqual(back.messages.map(({ offset }: { offset: number }) => offset), [
    offsets[1],
    offsets[0],
  ]);
  assert.equal(back.more, false);
});

Deno.test("Protobuf is answered with a History of the stored envelopes", async () => {
  const { get, put, log } = testHistory();
  put("kept-2", chat("elsewhere"));
  const offset = put(ROOM, chat("one"));
  const content_type = "application/protobuf";
  const ack = await get(ROOM, writeHistoryQuery({ after: offset - 1 }), { content_type });
  const history = readHistory(ack.result);
  assert.deepEqual([history.offset, history.more], [offset, false]);
  assert.equal(history.epoch, roomEpoch(log.stream, ROOM));
  const [envelope] = history.messages.map(readEnvelope);
  assert.deepEqual([envelope?.offset, envelope?.event?.type], [offset, "chat"]);
});

Deno.test("an answer is cut before it is too large to send, and reports that there is more", async () => {
  const limits = { ...CONFIG.limits, unsent_bytes: 65_536 };
  const { get, put } = testHistory({ limits });
  // In JSON each of its bytes takes six.
  const data = new Uint8Array(4_000).fill(1);
  for (let n = 0; n < 8; n++) put(ROOM, { type: "t", data, content_type: "text/plain" });
  const found: number[] = [];
  let after = 0;
  for (let more = true; more;) {
    const ack = await get(ROOM, { after });
    assert.ok(ack.result.length <= 32_768, `${ack.result.length} bytes`);
    const page = json(ack);
    more = page.more;
    found.push(...page.messages.map(({ offset }: { offset: number }) => offset));
    after = found.at(-1) ?? 0;
  }
  assert.deepEqual(found, [1, 2, 3, 4, 5, 6, 7, 8]);
});

Deno.test("refusals come in the contract's order, each before the log is asked", async () => {
  const allowed: string[] = [];
  let refuse: readonly string[] = ["ban", "policy"];
  const bans = {
    ...NO_BANS,
    requireRoom() {
      if (refuse.includes("ban")) throw new ArqonError("room-banned", "spam");
    },
  };
  const onSubscribe = (_: unknown, room: string) => {
    allowed.push(room);
    if (!refuse.includes("policy")) return undefined;
    return Promise.reject(new ArqonError("policy-rejected", "no"));
  };
  const { get, reads } = testHistory({ bans, overseer: { ...NO_POLICIES, onSubscribe } });
  const refusal = async (room: string, data: unknown, options = {}) => {
    const error = await get(room, data, options).then(() => undefined, (error) => error);
    return error?.reason;
  };
  const stranger = { ...ann, grants: [{ actions: ["publish" as const], room: "*" }] };
  assert.equal(await refusal("a.b", "?", { identity: stranger }), "invalid-room");
  assert.equal(await refusal("other", "?", { tenant_id: "globex" }), "tenant-mismatch");
  assert.equal(await refusal("other", "?", { identity: stranger }), "not-granted");
  assert.equal(await refusal("other", "?"), "room-banned");
  refuse = ["policy"];
  assert.equal(await refusal("other", "?"), "policy-rejected");
  assert.deepEqual(allowed, ["other"], "a policy is asked after every other check");
  refuse = [];
  assert.equal(await refusal("other", "?"), "not-durable");
  assert.equal(await refusal(ROOM, "?"), "invalid-field");
  assert.deepEqual(reads, []);
});

Deno.test("a ban that arrives during a policy's check applies", async () => {
  let banned = false;
  const bans = {
    ...NO_BANS,
    requireRoom() {
      if (banned) throw new ArqonError("room-banned", "spam");
    },
  };
  const onSubscribe = async () => {
    await undefined;
    banned = true;
  };
  const { get } = testHistory({ bans, overseer: { ...NO_POLICIES, onSubscribe } });
  await assert.rejects(get(ROOM), { reason: "room-banned" });
});

Deno.test("a thousand equal queries cost a few reads, and each sees all messages stored before it", async () => {
  const { get, put, reads } = testHistory();
  put(ROOM, chat("one"));
  const first = Array.from({ length: 1_000 }, () => get(ROOM));
  // They are running now, or about to start.
  await undefined;
  const offset = put(ROOM, chat("two"));
  const later = Array.from({ length: 1_000 }, () => get(ROOM));
  await Promise.all(first);
  for (const ack of await Promise.all(later)) assert.equal(json(ack).offset, offset);
  assert.ok(reads.length <= 6, `${reads.length} reads`);
  assert.deepEqual(new Set(reads), new Set(["history"]));
});

Deno.test("a log that cannot be opened refuses with 503, and the next query tries again", async () => {
  const { log } = testHistory();
  let tries = 0;
  const of = () =>
    tries++ === 0
      ? Promise.reject(new ArqonError("log-unavailable", "JetStream is off"))
      : Promise.resolve(log);
  const { get } = testHistory({ logs: { of } });
  await assert.rejects(get(ROOM), { reason: "log-unavailable", code: 503 });
  assert.deepEqual(json(await get(ROOM)).messages, []);
});

Deno.test("a log's error that others share is each caller's own refusal", async () => {
  const error = new ArqonError("log-unavailable", "lost", { retry_after_ms: 5 });
  const { get } = testHistory({ logs: { of: () => Promise.reject(error) } });
  const refusals = await Promise.all([get(ROOM), get(ROOM)].map((one) => one.catch((own) => own)));
  assert.equal(new Set([error, ...refusals]).size, 3);
  for (const own of refusals) {
    assert.ok(own instanceof ArqonError);
    assert.deepEqual([own.message, own.reason, own.retry_after_ms], [
      error.message,
      error.reason,
      5,
    ]);
  }
});

Deno.test("an answer that many callers share is written in slices", async () => {
  const { get, put } = testHistory();
  put(ROOM, chat("one"));
  const answers = Array.from({ length: 32 }, () => get(ROOM, {}));
  assert.ok(await mostInOneTurn(answers) <= 4);
});
