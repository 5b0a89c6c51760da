/** What a reader that verifies sees of a bus that lies with a log that is whole, and of an honest one in odd hours. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { deltaSocket } from "@arqon/sdk/delta";
import {
  decodeVerifier,
  encodeTextMessage,
  encodeVerifier,
  gapSignal,
  readEnvelope,
} from "@arqon/proto";
import { ProofError, VerifiedLog } from "@arqon/sdk/proof";
import { roomState } from "@arqon/sdk/state";
import { Message } from "../../sdk/typescript/message/message.ts";
import { encodeLeaf, payloadHash, type RecordBreak } from "../../shared/proof/entry.ts";
import { until } from "../../shared/testing/until.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { startTcpProxy } from "../harness/tcp_proxy.ts";
import { filesOf, signerOf } from "./made_tree.ts";
import { grown, PROOF_CONFIG, publish, served, treeUrl, vkeyOf } from "./served.ts";

const signer = await signerOf("evil.example/default.bets");

const envelopeOf = (offset: number, n: number, more = {}) => ({
  ...readEnvelope(new Uint8Array()),
  event: {
    ...{ type: "t", schema_id: "", content_type: "application/json" },
    data: new TextEncoder().encode(String(n)),
  },
  ...{ room_id: "bets", tenant_id: "default", sender_id: "ann", timestamp_ms: 1, offset },
  ...more,
});
/** A message that is stored with that offset; `n` makes it another one. */
const message = (offset: number, epoch = "e", n = 0, more = {}) =>
  new Message(envelopeOf(offset, n, more), epoch);
const entry = (offset: number, epoch = "e", n = 0) =>
  encodeLeaf({
    ...{ epoch, offset, time_ms: 1 },
    sha256: payloadHash(encodeTextMessage(envelopeOf(offset, n))),
  });
const broken = (kind: RecordBreak["break"], offset: number, epoch = "e") =>
  encodeLeaf({ break: kind, epoch, offset });
const gap = () =>
  message(0, "", 0, { event: undefined, sender_id: "", signal: gapSignal("bets", "erased") });

/** The offsets that come out, and what ends it. */
async function read(entries: readonly Uint8Array[], messages: readonly Message[]) {
  const files = await filesOf(entries, signer);
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const bytes = files.get(new URL(request.url).pathname.slice(1));
    return new Response(bytes && new Uint8Array(bytes), { status: bytes ? 200 : 404 });
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const log = new VerifiedLog({ url, vkeys: [encodeVerifier(signer)], wait_ms: 1 });
  const offsets: number[] = [];
  async function* come() {
    await Promise.resolve();
    yield* messages;
  }
  try {
    for await (const { offset } of log.verify(come())) offsets.push(Number(offset));
  } catch (error) {
    return { offsets, error, kind: error instanceof ProofError ? error.kind : undefined };
  }
  return { offsets, kind: "none" };
}

Deno.test("an entry that the log says was taken back is no message of today", async () => {
  const entries = [
    ...[1, 2, 3, 4].map((offset) => entry(offset, "a")),
    broken("restored", 2, "b"),
    ...[3, 4, 5].map((offset) => entry(offset, "b", 1)),
  ];
  const old = message(3, "b");
  assert.deepEqual(await read(entries, [message(2, "b"), old]).then(({ kind }) => kind), "changed");
  const lost = [entry(1, "a"), entry(2, "a"), broken("lost", 0, "b"), entry(1, "b", 1)];
  assert.equal((await read(lost, [message(1, "b")])).kind, "changed");
  // The honest runs: through a restore, of a log that is another one, and by whom who does not know the epoch.
  const honest = [1, 2, 3, 4, 5].map((offset) => message(offset, "b", offset < 3 ? 0 : 1));
  assert.deepEqual(await read(entries, honest), { offsets: [1, 2, 3, 4, 5], kind: "none" });
  const unknown = honest.map(({ offset }) => message(Number(offset), "", offset < 3 ? 0 : 1));
  assert.deepEqual(await read(entries, unknown), { offsets: [1, 2, 3, 4, 5], kind: "none" });
  assert.deepEqual(await read(lost, [message(1, "b", 1)]), { offsets: [1], kind: "none" });
  const live = [message(3, "a"), message(4, "a"), message(3, "b", 1)];
  assert.deepEqual(await read(entries, live), { offsets: [3, 4, 3], kind: "none" });
});

Deno.test("a break behind a message does not hide that it has not come", async () => {
  const entries = [entry(1), entry(2), entry(3), broken("gap", 5), entry(6)];
  assert.equal((await read(entries, [message(1), message(2), message(6)])).kind, "gap");
  assert.deepEqual(await read(entries, [message(3), message(6)]), {
    offsets: [3, 6],
    kind: "none",
  });
  const told = [message(1), gap(), message(6)];
  assert.deepEqual(await read(entries, told), { offsets: [1, 0, 6], kind: "none" });
});

Deno.test("only the bus's own GAP says that something is missing", async () => {
  const entries = [1, 2, 3].map((offset) => entry(offset));
  const signal = gapSignal("bets", "slow-consumer");
  const forged = message(0, "", 0, { event: undefined, sender_id: "ann", signal });
  assert.equal((await read(entries, [message(1), forged, message(3)])).kind, "missing");
  const ban = message(0, "", 0, {
    event: undefined,
    sender_id: "",
    signal: { ...signal, kind: "UNBAN" },
  });
  assert.equal((await read(entries, [message(1), ban, message(3)])).kind, "gap");
  const made_up = message(0, "", 0, { sender_id: "" });
  assert.equal((await read(entries, [message(1), made_up])).kind, "missing");
});

Deno.test("a message of another room is not one that the log has changed", async () => {
  const other = message(1, "e", 0, { room_id: "races" });
  const { kind, error } = await read([entry(1)], [other]);
  assert.equal(kind, undefined);
  assert.match(String(error), /a message of races is not in the log evil.example\/default.bets/);
});

Deno.test("two signed trees of one size are a fork, whatever the files are", async () => {
  const one = await filesOf([entry(1)], signer);
  const other = await filesOf([entry(1, "e", 1)], signer);
  let note = one.get("checkpoint")!;
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const path = new URL(request.url).pathname.slice(1);
    return new Response(new Uint8Array(path === "checkpoint" ? note : one.get(path)!));
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const log = new VerifiedLog({ url, vkeys: [encodeVerifier(signer)], wait_ms: 1 });
  async function* come() {
    yield await Promise.resolve(message(1));
    note = other.get("checkpoint")!;
    yield message(2);
  }
  const reading = async () => {
    for await (const _ of log.verify(come()));
  };
  await assert.rejects(reading(), ({ kind }: ProofError) => kind === "fork");
});

Deno.test("what the bus itself says in a room is no message of the log", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  await publish(bus, "bets", 1);
  const vkeys = [await vkeyOf(served(bus, "default.bets"))];
  const log = new VerifiedLog({ url: treeUrl(bus, "default.bets"), vkeys });
  await using client = await connect({ url: bus.url, token: bus.token });
  const room = client.room("bets");
  await using subscription = room.subscribe();
  await subscription.ready;
  const messages = log.verify(subscription);
  const first = messages.next();
  await roomState(room).set("odds", 3);
  await room.publish("t", { n: 1 });
  assert.equal((await first).value?.type, "ROOM_UPDATE");
  assert.equal((await messages.next()).value?.type, "t");
});

const HONEST = PROOF_CONFIG.replace(
  'room = "*"',
  'room = "*"\ndelta = "fossil"\nslow_reader = "latest"',
);

Deno.test("an honest bus is not accused through deltas, lost connections, a new key and an erasure", async () => {
  await using bus = await startLocalBus(HONEST);
  await using proxy = startTcpProxy(Number(new URL(bus.url).port));
  const admin = await bus.tokenFor({ role: "admin" });
  const ask = async (path: string, body?: unknown) => {
    const answer = await fetch(`${bus.admin_url}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${admin}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    assert.equal(answer.status, 200, await answer.text());
  };
  await publish(bus, "bets", 1);
  const files = served(bus, "default.bets");
  const vkeys = [await vkeyOf(files)];
  const verifier = decodeVerifier(vkeys[0]!)!;
  const log = new VerifiedLog({ url: treeUrl(bus, "default.bets"), vkeys });
  const url = new URL(bus.url);
  url.port = String(proxy.port);
  await using client = await connect({ url: url.href, token: bus.token, webSocket: deltaSocket() });
  await using subscription = client.room("bets").subscribe();
  await subscription.ready;
  const came: (number | string)[] = [];
  const reading = (async () => {
    for await (const { offset, signal } of log.verify(subscription)) {
      came.push(signal?.reason ?? Number(offset));
      if (Number(offset) === 121) break;
    }
  })();
  await publish(bus, "bets", 30, 1);
  await until("messages as deltas", () => came.length === 30);
  await ask("/v1/proof/rotate?tenant=default");
  await proxy.cut();
  await publish(bus, "bets", 30, 31);
  proxy.restore();
  await until("what was missed", () => came.length === 60);
  await proxy.cut();
  await publish(bus, "bets", 30, 61);
  await grown(files, verifier, 91);
  await ask("/v1/data/erase", { tenant: "default", room: "bets", offset: 80 });
  proxy.restore();
  await until("the GAP", () => came.includes("erased"));
  await publish(bus, "bets", 30, 91);
  await reading;
  const offsets = came.filter((one) => typeof one === "number");
  assert.deepEqual(offsets, offsets.toSorted((a, b) => a - b));
  assert.equal(offsets.at(-1), 121);
});
