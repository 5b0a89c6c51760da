/**
 * The parts of the NATS logs that need no server: the backward search, message ids, configuration, the clock, silent
 * witnesses, purges, pages of subjects.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { anyCharacter } from "../../../testing/any_character.ts";
import { turnsDuring } from "../../../testing/turns_during.ts";
import type { LogMessage } from "../../contract/durable_log.ts";
import type { Link } from "../connection/nats_link.ts";
import { newestBelow, type Reading } from "./nats_log_read.ts";
import { LogApi, messageId, type StreamConfig } from "./nats_log_api.ts";
import { Samples, ServerClock } from "./nats_log_clock.ts";
import { filterOf, isOf, Purges } from "./nats_log_erasures.ts";
import { Silences } from "./nats_log_lives.ts";
import {
  changedConfig,
  newConfig,
  ownPlace,
  removedBelow,
  retentionOf,
  withRemoval,
} from "./nats_log_stream.ts";
import { readRooms } from "./nats_log_tenant.ts";

const PAYLOAD_BYTES = 10;

const message = (offset: number): LogMessage => ({
  offset,
  time_ms: offset,
  payload: new Uint8Array(PAYLOAD_BYTES),
  headers: {},
});

/** A room with messages at these offsets, as a stream answers; counts the requests. */
function room(offsets: readonly number[], limit: number, page = 1_000) {
  const counts = { requests: 0, messages: 0 };
  const from = (offset: number) => offsets.filter((one) => one >= offset);
  return {
    counts,
    limit,
    max_bytes: 1e9,
    end: (offsets.at(-1) ?? 0) + 1,
    count: (offset: number) => {
      counts.requests++;
      const found = from(offset);
      const [first] = found;
      return Promise.resolve(first === undefined ? undefined : { first, count: found.length });
    },
    read: (offset: number) => {
      counts.requests++;
      const found = from(offset);
      counts.messages += Math.min(found.length, page);
      return Promise.resolve({
        messages: found.slice(0, page).map(message),
        more: found.length > page,
      });
    },
  };
}

const offsetsOf = ({ messages }: { messages: readonly LogMessage[] }) =>
  messages.map(({ offset }) => offset);

Deno.test("the newest below any place are found, however a room's messages lie", async () => {
  const gaps = fc.array(
    fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 5_000 })),
    { maxLength: 200 },
  );
  await fc.assert(
    fc.asyncProperty(
      gaps,
      fc.integer({ min: 1, max: 50 }),
      fc.nat(250),
      fc.integer({ min: 1, max: 40 }),
      async (gaps, limit, place, page) => {
        let offset = 0;
        const offsets = gaps.map((gap) => offset += gap);
        const end = (offsets[place] ?? offset) + (place % 2);
        const found = await newestBelow({ ...room(offsets, limit, page), end });
        const below = offsets.filter((one) => one < end);
        assert.deepEqual(offsetsOf(found), below.slice(-limit));
        assert.equal(found.more, below.length > limit);
      },
    ),
  );
});

Deno.test("the search needs few requests and reads little, also with bursts and sparse rooms", async () => {
  const even = Array.from({ length: 50_000 }, (_, n) => n + 1);
  const sparse = [1, 50_000, 100_000];
  const burst = [...even.slice(0, 20_000), 1_000_000, 2_000_000, ...even.map((n) => 9_000_000 + n)];
  const late = [...even, 9_000_000, 9_000_001];
  // The last is the worst case: the position is near neither end, and no density leads there.
  const cases = [[even, 6], [sparse, 6], [burst, 6], [late, 40]] as const;
  for (const [offsets, requests] of cases) {
    const { counts, ...search } = room(offsets, 100);
    assert.deepEqual(offsetsOf(await newestBelow(search)), offsets.slice(-100));
    assert.ok(counts.requests <= requests, `${counts.requests} requests`);
    assert.ok(counts.messages <= 400, `${counts.messages} messages`);
  }
});

Deno.test("a limit in bytes keeps the latest, at least one", async () => {
  const search = room(Array.from({ length: 100 }, (_, n) => n + 1), 50, 7);
  const some = await newestBelow({ ...search, max_bytes: PAYLOAD_BYTES * 3 });
  assert.deepEqual([offsetsOf(some), some.more], [[98, 99, 100], true]);
  const one = await newestBelow({ ...search, max_bytes: 1 });
  assert.deepEqual([offsetsOf(one), one.more], [[100], true]);
});

Deno.test("a search among replicas that differ still finds existing messages", async () => {
  const offsets = Array.from({ length: 1_000 }, (_, n) => n * 7 + 1);
  const honest = room(offsets, 20);
  // The counts come from a replica that has removed less, so there seem to be more messages than there are.
  const count = async (from: number) => {
    const found = await honest.count(from);
    return found === undefined ? undefined : { ...found, count: found.count + 15 };
  };
  const found = await newestBelow({ ...honest, count, end: honest.end });
  assert.deepEqual(offsetsOf(found), offsets.slice(-20));
});

Deno.test("message ids are printable and differ where keys differ", () => {
  assert.equal(messageId("r", "ann/1"), "r/ann/1");
  assert.equal(messageId("r", "é %\r\n"), "r/%C3%A9%20%25%0D%0A");
  const text = fc.string({ unit: anyCharacter }).map((key) => key.toWellFormed());
  fc.assert(fc.property(text, text, (left, right) => {
    assert.match(messageId("r", left), /^[!-~]*$/);
    assert.equal(messageId("r", left) === messageId("r", right), left === right);
  }));
});

const wish = {
  place: ownPlace("acme", 1_000_000),
  retention: { history_size: 100, history_ttl_seconds: 60, replicas: undefined },
  replicas_default: 1,
};

Deno.test("a stream is grown to the requested size, shrunk only on request, and else unchanged", () => {
  const config = newConfig("LOG_acme_1", wish);
  assert.deepEqual(retentionOf(config), { ...wish.retention, replicas: 1 });
  assert.equal(changedConfig(config, wish, false), undefined);
  const retention = { history_size: 50, history_ttl_seconds: 120, replicas: 3 };
  const grown = changedConfig(
    config,
    { ...wish, retention, place: ownPlace("acme", 500_000) },
    false,
  );
  assert.ok(grown);
  assert.deepEqual(retentionOf(grown), { ...retention, history_size: 100 });
  assert.equal(grown.max_bytes, 500_000, "the size is what the configuration says");
  const shrunk = changedConfig(
    config,
    { ...wish, retention, place: ownPlace("acme", 500_000) },
    true,
  );
  assert.ok(shrunk);
  assert.deepEqual([retentionOf(shrunk), shrunk.max_bytes], [retention, 500_000]);
  // An operator has removed the limits: retention cannot be raised further. But the size is bounded again.
  const endless: StreamConfig = { ...config, max_msgs_per_subject: -1, max_age: 0 };
  assert.equal(changedConfig(endless, wish, false), undefined);
  const unbounded = changedConfig({ ...endless, max_bytes: -1 }, wish, false);
  assert.deepEqual(unbounded, endless);
  // The stream of an older ArqonBus keeps a setting that NATS cannot unset.
  assert.equal(changedConfig({ ...config, deny_delete: true }, wish, false), undefined);
  assert.equal(retentionOf(endless).history_size, Number.MAX_SAFE_INTEGER);
});

Deno.test("the longest age that the configuration allows is exact in nanoseconds", () => {
  const retention = { ...wish.retention, history_ttl_seconds: 315_360_000 };
  const config = newConfig("LOG_acme_1", { ...wish, retention });
  assert.match(JSON.stringify(config), /"max_age":630720120000000000,/);
  assert.equal(retentionOf(config).history_ttl_seconds, 315_360_000);
});

Deno.test("the mark of removals is kept in the stream's metadata", () => {
  const config: StreamConfig = { ...newConfig("LOG_acme_1", wish), metadata: { owner: "ops" } };
  assert.equal(removedBelow(config), 0);
  assert.equal(removedBelow(withRemoval(config, "under way")), Number.MAX_SAFE_INTEGER);
  const marked = withRemoval(withRemoval(config, "under way"), 17);
  assert.deepEqual([removedBelow(marked), marked.metadata?.owner], [17, "ops"]);
});

Deno.test("the log's clock follows the server, continues without it, and goes back only with it", () => {
  let here_ms = 1_000;
  const clock = new ServerClock(() => here_ms);
  clock.note("2026-01-01T00:00:10.000000001Z", 1_000);
  const start_ms = Date.parse("2026-01-01T00:00:10Z");
  assert.equal(clock.now(), start_ms);
  here_ms += 500;
  assert.equal(clock.now(), start_ms + 500);
  clock.note("2026-01-01T00:00:10.2Z", here_ms);
  assert.equal(clock.now(), start_ms + 500, "a slow answer does not turn it back");
  clock.note("nonsense", here_ms);
  assert.equal(clock.now(), start_ms + 500);
  clock.note("2025-01-01T00:00:00Z", here_ms);
  assert.equal(clock.now(), Date.parse("2025-01-01T00:00:00Z"), "another leader's clock counts");
});

Deno.test("samples tell since when everything above an offset is stored, and are few", () => {
  const samples = new Samples();
  assert.equal(samples.since(5), undefined);
  for (let n = 0; n < 10_000; n++) samples.note(n, n * 10, 6_400);
  // One sample each 100 ms is kept, for 6,400 ms.
  assert.equal(samples.since(9_999), 99_900);
  assert.equal(samples.since(9_989), 99_800);
  assert.equal(samples.since(9_350), 93_500);
  assert.equal(samples.since(9_349), undefined, "older than the age limit");
  samples.note(7, 200_000, 6_400);
  assert.equal(samples.since(7), undefined, "an answer that is behind is no sample");
});

// How long a connected but silent witness is asked again. `nats_log_lives_test.ts` has the effect on a real NATS.

const TAIL = { life: "one", given: 3, offset: 3, time: "2026-01-01T00:00:00Z" };

Deno.test("a silent listener is asked again until a time limit", () => {
  const silences = new Silences(1_000);
  const asked = [400, 400, 199, 1, 1].map((ask_ms) => silences.goOn("a", "silence", ask_ms));
  assert.deepEqual(asked, [true, true, true, false, false]);
  assert.equal(silences.goOn("b", "silence", 400), true, "another stream has its own time");
});

Deno.test("without witnesses there is no wait, and any answer ends a wait", () => {
  for (const answer of ["nobody", TAIL] as const) {
    const silences = new Silences(1_000);
    assert.equal(silences.goOn("a", "silence", 900), true);
    assert.equal(silences.goOn("a", answer, 900), false);
    assert.equal(silences.goOn("a", "silence", 900), true, "it counts anew");
  }
});

Deno.test("a query from before a stream was settled does not count", () => {
  const silences = new Silences(1_000);
  assert.equal(silences.goOn("a", "silence", 900), true);
  silences.forget("a");
  assert.equal(silences.goOn("a", "silence", 900), true);
});

// Which subjects a purge affects, and up to which offset messages may be missing.

const request = (question: unknown) => new TextEncoder().encode(JSON.stringify(question));

Deno.test("the filter of a purge is the request's, and everything without one", () => {
  assert.equal(filterOf(request({ filter: "log.t.acme.r.a", keep: 3 })), "log.t.acme.r.a");
  for (const other of [request({ seq: 3 }), request({ filter: "" }), request(null)]) {
    assert.equal(filterOf(other), ">");
  }
  assert.equal(filterOf(new Uint8Array()), ">");
});

Deno.test("a filter has the subjects that NATS would take", () => {
  const subject = "log.s.07.t.acme.r.a";
  for (const filter of [subject, "log.s.07.t.acme.r.*", "log.s.*.t.*.r.a", "log.>", ">"]) {
    assert.equal(isOf(subject, filter), true, filter);
  }
  for (
    const filter of ["log.s.07.t.acme.r", `${subject}.>`, "log.s.07.t.bolt.r.*", `${subject}.*`]
  ) {
    assert.equal(isOf(subject, filter), false, filter);
  }
});

Deno.test("nothing is sure of the time before anybody listened, nor below a purge", () => {
  const purges = new Purges();
  assert.equal(purges.through("a.1"), Infinity);
  purges.listen(10);
  assert.equal(purges.through("a.1"), 10);
  purges.noteRequest("a.*", 1_000);
  assert.deepEqual([purges.through("a.1"), purges.through("b.1")], [Infinity, 10]);
  purges.note(20, 30_999);
  assert.equal(purges.through("a.1"), Infinity, "it may be under way");
  purges.note(30, 31_000);
  purges.note(40, 99_000);
  assert.deepEqual([purges.through("a.1"), purges.through("b.1")], [30, 10]);
  purges.noteRequest("a.*", 100_000);
  assert.equal(purges.through("a.1"), Infinity);
  purges.deafen();
  assert.equal(purges.through("b.1"), Infinity);
});

Deno.test("more filters than are remembered count as a purge of everything", () => {
  const purges = new Purges();
  purges.listen(0);
  for (let n = 0; n < 1_000; n++) purges.noteRequest(`a.${n}`, 0);
  assert.deepEqual([purges.through("a.999"), purges.through("b")], [Infinity, 0]);
  purges.noteRequest("a.1000", 0);
  assert.equal(purges.through("b"), Infinity);
  purges.note(50, 30_000);
  assert.deepEqual([purges.through("a.1"), purges.through("b")], [50, 50]);
});

// Pages of subjects, as the server returns them for a stream with very many.

const PATTERN = "log.t.acme.r.*";

/** A stream whose subjects come in pages; `asked` records where each began. */
function readingOf(rooms: readonly string[], page: number, requests: number[]): Reading {
  const counts = rooms.map((room) => [PATTERN.replace("*", room), 1] as const);
  const connection = {
    request(_subject: string, question: Uint8Array) {
      const { subjects_filter, offset } = JSON.parse(new TextDecoder().decode(question));
      assert.equal(subjects_filter, PATTERN);
      requests.push(offset);
      const subjects = Object.fromEntries(counts.slice(offset, offset + page));
      const answer = JSON.stringify({ state: { subjects }, total: counts.length });
      return Promise.resolve({ data: new TextEncoder().encode(answer) });
    },
  };
  const api = new LogApi({ connection } as unknown as Link);
  return { api, stream: "LOG", timeout_ms: 1 } as unknown as Reading;
}

Deno.test("rooms of all pages of subjects are candidates, and only the requested number is kept", async () => {
  const rooms = Array.from({ length: 95 }, (_, at) => `r-${String(at).padStart(2, "0")}`);
  const requests: number[] = [];
  const reading = readingOf(rooms.toReversed(), 10, requests);
  const read = (prefix: string, after: string, limit: number) =>
    readRooms(reading, PATTERN, { prefix, after, limit });
  assert.deepEqual(await read("r-", "", 3), { rooms: ["r-00", "r-01", "r-02"], more: true });
  assert.deepEqual(requests, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
  assert.deepEqual(await read("r-9", "r-90", 9), {
    rooms: ["r-91", "r-92", "r-93", "r-94"],
    more: false,
  });
  assert.deepEqual(
    await readRooms(readingOf([], 10, []), PATTERN, {
      prefix: "",
      after: "",
      limit: 1,
    }),
    { rooms: [], more: false },
  );
});

Deno.test("others have their turns while a page of very many subjects is read", async () => {
  const rooms = Array.from({ length: 100_000 }, (_, at) => `r-${at}`);
  const reading = readingOf(rooms, 100_000, []);
  const read = () => readRooms(reading, PATTERN, { prefix: "", after: "", limit: 1_000 });
  const { value, turns } = await turnsDuring(read);
  assert.deepEqual(value, { rooms: rooms.toSorted().slice(0, 1_000), more: true });
  assert.ok(turns > 20, String(turns));
});
