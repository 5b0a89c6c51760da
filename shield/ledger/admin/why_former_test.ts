/** A request keeps its turn to read stored ledgers until it is answered. */
import assert from "node:assert/strict";
import type { WhyUser } from "../../../shared/cluster/cluster_why.ts";
import { refusedWith } from "../../../shared/spine/testing/conformance.ts";
import { atEnd } from "../../../shared/testing/at_end.ts";
import { until } from "../../../shared/testing/until.ts";
import { lifeName, storeReads } from "../former_ledgers.ts";
import { FormerAnswers } from "./why_former.ts";
import { encodeMark, lifeKey } from "../../../shared/lives/life.ts";
import { Lives } from "../../../shared/lives/lives.ts";
import { testSpine } from "../../testing/spine.ts";

const NOW_MS = 1_767_323_045_000;
const BEGAN_MS = NOW_MS - 100_000;
const NONE = new Set<string>();
const FIND = { tenant: "acme", message_id: "m" };
const BOB: WhyUser = { tenant: "acme", user: "bob", messages: [], room: "hall", since_ms: 0 };

Deno.test("a request keeps its turn from its first read to its end; one without reads needs none", async () => {
  const { spine, [Symbol.asyncDispose]: dispose } = testSpine();
  await using _end = atEnd(() => dispose());
  const lives = new Lives(spine);
  const parts = { ledger: { until_ms: NOW_MS - 50_000, is_over: false } };
  const mark = encodeMark({ mark_ms: NOW_MS - 50_000, is_over: false, parts });
  await (await lives.bucket()).put(lifeKey("gone", BEGAN_MS), mark);
  const blocks = await spine.blocks("ledger", { max_bytes: 1e9, max_age_seconds: 3_600 });
  const reads = storeReads({ store_reads: 1, store_wait_ms: 1 });
  const former = {
    store: () => Promise.resolve(blocks),
    lives: () => lives.all(),
    reads,
    kept_ms: 3_600_000,
    now: () => NOW_MS,
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
