/** Requests about a user to Shields with different clocks. */
import assert from "node:assert/strict";
import { Answerer } from "../../../shared/cluster/cluster_answerer.ts";
import { ClusterAsker } from "../../../shared/cluster/cluster_asker.ts";
import { byOwnClock, WhyUser } from "../../../shared/cluster/cluster_why.ts";
import { QUIET } from "../../../shared/testing/logs.ts";
import { openEmbedded } from "../../../shared/spine/embedded/embedded.ts";
import { until } from "../../../shared/testing/until.ts";
import { random } from "../../fanout/testing/hub.ts";
import { Clocks, WhyQuestions } from "./why_ask.ts";

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
