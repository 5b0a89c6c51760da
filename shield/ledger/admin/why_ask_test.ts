/** Requests about a user: to Shields with different clocks, and in their turn to read stored ledgers. */
import assert from "node:assert/strict";
import { Answerer } from "../../../shared/cluster/cluster_answerer.ts";
import { ClusterAsker } from "../../../shared/cluster/cluster_asker.ts";
import { byOwnClock, WhyUser } from "../../../shared/cluster/cluster_why.ts";
import { QUIET } from "../../../shared/testing/logs.ts";
import { openEmbedded } from "../../../shared/spine/embedded/embedded.ts";
import { until } from "../../../shared/testing/until.ts";
import { random } from "../../fanout/testing/hub.ts";
import { Clocks, WhyQuestions } from "./why_ask.ts";
import { refusedWith } from "../../../shared/spine/testing/conformance.ts";
import { atEnd } from "../../../shared/testing/at_end.ts";
import { lifeName, storeReads } from "../former_ledgers.ts";
import { FormerAnswers } from "./why_former.ts";
import { encodeMark, lifeKey } from "../../../shared/lives/life.ts";
import { Lives } from "../../../shared/lives/lives.ts";
import { SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";

const NOW_MS = 1_700_000_000_000;
const HOUR_MS = 3_600_000;
const OF = { node_id: "one", kind: "shield" as const, now: () => NOW_MS };
const log = QUIET;

/**
 * Asks two Shields for a user's messages of a room in the last minute; returns which were silent, and the start used by
 * the other one.
 */
async function askedOf(other_ms: number) {
  const spine = openEmbedded({ log, now: OF.now });
  const since: (number | undefined)[] = [];
  const answer = (now_ms: number) => ({
    why_user(params: unknown) {
      const { since_ms } = byOwnClock(WhyUser.parse(params), now_ms);
      if (now_ms === other_ms) since[0] = since_ms;
      return { since_ms: 0, now_ms, rows: [], refusals: [] };
    },
    why_room: () => ({ since_ms: 0, now_ms, rows: [] }),
  });
  const common = { ...OF, spine, log };
  const own = new Answerer({ ...common, handlers: answer(NOW_MS) });
  const asker = new ClusterAsker({ ...common, answerer: own, random });
  const other = new Answerer({ ...common, node_id: "two", handlers: answer(other_ms) });
  try {
    await until("both are known", async () => {
      await asker.hello();
      return asker.isKnown("two");
    });
    const query = { tenant: "acme", user: "bob", room: "hall", messages: [] };
    const { nodes } = await new WhyQuestions(asker, new Clocks("one")).ask(
      { ...query, since_ms: NOW_MS - 60_000, now_ms: NOW_MS },
      () => Promise.resolve({ former: [], logged: [] }),
    );
    return { silent: nodes.silent, since_ms: since[0] };
  } finally {
    for (const one of [own, other, asker]) one.close();
    await spine.drain();
  }
}

Deno.test("a Shield with another clock is asked in its own time", async () => {
  const other_ms = NOW_MS + 2 * HOUR_MS;
  const { silent, since_ms } = await askedOf(other_ms);
  assert.deepEqual([silent, since_ms], [[], other_ms - 60_000]);
});

// Clock differences, as requests and answers show them.

const answered = (node_id: string, asked_ms: number, received_ms: number, now_ms: number) => ({
  answers: [{ node_id, kind: "shield" as const, value: { now_ms } }],
  nodes: { answered: [node_id], silent: [] },
  asked_ms,
  received_ms: new Map([[node_id, received_ms]]),
});

Deno.test("a clock's lead is known within the duration of an answer, and more exactly with each answer", () => {
  const clocks = new Clocks("one");
  clocks.note(answered("one", 100, 140, 120));
  assert.deepEqual(clocks.of("one"), { ahead_ms: 0, within_ms: 0 });
  assert.equal(clocks.of("two"), undefined);
  assert.equal(clocks.here("two", 7), 7);
  // It read 5,060 between 100 and 140: it is ahead by 4,920 to 4,960.
  clocks.note(answered("two", 100, 140, 5_060));
  assert.deepEqual(clocks.of("two"), { ahead_ms: 4_940, within_ms: 20 });
  assert.equal(clocks.here("two", 5_000), 60);
  clocks.note(answered("two", 200, 210, 5_140));
  assert.deepEqual(clocks.of("two"), { ahead_ms: 4_935, within_ms: 5 });
  // It jumped meanwhile: the earlier result is wrong.
  clocks.note(answered("two", 300, 302, 301));
  assert.deepEqual(clocks.of("two"), { ahead_ms: 0, within_ms: 1 });
});

// A request keeps its turn to read stored ledgers until it is answered.

const BEGAN_MS = SPINE_NOW_MS - 100_000;
const NONE = new Set<string>();
const FIND = { tenant: "acme", message_id: "m" };
const BOB: WhyUser = { tenant: "acme", user: "bob", messages: [], room: "hall", since_ms: 0 };

Deno.test("a request keeps its turn from its first read to its end; one without reads needs none", async () => {
  const { spine, [Symbol.asyncDispose]: dispose } = testSpine();
  await using _end = atEnd(() => dispose());
  const lives = new Lives(spine);
  const parts = { ledger: { until_ms: SPINE_NOW_MS - 50_000, is_over: false } };
  const mark = encodeMark({ mark_ms: SPINE_NOW_MS - 50_000, is_over: false, parts });
  await (await lives.bucket()).put(lifeKey("gone", BEGAN_MS), mark);
  const blocks = await spine.blocks("ledger", { max_bytes: 1e9, max_age_seconds: 3_600 });
  const reads = storeReads({ store_reads: 1, store_wait_ms: 1 });
  const former = {
    store: () => Promise.resolve(blocks),
    lives: () => lives.all(),
    reads,
    kept_ms: 3_600_000,
    now: () => SPINE_NOW_MS,
  };
  const first = new FormerAnswers({ former }, "acme");
  await first.find(FIND, new Set(["lives 1"]));
  await first.rooms(BOB, NONE);
  const { shown } = await first.tell(BOB, NONE, () => []);
  assert.deepEqual(shown.map(({ node_id, state }) => `${node_id} ${state}`), ["gone killed"]);
  assert.equal(reads.running, 1);
  const second = new FormerAnswers({ former }, "acme");
  await assert.rejects(second.find(FIND, NONE), refusedWith("too-many-pending"));
  second[Symbol.dispose]();
  const idle = new FormerAnswers({ former }, "acme");
  assert.deepEqual(await idle.find(FIND, new Set([lifeName("gone", BEGAN_MS)])), []);
  idle[Symbol.dispose]();
  assert.equal(reads.running, 1, "neither has ended the first one's turn");
  first[Symbol.dispose]();
  await until("the turn has ended", () => reads.running === 0);
  using third = new FormerAnswers({ former }, "acme");
  assert.equal((await third.find(FIND, NONE)).length, 1);
});
