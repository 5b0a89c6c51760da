/** The journal's admin API, over the embedded Spine. */
import assert from "node:assert/strict";
import { writeEnvelope } from "@arqon/proto";
import { type JournalRecord, parseLine } from "../../../shared/journal/record.ts";
import { turnsDuring } from "../../../shared/testing/turns_during.ts";
import { adminRequest, askPart, operator, tenantAdmin } from "../../admin/routing/testing/admin.ts";
import type { Admin } from "../../admin/routing/admin_scope.ts";
import { keptLog, SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";
import { decidedBy } from "../../../shared/journal/testing/records.ts";
import { decision, journalPlace, storeBytes, writeBlock } from "../testing/journal.ts";
import { JOURNAL_ROUTES } from "../capability.ts";
import { readJournal } from "./read.ts";

const RETENTION = { history_size: 100, history_ttl_seconds: 3_600, replicas: undefined };

function api() {
  let now_ms = SPINE_NOW_MS;
  const engine = testSpine({}, () => now_ms);
  const place = journalPlace(engine.spine, () => SPINE_NOW_MS);
  const { log, lines } = keptLog();
  const logs = { of: (tenant_id: string) => engine.spine.log(tenant_id, RETENTION) };
  const context = { place, logs, log, node_id: "s1" };
  const send = (method: string, path: string, body?: unknown, as: Admin = operator()) => {
    const request = adminRequest(method, `/v1/journal${path}`, body);
    return askPart(JOURNAL_ROUTES, context, request, as);
  };
  /** An answer's lines, and its end. */
  const read = async (query: string, as?: Admin) => {
    const response = await send("GET", query, undefined, as);
    assert.equal(response.status, 200, await response.clone().text());
    const texts = (await response.text()).trimEnd().split("\n");
    const end: { next: string; is_end: boolean } = JSON.parse(texts.pop() ?? "");
    const found = texts.map((text) => {
      const parsed = parseLine(text);
      assert.ok("line" in parsed, JSON.stringify(parsed));
      return parsed.line;
    });
    return { lines: found, ...end };
  };
  /** The message ids of an answer's records; for a gap, its reason. */
  const idsOf = ({ lines }: Pick<Awaited<ReturnType<typeof read>>, "lines">) =>
    lines.map((line) => "hole" in line ? line.hole.why : line.message_id);
  const ids = async (query: string, as?: Admin) => idsOf(await read(query, as));
  return {
    place,
    send,
    read,
    lines,
    spine: engine.spine,
    advance: (ms: number) => void (now_ms += ms),
    ids,
    /** Reads acme's journal to its end in pieces of each of these sizes. */
    async isInPieces(all: readonly string[], limits: readonly number[]) {
      for (const limit of limits) {
        const found: unknown[] = [];
        for (let [after, is_end] = ["", false]; !is_end;) {
          const page = await read(`?tenant=acme&limit=${limit}${after}`);
          assert.ok(page.lines.length <= limit);
          found.push(...idsOf(page));
          ({ is_end } = page);
          after = `&after=${page.next}`;
        }
        assert.deepEqual(found, all, `in pieces of ${limit}`);
      }
    },
    async [Symbol.asyncDispose]() {
      await place.close();
      await engine[Symbol.asyncDispose]();
    },
  };
}

/** Decisions m0, m1, …, a second apart. */
const some = (from: number, to: number) =>
  Array.from(
    { length: to - from },
    (_, at) =>
      decision({ message_id: `m${from + at}`, time_ms: SPINE_NOW_MS + (from + at) * 1_000 }),
  );

Deno.test("a journal is read in pages of any size, each line once and in order", async () => {
  await using test = api();
  for (const from of [0, 5, 10]) {
    await writeBlock(test.place, some(from, from + 5), { first: from });
  }
  const all = Array.from({ length: 15 }, (_, at) => `m${at}`);
  assert.deepEqual(await test.ids("?tenant=acme"), all);
  await test.isInPieces(all, [1, 2, 5, 7, 15, 16]);
  const { next } = await test.read("?tenant=acme");
  await writeBlock(test.place, some(15, 17), { first: 15 });
  assert.deepEqual(await test.ids(`?tenant=acme&after=${next}`), ["m15", "m16"]);
});

Deno.test("the lines of a block are read over many turns, a bounded part in each", async () => {
  await using test = api();
  const LINES = 1_024;
  await writeBlock(test.place, some(0, LINES));
  const reading = {
    store: () => test.place.store(),
    keys: () => test.place.keys(),
    ends: () => Promise.resolve([]),
  };
  let turn = 0;
  const count = () => {
    turn++;
    counting = setImmediate(count);
  };
  let counting = setImmediate(count);
  const in_turn = new Map<number, number>();
  for await (const lines of readJournal(reading, { tenant: "acme", limit: 10 * LINES })) {
    in_turn.set(turn, (in_turn.get(turn) ?? 0) + lines.length);
  }
  clearImmediate(counting);
  assert.equal(in_turn.values().reduce((all, one) => all + one), LINES);
  assert.ok(Math.max(...in_turn.values()) <= 256, `${[...in_turn.values()]} lines in turns`);
});

Deno.test("a block of many users is read, and long lines are written, in slices", async () => {
  await using test = api();
  const LINES = 300;
  const header = { from: "header" as const, name: "h", value: "x".repeat(30_000) };
  const policies = [decidedBy("p", { reads: [header, header, header] })];
  const lines = some(0, LINES).map((one, at) => ({
    ...one,
    chain_version: 1,
    policies,
    sender: { user: `user-${at % 100}`, connection: "c", remote_ip: "" },
  }));
  await writeBlock(test.place, lines.slice(0, 100));
  await writeBlock(
    test.place,
    lines.slice(0, 200).map((one) => ({ ...one, sender: lines[0]!.sender })),
    { first: 100 },
  );
  const response = await test.send("GET", "?tenant=acme");
  const { value, turns } = await turnsDuring(() => response.text());
  assert.equal(value.split("\n").length, LINES + 2);
  assert.ok(turns >= LINES, `${turns} turns`);
});

Deno.test("a position of another tenant's journal, or of one that was removed, is refused", async () => {
  await using test = api();
  await writeBlock(test.place, some(0, 5));
  const { next: half } = await test.read("?tenant=acme&limit=2");
  await writeBlock(test.place, some(0, 5), { tenant: "globex" });
  const { next } = await test.read("?tenant=globex");
  const refused = async (query: string, whose: RegExp) => {
    const answer = await test.send("GET", query);
    assert.equal(answer.status, 400);
    assert.match((await answer.json()).detail, whose);
  };
  await refused(`?tenant=acme&after=${next}`, /after: it belongs to another tenant's journal/);
  assert.deepEqual(await test.ids(`?tenant=acme&after=${half}`), ["m2", "m3", "m4"]);
  // A position of an earlier release has no mark.
  assert.deepEqual(await test.ids("?tenant=acme&after=1.3"), ["m3", "m4"]);
  // The store was recreated: its blocks have the same cursors, or lower ones.
  await using other = api();
  other.advance(60_000);
  await writeBlock(other.place, some(5, 10));
  await refusedBy(other, `?tenant=acme&after=${half}`);
  const far = half.replace(/^\d+/, "900");
  await refusedBy(other, `?tenant=acme&after=${far}`);
  // Everything has expired, or nothing was written yet.
  await using none = api();
  assert.deepEqual(await none.ids(`?tenant=acme&after=${half}`), []);
});

async function refusedBy({ send }: Pick<ReturnType<typeof api>, "send">, query: string) {
  const answer = await send("GET", query);
  assert.equal(answer.status, 400);
  assert.match(
    (await answer.json()).detail,
    /after: it belongs to a journal that was removed; read from/,
  );
}

Deno.test("the newest lines are the last ones, in order, and a truncation is reported", async () => {
  await using test = api();
  const newest = async (query: string) => {
    const { lines, ...end } = await test.read(`?tenant=acme&newest=1${query}`);
    const next = end.next.split("~")[0];
    return [lines.map((line) => "id" in line ? line.message_id : line), { ...end, next }];
  };
  assert.deepEqual(await newest(""), [[], { next: "0", is_end: true, is_cut: false }]);
  for (let from = 0; from < 100; from += 5) {
    await writeBlock(test.place, some(from, from + 5), { first: from });
    test.advance(60_000);
  }
  const ids = (from: number, to: number) => some(from, to).map(({ message_id }) => message_id);
  for (const limit of [1, 3, 5, 7, 50, 99]) {
    const [lines, end] = await newest(`&limit=${limit}`);
    assert.deepEqual(lines, ids(100 - limit, 100), `the newest ${limit}`);
    assert.deepEqual(end, { next: "20", is_end: true, is_cut: true });
  }
  for (const limit of [100, 1_000]) {
    const [lines, end] = await newest(`&limit=${limit}`);
    assert.deepEqual(lines, ids(0, 100));
    assert.deepEqual(end, { next: "20", is_end: true, is_cut: false });
  }
  const [until] = await newest(`&until_ms=${SPINE_NOW_MS + 49_999}&limit=3`);
  assert.deepEqual(until, ids(47, 50));
  const [since] = await newest(`&since_ms=${SPINE_NOW_MS + 98_000}&limit=3`);
  assert.deepEqual(since, ids(98, 100));
  assert.equal((await test.send("GET", "?tenant=acme&newest=1&after=3")).status, 400);
});

Deno.test("matching decisions are found, and those of another tenant are not", async () => {
  await using test = api();
  const trace = "0af7651916cd43dd8448eb211c80319c";
  const refused = { allowed: false, code: 403, reason: "policy-rejected", message: "no" };
  const fault = { allowed: false, code: 503, reason: "x", fault: "fuel", detail: "d" };
  await writeBlock(test.place, [
    decision({ message_id: "m0", room: "den" }),
    decision({ message_id: "m1", user: "bob", trace }),
    decision({ message_id: "m2", ...refused, policies: [decidedBy("words")] }),
    decision({ message_id: "m3", ...refused, policies: [decidedBy("limit", fault)] }),
    decision({ message_id: "m4", time_ms: SPINE_NOW_MS + 9_000 }),
  ]);
  await writeBlock(test.place, [decision({ message_id: "g0" })], { tenant: "globex" });
  const table: [query: string, ids: string[]][] = [
    ["", ["m0", "m1", "m2", "m3", "m4"]],
    ["&room=den", ["m0"]],
    ["&user=bob", ["m1"]],
    ["&connection=c-bob", ["m1"]],
    [`&trace=${trace}`, ["m1"]],
    ["&message_id=m3", ["m3"]],
    ["&policy=words", ["m2"]],
    ["&outcome=refused", ["m2", "m3"]],
    ["&outcome=allowed&room=lobby", ["m1", "m4"]],
    ["&outcome=fault", ["m3"]],
    [`&since_ms=${SPINE_NOW_MS + 9_000}`, ["m4"]],
    [`&until_ms=${SPINE_NOW_MS + 8_999}`, ["m0", "m1", "m2", "m3"]],
    [`&until_ms=${SPINE_NOW_MS - 1}`, []],
    [`&since_ms=${SPINE_NOW_MS + 60_000_000}`, []],
  ];
  for (const [query, ids] of table) assert.deepEqual(await test.ids(`?tenant=acme${query}`), ids);
  const own = tenantAdmin("globex");
  assert.deepEqual(await test.ids("?tenant=globex", own), ["g0"], "its own");
  for (const path of ["?tenant=acme", "/status?tenant=acme", ""]) {
    const foreign = await test.send("GET", path, undefined, own);
    assert.deepEqual([foreign.status, (await foreign.json()).reason], [403, "tenant-mismatch"]);
  }
  const erasing = await test.send("POST", "/erase", { tenant: "acme", user: "ann" }, own);
  assert.equal(erasing.status, 403);
  assert.equal((await test.ids("?tenant=acme&user=ann")).length, 4, "nobody was erased");
  assert.doesNotMatch(test.lines.join(""), /bob/, "the log does not name the searched user");
});

Deno.test("invalid queries are refused with the expected form", async () => {
  await using test = api();
  const table: [path: string, detail: RegExp][] = [
    ["", /tenant: /],
    ["?tenant=a.b", /tenant: expected 1 to 64/],
    ["?tenant=acme&limit=0", /limit: expected a whole number from 1 to 10000/],
    ["?tenant=acme&limit=10001", /limit: /],
    ["?tenant=acme&after=x", /after: expected `next`/],
    ["?tenant=acme&outcome=maybe", /outcome: expected one of allowed, refused, fault/],
    ["?tenant=acme&color=red", /unknown parameter "color"/],
    ["/status", /tenant: /],
  ];
  for (const [path, detail] of table) {
    const refused = await test.send("GET", path);
    assert.equal(refused.status, 400, path);
    assert.match((await refused.json()).detail, detail);
  }
  const refused = await test.send("POST", "/erase", { tenant: "acme" });
  assert.deepEqual([refused.status, (await refused.json()).reason], [400, "invalid-settings"]);
});

Deno.test("a removed or duplicate block is reported, in pages of any size", async () => {
  await using test = api();
  const series = 7;
  const write = (number: number, of: object = {}) =>
    writeBlock(test.place, some(number, number + 1), { first: number, series, number, ...of });
  for (const number of [0, 1, 3, 4, 4, 3, 5, 8]) await write(number);
  // Another node, another series of the same node, and expired blocks.
  await write(9, { node: "s2" });
  await write(10, { series: 8 });
  await storeBytes(test.place, new Uint8Array(300));
  await write(12);
  const all = [
    ...["m0", "m1", "removed", "m3", "m4", "doubled", "doubled", "m5", "removed", "m8", "m9"],
    // A damaged block is reported, and not also as missing.
    ...["m10", "damaged", "m12"],
  ];
  await test.isInPieces(all, [1_000, 1, 2, 3, 5]);
});

Deno.test("a block that is damaged, truncated or another tenant's is a gap, and its neighbours are read", async () => {
  await using test = api();
  await writeBlock(test.place, some(0, 2));
  const { blocks: [good] } = await (await test.place.store()).read({ tenant_id: "acme", limit: 1 });
  const bytes = good!.payload;
  await storeBytes(test.place, flipped(bytes, 40));
  await storeBytes(test.place, bytes.slice(0, -3));
  await storeBytes(test.place, new Uint8Array(0));
  await storeBytes(test.place, bytes, "acme", "s2");
  await storeBytes(test.place, bytes, "globex", "s1");
  const holes = [{ from_ms: 5, to_ms: SPINE_NOW_MS, records: 3, why: "queue-full" }];
  await writeBlock(test.place, some(2, 3), { first: 2, holes });
  const damaged = ["damaged", "damaged", "damaged", "damaged"];
  assert.deepEqual(await test.ids("?tenant=acme"), ["m0", "m1", ...damaged, "queue-full", "m2"]);
  assert.deepEqual(await test.ids("?tenant=globex"), ["damaged"]);
  const asked = await test.ids("?tenant=acme&room=nowhere");
  assert.deepEqual(asked, [...damaged, "queue-full"], "missing decisions may match the query");
});

Deno.test("an erased user's decisions stay, without data about the user", async () => {
  await using test = api();
  await writeBlock(test.place, [
    decision({ message_id: "m0", policies: [decidedBy("words")] }),
    decision({ message_id: "m1", user: "bob" }),
  ]);
  const erased = await test.send("POST", "/erase", { tenant: "acme", user: "ann" });
  assert.deepEqual(await erased.json(), { node_id: "s1", tenant: "acme", erased: true });
  const { lines: [first, second] } = await test.read("?tenant=acme");
  const record = first as JournalRecord;
  assert.equal(record.sender, null);
  assert.deepEqual(record.payload, { form: "erased" });
  assert.deepEqual(record.policies[0]?.reads, [
    { from: "header", name: "x-lang", value: null, is_erased: true },
  ]);
  assert.equal(record.policies[0]?.units, 1_000, "a policy's cost belongs to no user");
  assert.equal((second as JournalRecord).sender?.user, "bob");
  assert.deepEqual(await test.ids("?tenant=acme&user=ann"), []);
  await writeBlock(test.place, some(2, 3), { first: 2 });
  assert.deepEqual(
    await test.ids("?tenant=acme&user=ann"),
    ["m2"],
    "a returning user has a new key",
  );
  const again = await test.send("POST", "/erase", { tenant: "acme", user: "nobody" });
  assert.equal((await again.json()).erased, false);
  assert.doesNotMatch(test.lines.join(""), /ann/);
});

Deno.test("payloads in a room's log are read from there, and deleted ones are reported", async () => {
  await using test = api();
  const log = await test.spine.log("acme", RETENTION);
  const offsets: number[] = [];
  for (let at = 0; at < 4; at++) {
    const event = { type: "chat", data: new TextEncoder().encode(`text ${at}`) };
    const room_id = at === 3 ? "den" : "lobby";
    const envelope = writeEnvelope({ room_id, message_id: `m${at}`, event });
    offsets.push((await log.append(room_id, envelope)).offset);
  }
  const referring = (at: number, offset = offsets[at]!) =>
    decision({
      message_id: `m${at}`,
      room: at === 3 ? "den" : "lobby",
      offset,
      payload: { form: "reference", bytes: 6 },
    });
  const missing = referring(4, 900);
  const replaced = {
    ...referring(1),
    chain_version: 3,
    policies: [decidedBy("mask", { payload: btoa("text *") })],
  };
  await writeBlock(test.place, [2, 0, 3, 1].map((at) => referring(at)).concat(missing));
  await writeBlock(test.place, [referring(0, offsets[1]), replaced], { first: 5 });
  await log.trim("lobby", 2);
  const shown = async (query: string) =>
    (await test.read(`?tenant=acme${query}`)).lines.map((line) => {
      const { payload } = line as JournalRecord;
      return payload.form === "kept" ? atob(payload.data) : { ...payload };
    });
  const reference = { form: "reference", bytes: 6 };
  const gone = { ...reference, is_gone: true };
  assert.deepEqual(await shown("&payload=1"), [
    "text 2",
    gone,
    "text 3",
    "text 1",
    gone,
    gone,
    reference,
  ]);
  assert.deepEqual(await shown(""), Array.from({ length: 7 }, () => reference));
});

Deno.test("the payload of a message without an id is found by the record's other members", async () => {
  await using test = api();
  const log = await test.spine.log("acme", RETENTION);
  const trace = "0af7651916cd43dd8448eb211c80319c";
  const sent = {
    room_id: "lobby",
    sender_id: "ann",
    timestamp_ms: decision().time_ms + 2,
    trace_id: trace,
    event: {
      type: "chat",
      content_type: "application/json",
      data: new TextEncoder().encode("text 0"),
    },
  };
  const { offset } = await log.append("lobby", writeEnvelope(sent));
  const payload = { form: "reference", bytes: 6 } as const;
  const own = decision({ message_id: null, offset, payload });
  // A recreated log has another message at the same offset.
  const others = [
    decision({ message_id: null, offset, payload, user: "bob" }),
    { ...own, type: "note" },
    { ...own, content_type: "text/plain" },
    { ...own, payload: { form: "reference", bytes: 7 } as const },
    { ...own, trace: "1af7651916cd43dd8448eb211c80319c" },
    { ...own, time_ms: own.time_ms + 60_002 },
    { ...own, time_ms: own.time_ms - 59_998 },
    { ...own, message_id: "m0" },
  ];
  await writeBlock(test.place, [own, { ...own, trace }, ...others]);
  const { lines } = await test.read("?tenant=acme&payload=1");
  const data = btoa("text 0");
  assert.deepEqual(lines.map((line) => (line as JournalRecord).payload), [
    { form: "kept", data },
    { form: "kept", data },
    ...others.map((one) => ({ ...one.payload, is_gone: true })),
  ]);
  await test.send("POST", "/erase", { tenant: "acme", user: "ann" });
  const { lines: [erased] } = await test.read("?tenant=acme&payload=1");
  assert.deepEqual((erased as JournalRecord).payload, { form: "erased" });
});

Deno.test("a journal's status has its size and its oldest time", async () => {
  await using test = api();
  const empty = await (await test.send("GET", "/status?tenant=acme")).json();
  const nothing = { blocks: 0, bytes: 0, first_ms: null, last_ms: null };
  assert.deepEqual(empty, { node_id: "s1", tenant: "acme", ...nothing });
  await writeBlock(test.place, some(0, 2));
  const full = await (await test.send("GET", "/status?tenant=acme", undefined, tenantAdmin("acme")))
    .json();
  assert.deepEqual([full.blocks, full.first_ms], [1, SPINE_NOW_MS]);
  assert.ok(full.bytes > 100, String(full.bytes));
});

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = bytes[at]! ^ 1;
  return copy;
}

/** How far clocks jump, in ms. */
const STEPS_MS = [2_000, 20_000, 30_000, 7_200_000];
for (const step_ms of STEPS_MS) {
  Deno.test(`a clock that jumps back by ${step_ms} ms hides no decision, and the answer reports it`, async () => {
    await using bus = api();
    let now_ms = SPINE_NOW_MS;
    /** Ten decisions, one per second, each in its own block. */
    const decide = async (name: string) => {
      for (let at = 0; at < 10; at++) {
        await writeBlock(bus.place, [decision({ message_id: `${name}${at}`, time_ms: now_ms })]);
        now_ms += 1_000;
        bus.advance(1_000);
      }
    };
    await decide("before");
    // Enough for a query that omits the oldest.
    now_ms += 3_000_000;
    bus.advance(3_000_000);
    const since_ms = now_ms;
    await decide("ahead");
    await decide("more");
    now_ms -= step_ms;
    bus.advance(-step_ms);
    await decide("back");
    const all = ["ahead", "more", "back"].flatMap((name) =>
      Array.from({ length: 10 }, (_, at) => `${name}${at}`)
    );
    const asked = async (query: string) => {
      const found = await bus.ids(query);
      const set_back = found.filter((one) => one === "clock-set-back").length;
      return { ids: found.filter((one) => one !== "clock-set-back"), set_back };
    };
    // Decisions after a longer jump have times before `since_ms`.
    const from_ms = Math.min(since_ms, now_ms - 10_000);
    assert.deepEqual(await asked(`?tenant=acme&since_ms=${from_ms}&limit=1000`), {
      ids: step_ms > 3_600_000
        ? [...Array.from({ length: 10 }, (_, at) => `before${at}`), ...all]
        : all,
      set_back: 1,
    });
    // The end of the query is by the current clock.
    const until_ms = now_ms;
    const { ids } = await asked(
      `?tenant=acme&since_ms=${now_ms - 10_000}&until_ms=${until_ms}&limit=1000`,
    );
    for (let at = 0; at < 10; at++) assert.ok(ids.includes(`back${at}`), ids.join(" "));
    const { ids: newest } = await asked("?tenant=acme&newest=1&limit=10");
    assert.deepEqual(newest.slice(-9), all.slice(-9));
  });
}
