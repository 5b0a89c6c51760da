/**
 * Messages of durable rooms that an operator erases in NATS while Shields serve them: however they were removed, a
 * returning subscriber gets everything it missed or is refused, on the Shield that has the room open and on one that
 * has not. Two Shields on one real NATS.
 */
import assert from "node:assert/strict";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { atEnd } from "../shared/testing/at_end.ts";
import { seen } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { DurableClient, numbers } from "./peers/durable_client.ts";
import { startTcpProxy, type TcpProxy } from "./harness/tcp_proxy.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const KEPT = 20;
const ROOMS = `
[limits]
messages_per_second = 10_000
${durableRooms("*", `history_size = ${KEPT}`)}
${durableRooms("last-*", `history_size = ${KEPT}`, "cache_last = true")}
`;

interface Stage {
  readonly manager: JetStreamManager;
  readonly stream: string;
  /** A client of the first Shield, which opens each room before it has messages, or of the second. */
  open(shield: 0 | 1, user?: string): Promise<DurableClient>;
  /** Queries the admin listener of the second Shield. */
  // deno-lint-ignore no-explicit-any -- the shape depends on the path
  admin(method: string, path: string, body?: unknown): Promise<any>;
  readonly token: string;
  readonly urls: readonly [string, string];
  /** Between the first Shield and NATS. */
  readonly link: TcpProxy;
  subjectOf(room: string): string;
}

async function onStage(run: (stage: Stage) => Promise<void>): Promise<void> {
  await using nats = await startNats({ jetstream: true });
  await using link = startTcpProxy(nats.port);
  const configOf = (url: string) => `[nats]\nurls = ["${url}"]\n${ROOMS}`;
  await using two = await startLocalBus(configOf(nats.url));
  await using one = await startLocalBus(configOf(`nats://127.0.0.1:${link.port}`));
  const shields = [one, two] as const;
  const tenant = "acme";
  const token = await two.tokenFor({ tenant, user: "ann" });
  const open = async (at: 0 | 1, user?: string) =>
    await DurableClient.open(
      shields[at].url,
      user === undefined ? token : await two.tokenFor({ tenant, user }),
    );
  const admin = new HttpPeer(two.admin_url, await two.tokenFor({ tenant, role: "admin" }));
  using busy = await open(0);
  using other = await open(1);
  // Both have the log open, and other rooms of the tenant are trimmed by size, as usual.
  await other.join("busy");
  await busy.fill("busy", numbers(0, 3 * KEPT));
  const connection = await connect({ servers: nats.url });
  await using _end = atEnd(() => connection.close());
  const manager = await jetstreamManager(connection);
  const streams = await manager.streams.list().next();
  const names = streams.map(({ config }) => config.name).filter((name) => /^LOG_/.test(name));
  assert.equal(names.length, 1);
  await run({
    manager,
    stream: names[0]!,
    open,
    token,
    link,
    urls: [one.http_url, two.http_url],
    async admin(method, path, body) {
      const answer = await admin.call(method, path, body);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      return answer.body;
    },
    subjectOf: (room) => `log.t.acme.r.${room}`,
  });
}

/** The result for a client that returns with this position: "" when it got everything, else the reason. */
async function comesBack(
  { open }: Stage,
  at: 0 | 1,
  room: string,
  place: object,
  missed: readonly number[],
): Promise<string> {
  using client = await open(at);
  const { recovered, reason } = await client.join(room, place);
  if (!recovered) return reason;
  if (missed.length > 0) await client.receives(missed);
  return "";
}

/** An operator's ways, through the admin API of the other Shield. */
const TRIMS = {
  "trim": (_offsets: readonly number[]) => ({}),
  "trim-up-to": (offsets: readonly number[]) => ({ before: offsets[4] }),
};
const WAYS = {
  "whole": (_offsets: readonly number[]) => ({}),
  "up-to": (offsets: readonly number[]) => ({ seq: offsets[5] }),
  "keep": (_offsets: readonly number[]) => ({ keep: 5 }),
};

const isTrim = (way: string): way is keyof typeof TRIMS => way in TRIMS;

async function erases(stage: Stage, way: keyof typeof WAYS | keyof typeof TRIMS): Promise<void> {
  const room = `erased-${way}`;
  using reader = await stage.open(0);
  const { offset: start, epoch } = await reader.join(room);
  using publisher = await stage.open(0);
  const offsets = await publisher.fill(room, numbers(0, 10));
  await reader.receives(offsets);
  await publisher.fill("busy", numbers(0, 3 * KEPT));
  const is_whole = way === "whole" || way === "trim";
  const left = is_whole ? [] : offsets.slice(5);
  if (isTrim(way)) {
    const trimmed = await stage.admin("POST", `rooms/acme/${room}/trim`, TRIMS[way](offsets));
    const messages = 10 - left.length;
    assert.deepEqual([trimmed.offset, trimmed.messages], [offsets[messages - 1], messages]);
  } else {
    const options = { filter: stage.subjectOf(room), ...WAYS[way](offsets) };
    await stage.manager.streams.purge(stage.stream, options);
  }
  // Up to the documented bound the open Shield may still serve them from its memory.
  const back = (at: 0 | 1, after_offset: number | undefined, missed: readonly number[]) =>
    comesBack(stage, at, room, { after_offset, epoch }, missed);
  await seen(
    "the open room to refuse",
    () => back(0, offsets[1], []),
    (reason) => reason !== "",
    5_000,
  );
  for (const at of [0, 1] as const) {
    for (const place of [start, offsets[0], offsets[3]]) {
      assert.equal(await back(at, place, []), "history-trimmed", `${way}, ${at}, after ${place}`);
    }
    if (!is_whole) {
      assert.equal(await back(at, offsets[6], offsets.slice(7)), "", "what is there is given");
    }
    const { body } = await new HttpPeer(stage.urls[at], stage.token).call(
      "GET",
      `rooms/${room}/messages?limit=100`,
    );
    assert.deepEqual(body.messages.map(({ offset }: { offset: number }) => offset), left);
  }
  // For an empty room it is unknown whether its readers have missed a message.
  if (!is_whole) assert.equal(await back(0, offsets[9], []), "", "nothing was missed");
  // Subscribers continue, and so do new ones.
  const [next = 0] = await publisher.fill(room, ["next"]);
  let message = await reader.next();
  if (message.signal !== undefined) message = await reader.next();
  assert.equal(message.offset, next);
  for (const at of [0, 1] as const) {
    assert.equal(await back(at, next, []), "");
    assert.equal(await back(at, offsets[0], []), "history-trimmed", `${way}, ${at}, later`);
  }
}

async function neverMissing(stage: Stage): Promise<void> {
  const room = "quiet";
  using publisher = await stage.open(0);
  for (const at of [0, 1] as const) {
    using reader = await stage.open(at);
    const { offset: start, epoch } = await reader.join(`${room}-${at}`);
    reader[Symbol.dispose]();
    await publisher.fill("busy", numbers(0, 3 * KEPT));
    const place = { after_offset: start, epoch };
    assert.equal(await comesBack(stage, at, `${room}-${at}`, place, []), "", "an empty room");
    const offsets = await publisher.fill(`${room}-${at}`, [1, 2]);
    assert.equal(await comesBack(stage, at, `${room}-${at}`, place, offsets), "", "its first two");
  }
}

/** By the admin API of one Shield, or by `nats stream rmm`, while both serve the room. */
async function singleMessages(stage: Stage, way: "erase" | "rmm"): Promise<void> {
  const room = `single-${way}`;
  using reader = await stage.open(0);
  const { offset: start, epoch } = await reader.join(room);
  using publisher = await stage.open(0);
  const offsets = await publisher.fill(room, numbers(0, 10));
  await reader.receives(offsets);
  const back = (at: 0 | 1, after_offset: number | undefined, missed: readonly number[]) =>
    comesBack(stage, at, room, { after_offset, epoch }, missed);
  assert.equal(await back(1, offsets[0], offsets.slice(1)), "", "the other Shield has it, too");
  if (way === "rmm") await stage.manager.streams.deleteMessage(stage.stream, offsets[4]!);
  else {
    const erased = await stage.admin("POST", "data/erase", {
      ...{ tenant: "acme", room, offset: offsets[4] },
    });
    assert.deepEqual(erased.stores, [{ store: "messages", erased: 1 }]);
  }
  const left = offsets.filter((_, n) => n !== 4);
  for (const at of [0, 1] as const) {
    const refused = () => back(at, offsets[1], []);
    await seen("the Shield to refuse", refused, (reason) => reason !== "", 5_000);
    for (const place of [start, offsets[0], offsets[3]]) {
      assert.equal(await back(at, place, []), "erased", `${way}, ${at}, after ${place}`);
    }
    assert.equal(await back(at, offsets[4], offsets.slice(5)), "", "what is there is given");
    const path = `rooms/${room}/messages?limit=100`;
    const { body } = await new HttpPeer(stage.urls[at], stage.token).call("GET", path);
    assert.deepEqual(body.messages.map(({ offset }: { offset: number }) => offset), left);
  }
  const [next = 0] = await publisher.fill(room, ["next"]);
  assert.equal((await reader.next()).offset, next, "who hears the room goes on");
}

/** Purged while the first Shield is disconnected from NATS: it receives no request. */
async function whileCut(stage: Stage): Promise<void> {
  for (const way of ["whole", "keep"] as const) {
    const room = `cut-${way}`;
    using reader = await stage.open(0);
    const { offset: start, epoch } = await reader.join(room);
    using publisher = await stage.open(1);
    const offsets = await publisher.fill(room, numbers(0, 10));
    await reader.receives(offsets);
    await publisher.fill("busy", numbers(0, 3 * KEPT));
    await stage.link.cut();
    const options = { filter: stage.subjectOf(room), ...WAYS[way](offsets) };
    await stage.manager.streams.purge(stage.stream, options);
    stage.link.restore();
    const back = (after_offset: number | undefined) =>
      comesBack(stage, 0, room, { after_offset, epoch }, []);
    // A Shield without NATS refuses, too.
    const answer = await seen(
      "the cut Shield to refuse",
      () => back(offsets[1]).catch(() => "no answer"),
      (reason) => reason === "history-trimmed" || reason === "",
      30_000,
    );
    assert.equal(answer, "history-trimmed", way);
    assert.equal(await back(start), "history-trimmed", way);
    const { body } = await new HttpPeer(stage.urls[0], stage.token).call(
      "GET",
      `rooms/${room}/messages?limit=100`,
    );
    const left = way === "whole" ? [] : offsets.slice(5);
    assert.deepEqual(body.messages.map(({ offset }: { offset: number }) => offset), left, way);
    await publisher.fill(room, ["next"]);
    for (const place of [start, offsets[3]]) {
      assert.equal(await back(place), "history-trimmed", `${way}, later, after ${place}`);
    }
  }
}

/** Lowered limits remove messages, and send no purge request. */
async function lowersLimits(stage: Stage): Promise<void> {
  const room = "edited";
  const { config } = await stage.manager.streams.info(stage.stream);
  const limit = async (max_msgs_per_subject: number) =>
    void await stage.manager.streams.update(stage.stream, { max_msgs_per_subject });
  for (const at of [0, 1] as const) {
    using reader = await stage.open(at);
    const { offset: start, epoch } = await reader.join(`${room}-${at}`);
    using publisher = await stage.open(0);
    const offsets = await publisher.fill(`${room}-${at}`, numbers(0, 10));
    await reader.receives(offsets);
    await publisher.fill("busy", numbers(0, 3 * KEPT));
    const back = (after_offset: number | undefined, missed: readonly number[] = []) =>
      comesBack(stage, at, `${room}-${at}`, { after_offset, epoch }, missed);
    await limit(3);
    // The stream no longer shows any trace of that.
    await limit(config.max_msgs_per_subject);
    await seen("a refusal", () => back(offsets[1]), (reason) => reason !== "", 5_000);
    for (const place of [start, offsets[0], offsets[5]]) {
      assert.equal(await back(place), "history-trimmed", `${at}, after ${place}`);
    }
    assert.equal(await back(offsets[7], offsets.slice(8)), "", "what is there is given");
  }
}

Deno.test("messages erased while a Shield had no NATS, or by lower limits, do not count as recovered", async () => {
  await onStage(async (stage) => {
    await whileCut(stage);
    await lowersLimits(stage);
  });
});

Deno.test("messages erased in NATS are served by no Shield, and recovery is whole or refused", async () => {
  await onStage(async (stage) => {
    await neverMissing(stage);
    for (const way of ["whole", "up-to", "keep", "trim", "trim-up-to"] as const) {
      await erases(stage, way);
    }
    for (const way of ["erase", "rmm"] as const) await singleMessages(stage, way);
  });
});
