// The requests of an erasure to the cluster.
import assert from "node:assert/strict";
import { Answerer } from "../../shared/cluster/cluster_answerer.ts";
import { ClusterAsker } from "../../shared/cluster/cluster_asker.ts";
import { eraseEntries } from "../../shared/cluster/cluster_erase.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { deadKey, hookBytes, HOOKS_BUCKET } from "../../shared/records/hook_document.ts";
import { MEMBERS_BUCKET } from "../../shared/records/member.ts";
import { REDUCERS_BUCKET } from "../../shared/records/reducer_record.ts";
import { REVOCATIONS_BUCKET } from "../../shared/records/revocations.ts";
import { ROOMS_BUCKET } from "../../shared/records/room_update.ts";
import type { DurableLog, LogRead } from "../../shared/spine/contract/durable_log.ts";
import type { KeyValue, KvKey } from "../../shared/spine/contract/spine.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { until } from "../../shared/testing/until.ts";
import { GROWING_BUCKET, ROLLOUTS_BUCKET, SCHEDULES_BUCKET } from "../../shared/records/buckets.ts";
import { storedBytes } from "../../shared/records/stored.ts";
import { systemEnvelope } from "../../shared/records/system_envelope.ts";
import { bucketStores, findBrain } from "./buckets.ts";
import { dataStores } from "./stores.ts";

const log = QUIET;
const ANN = { tenant: "acme", user: "ann" };
const STAMPS = { now: Date.now, random: (size: number) => new Uint8Array(size) };
const BRAINS = [ROOMS_BUCKET, MEMBERS_BUCKET, REDUCERS_BUCKET];

Deno.test("an erasure asks once for a Brain, for any number of Brain-owned buckets", async () => {
  const random = (size: number) => crypto.getRandomValues(new Uint8Array(size));
  const spine = openEmbedded({ log, now: Date.now });
  const common = { spine, log, now: Date.now };
  const onAsker = () => {};
  const shield = new Answerer({ ...common, node_id: "s", kind: "shield", handlers: {}, onAsker });
  const asker = new ClusterAsker({
    ...common,
    node_id: "s",
    kind: "shield",
    answerer: shield,
    random,
  });
  const handlers = { erase_entries: (params: unknown) => eraseEntries(spine, params) };
  const brain = new Answerer({ ...common, node_id: "b", kind: "brain", handlers, onAsker });
  try {
    await until("the Brain is known", async () => {
      await asker.hello();
      return asker.isKnown("b");
    });
    for (const name of BRAINS) {
      const bucket = await spine.keyValue(name, { leaves_stream: true });
      await bucket.put(["acme", "lobby"], new TextEncoder().encode("{}"));
    }
    const before = asker.counts.asked;
    const brain_id = findBrain(asker);
    const erased: number[] = [];
    for (const store of bucketStores({ spine, asker, now: Date.now })) {
      erased.push(await store.erase({ tenant: "acme" }, brain_id));
    }
    assert.equal(erased.reduce((sum, count) => sum + count), BRAINS.length);
    // Each order also asks its process for its clock.
    assert.equal(asker.counts.asked - before, 1 + 2 * BRAINS.length);
  } finally {
    for (const one of [asker, shield, brain]) one.close();
    await spine.drain();
  }
});

Deno.test("a dead letter is erased with its message: by user, by room, or by offset; no secret is exported", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const bucket = await spine.keyValue(HOOKS_BUCKET);
  const store = bucketStores({ spine, asker: undefined, now: Date.now }).find(({ name }) =>
    name.startsWith("hooks")
  )!;
  const letters: [string, number, string][] = [["lobby", 1, "ann"], ["lobby", 2, "bob"], [
    "hall",
    1,
    "bob",
  ], ["hall", 3, 'a"n']];
  const put = async () => {
    for (const [room, offset, sender] of letters) {
      const id = `evt_${room}_${offset}`;
      const body = JSON.stringify({ data: { message: { sender, room } } });
      const call = { id, type: "room.message", body, room, offset };
      const more = { at_ms: 1, status: 503, problem: "", calls: 1 };
      await bucket.put(deadKey("acme", "h", id), hookBytes({ ...call, ...more }));
    }
    const hook = '{"spec":{"room":"lobby","secret":"whsec_x"}}';
    await bucket.put(["acme", "h"], new TextEncoder().encode(hook));
  };
  const left = async () => (await bucket.keys(["acme", "h", "dead"])).map((key) => key[3]).sort();
  const brainOf = () => Promise.resolve(undefined);
  const all = letters.map(([room, offset]) => `evt_${room}_${offset}`);
  for (
    const [whose, gone] of [
      [{ user: "ann" }, ["evt_lobby_1"]],
      [{ user: 'a"n' }, ["evt_hall_3"]],
      [{ room: "lobby" }, ["evt_lobby_1", "evt_lobby_2"]],
      [{ room: "hall", offset: 3 }, ["evt_hall_3"]],
      [{ room: "nowhere" }, []],
    ] as const
  ) {
    await put();
    const about = { tenant: "acme", ...whose };
    assert.equal((await store.stock(about))?.count ?? 0, gone.length, JSON.stringify(whose));
    assert.equal(await store.erase(about, brainOf), gone.length, JSON.stringify(whose));
    const stay = all.filter((id) => !gone.some((one) => one === id));
    assert.deepEqual(await left(), stay.toSorted(), JSON.stringify(whose));
  }
  assert.equal((await bucket.keys(["acme"])).length, letters.length + 1);
  const lines = await Array.fromAsync(store.lines({ tenant: "acme" }));
  assert.ok(lines.includes(
    '{"store":"hooks and dead letters","key":["h"],"value":{"spec":{"room":"lobby"}}}',
  ));
  await spine.drain();
});

Deno.test("a growing message belongs to its producer, with all parts of its text, whatever names it contains", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const bucket = await spine.keyValue(GROWING_BUCKET);
  const bytes = (text: string) => new TextEncoder().encode(text);
  for (const user_id of ["ann", "bob"]) {
    const record = { producer: { user_id }, text: 'said "ann"', sealed: { parts: 1, bytes: 20 } };
    await bucket.put(["acme", "ann", `of-${user_id}`], bytes(JSON.stringify(record)));
    const part = bytes(`"ann", ${user_id} wrote\nmore`);
    await bucket.put(["acme", "ann", `of-${user_id}`, "1", "0"], part);
  }
  const store = bucketStores({ spine, asker: undefined, now: Date.now }).find(({ name }) =>
    name === "growing"
  );
  assert.ok(store);
  const anns = { tenant: "acme", user: "ann" };
  const lines = await Array.fromAsync(store.lines(anns));
  assert.deepEqual(lines.map((line) => JSON.parse(line).text).filter(Boolean), [
    '"ann", ann wrote\nmore',
  ]);
  assert.equal(await store.erase(anns, () => Promise.resolve(undefined)), 2);
  const left = (await bucket.keys(["acme"])).map((key) => key.slice(2).join());
  assert.deepEqual(left.sort(), ["of-bob", "of-bob,1,0"]);
  await spine.drain();
});

/** Members and words in the bus's own records: users may have such names. */
const WORDS = [
  "offset",
  "user_id",
  "type",
  "joined",
  "left",
  "lobby",
  "ended",
  "data",
  "connection-1",
];

/** Dead letters and entries of the bus's rooms that belong to each user, and name others. */
async function writeOf(
  users: readonly string[],
  bucket: KeyValue,
  durable: DurableLog,
): Promise<void> {
  const at = { room: "lobby", offset: 1, at_ms: 1, status: 503, problem: "", calls: 1 };
  const now = () => 1;
  const random = (size: number) => new Uint8Array(size);
  for (const user_id of users) {
    const member = {
      user_id,
      issuer: "i",
      connection_id: "connection-1",
      node_id: "s",
      incarnation: 1,
      joined_ms: 1,
    };
    const change = { sequence: 1, at_ms: 1, members: 1, ...member, cause: "ended" };
    const refusal = {
      room: "lobby",
      what: "publish",
      reason: "policy-rejected",
      message: "left",
      ...member,
    };
    const letters = {
      "member.left": { change },
      "policy.refused": { event: refusal },
      "room.message": {
        message: { op: "msg", room: "lobby", data: { to: WORDS, ann: "ann" }, sender: user_id },
      },
    };
    for (const [type, more] of Object.entries(letters)) {
      const body = JSON.stringify({
        type,
        data: { tenant: "acme", room: "lobby", offset: 1, ...more },
      });
      const id = `${type}-${user_id}`;
      await bucket.put(deadKey("acme", "h", id), hookBytes({ ...at, id, type, body }));
    }
    const rooms: [string, string, object][] = [
      ["lobby~members", "left", change],
      ["lobby~members", "joined", change],
      ["lobby~members", "present", {
        sequence: 1,
        at_ms: 1,
        page: 0,
        pages: 1,
        occupied: true,
        list: [member],
      }],
      ["~events", "policy.refused", refusal],
    ];
    for (const [room_id, type, data] of rooms) {
      const event = {
        type,
        data: new TextEncoder().encode(JSON.stringify(data)),
        content_type: "application/json",
      };
      await durable.append(
        room_id,
        systemEnvelope({ now, random }, { tenant_id: "acme", room_id, event }),
      );
    }
  }
}

Deno.test("a user whose id is a word of the bus's records gets only data that names the user", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const bucket = await spine.keyValue(HOOKS_BUCKET);
  const durable = await spine.log("acme", {
    history_size: 100,
    history_ttl_seconds: 1_000,
    replicas: undefined,
  });
  await writeOf(["ann", ...WORDS], bucket, durable);
  const logs = { has: () => true, of: () => Promise.resolve(durable) };
  const stores = dataStores({ spine, now: Date.now, logs, blocks: [], asker: undefined });
  for (const user of ["ann", ...WORDS]) {
    const erased: Record<string, number> = {};
    for (const one of stores) {
      const count = await one.erase({ tenant: "acme", user }, () => Promise.resolve(undefined));
      if (count > 0) erased[one.name] = count;
    }
    assert.deepEqual(erased, { messages: 4, "hooks and dead letters": 3 }, user);
  }
  await spine.drain();
});

Deno.test("a Brain that has read a user's samples does not store them after the user's erasure", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const bucket = await spine.keyValue(ROLLOUTS_BUCKET);
  const put = (key: KvKey, value: object) => bucket.put(key, storedBytes(value));
  const read = await put(["acme"], { state: "running" });
  const samples = [{ user: "ann", text: "hi" }];
  await put(["acme", "s1"], { tallies: [{ samples }] });
  const store = bucketStores({ spine, asker: undefined, now: Date.now })
    .find(({ name }) => name === "rollouts")!;
  assert.equal(await store.erase({ tenant: "acme", user: "ann" }, () => Promise.resolve("b")), 1);
  const ended = storedBytes({ state: "returned", ended: { samples } });
  await assert.rejects(bucket.update(["acme"], ended, read), { reason: "version-conflict" });
  await spine.drain();
});

Deno.test("what keeps the tokens of a deleted tenant out stays", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const bucket = await spine.keyValue(REVOCATIONS_BUCKET);
  const every = ["acme", "issued-before", "*"];
  for (const key of [every, ["acme", "user", "ann"]]) await bucket.put(key, new Uint8Array());
  const stores = bucketStores({ spine, asker: undefined, now: Date.now });
  const store = stores.find(({ name }) => name === "revocations")!;
  assert.match((await store.stock({ tenant: "acme" }))?.stays ?? "", /out until it expires/);
  await store.erase({ tenant: "acme" }, () => Promise.resolve(undefined));
  assert.deepEqual(await bucket.keys(), [every]);
  await spine.drain();
});

Deno.test("sources of messages are erased before messages: none reappears while a tenant is erased", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const buckets = [SCHEDULES_BUCKET, GROWING_BUCKET];
  const left: number[] = [];
  for (const name of buckets) {
    await (await spine.keyValue(name)).put(["acme", "lobby", "a1"], new Uint8Array());
  }
  const logs = {
    has: () => true,
    async of() {
      for (const name of buckets) {
        left.push((await (await spine.keyValue(name)).keys(["acme"])).length);
      }
      throw new Error("a log is opened only for its messages");
    },
  };
  for (const store of dataStores({ spine, now: Date.now, logs, blocks: [], asker: undefined })) {
    await store.erase({ tenant: "acme" }, () => Promise.resolve(undefined)).catch(() => {});
  }
  assert.deepEqual(new Set(left), new Set([0]));
  await spine.drain();
});

/** A log on a replica that shows only the first two messages during `reads` reads. */
function lagging(log: DurableLog, reads: number): DurableLog {
  let left = reads;
  return new Proxy(log, {
    get(target, key) {
      const member = Reflect.get(target, key, target);
      if (typeof member !== "function") return member;
      if (key !== "read") return member.bind(target);
      return async (room_id: string, options: LogRead) => {
        const page = await log.read(room_id, options);
        if (left-- <= 0) return page;
        const messages = page.messages.filter(({ offset }) => offset <= 2);
        return { ...page, messages, more: false };
      };
    },
  });
}

Deno.test("messages that a replica lacks are still found and erased, or the store fails", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const durable = await spine.log("acme", {
    history_size: 100,
    history_ttl_seconds: 1_000,
    replicas: undefined,
  });
  const random = (size: number) => crypto.getRandomValues(new Uint8Array(size));
  for (let n = 0; n < 5; n++) {
    const event = { type: "t", data: new TextEncoder().encode(`${n}`) };
    const about = { tenant_id: "acme", room_id: "r", event };
    await durable.append("r", systemEnvelope({ now: Date.now, random }, about));
  }
  const messagesOf = (read: DurableLog) => {
    const logs = { has: () => true, of: () => Promise.resolve(read) };
    const stores = dataStores({ spine, now: Date.now, logs, blocks: [], asker: undefined });
    return stores.find(({ name }) => name === "messages")!;
  };
  const whose = { tenant: "acme", room: "r" };
  assert.equal((await messagesOf(lagging(durable, 2)).stock(whose))?.count, 5);
  const never = messagesOf(lagging(durable, Infinity));
  await assert.rejects(never.stock(whose), /log lags/);
  await assert.rejects(never.stock({ ...whose, offset: 4 }), /log lags/);
  const lines = await Array.fromAsync(messagesOf(lagging(durable, 1)).lines(whose));
  assert.equal(lines.length, 5);
  const brainOf = () => Promise.resolve(undefined);
  assert.equal(await messagesOf(lagging(durable, 3)).erase(whose, brainOf), 5);
  assert.equal(await messagesOf(durable).erase(whose, brainOf), 0);
  await spine.drain();
});

Deno.test("a search for stored data runs in slices", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const messages = Array.from({ length: 500 }, (_, at) => ({
    offset: at + 1,
    time_ms: at,
    payload: systemEnvelope(STAMPS, { tenant_id: "acme" }),
  }));
  const one = {
    stream: "LOG",
    rooms: () => Promise.resolve({ rooms: ["lobby"], more: false }),
    head: () => Promise.resolve({ last: messages.at(-1) }),
    read: () => Promise.resolve({ messages, more: false }),
  } as unknown as DurableLog;
  const logs = { has: () => true, of: () => Promise.resolve(one) };
  const bucket = await spine.keyValue(SCHEDULES_BUCKET);
  for (let at = 0; at < 100; at++) {
    await bucket.put(["acme", `s${at}`], new TextEncoder().encode(`{"user":"ann"}`));
  }
  const stores = dataStores({ spine, now: Date.now, logs, asker: undefined, blocks: [] });
  const stockOf = (name: string) =>
    turnsDuring(() => stores.find((store) => store.name === name)!.stock(ANN));
  const of_log = await stockOf("messages");
  const of_bucket = await stockOf("schedules");
  assert.deepEqual([of_log.value?.count, of_bucket.value?.count], [0, 100]);
  assert(of_log.turns >= 30 && of_bucket.turns >= 99, `${of_log.turns}, ${of_bucket.turns} turns`);
  await spine.drain();
});
