/** The checks of `deno task chaos --focus site` find each planted fault, and none without one. */
import assert from "node:assert/strict";
import { judgeLog, judgeSights, type SentMessage, type Sight } from "./ledger.ts";

/** Messages 0 to `count` - 1, acknowledged at 10, 20, 30, … */
const sentTo = (count: number): SentMessage[] =>
  Array.from({ length: count }, (_, n) => ({ n, acked_ms: (n + 1) * 10 }));
const sightsOf = (...numbers: (number | string)[]): Sight[] =>
  numbers.map((one) =>
    typeof one === "number" ? { kind: "message", n: one } : { kind: "gap", reason: one }
  );

Deno.test("a log without a disaster has every acknowledged message, once and in order", () => {
  const judge = (...kept: number[]) => judgeLog({ room: "r", sent: sentTo(4) }, kept).problems;
  assert.deepEqual(judge(0, 1, 2, 3), []);
  assert.deepEqual(judge(0, 1, 3), ["r: 2 was acknowledged and is not there"]);
  assert.deepEqual(judge(0, 1, 1, 2, 3), ["r: 1 stands behind 1"]);
  assert.deepEqual(judge(0, 2, 1, 3), ["r: 1 stands behind 2"]);
  const unsure: SentMessage[] = [...sentTo(1), { n: 1 }];
  assert.deepEqual(judgeLog({ room: "r", sent: unsure }, [0]).problems, []);
  assert.deepEqual(judgeLog({ room: "r", sent: unsure }, [0, 1]).problems, []);
});

Deno.test("a disaster loses the latest messages, none from before the backup, and duplicates none", () => {
  const sent = sentTo(6);
  const disaster = { safe_ms: 20, lost_ms: 40 };
  const { lost, problems } = judgeLog({ room: "r", sent }, [0, 1, 4, 5], disaster);
  assert.deepEqual([lost.map(({ n }) => n), problems], [[2, 3], []]);
  assert.deepEqual(judgeLog({ room: "r", sent }, [0, 1, 4, 5]), { lost: [], problems: [] });
  const judge = (...kept: number[]) =>
    judgeLog({ room: "r", sent: sentTo(6) }, kept, disaster).problems;
  assert.deepEqual(judge(0, 4, 5), ["r: 1 was acknowledged and is not there"]);
  assert.deepEqual(judge(0, 1, 3, 4, 5), ["r: 2 is lost, and the later 3 is not"]);
  assert.deepEqual(judge(0, 1, 5), ["r: 4 was acknowledged and is not there"]);
});

Deno.test("a subscriber receives everything once and in order, or a notice", () => {
  const judge = (...sights: (number | string)[]) =>
    judgeSights({ room: "r", sent: sentTo(4), sights: sightsOf(...sights) });
  assert.deepEqual(judge(0, 1, 2, 3), []);
  assert.deepEqual(judge(0, "epoch-changed", 3), []);
  assert.deepEqual(judge(0, 1, "epoch-changed"), []);
  assert.deepEqual(judge(0, 3), ["r: 2 missed and not told, from 1 on"]);
  assert.deepEqual(judge(0, 1), ["r: 2 missed and not told, from 2 on"]);
  assert.deepEqual(judge(1, 2, 3), ["r: 1 missed and not told, from 0 on"]);
  assert.deepEqual(judge("epoch-changed", 0, 2, 3), ["r: 1 missed and not told, from 1 on"]);
  assert.deepEqual(judge(0, 1, 1, 2, 3), ["r: 1 came again or late"]);
  assert.deepEqual(judge(0, 2, 1, 3), [
    "r: 1 missed and not told, from 1 on",
    "r: 1 came again or late",
  ]);
});

Deno.test("one message that was on its way at a failover may be there twice, and no other", () => {
  const disaster = { safe_ms: 0, lost_ms: 20, forgets_ids: true };
  const sent = sentTo(4);
  assert.deepEqual(judgeLog({ room: "r", sent }, [0, 1, 2, 2, 3], disaster).problems, []);
  assert.deepEqual(judgeLog({ room: "r", sent }, [0, 1, 2, 2, 3]).problems, []);
  const judge = (...kept: number[]) => judgeLog({ room: "r", sent }, kept).problems;
  assert.deepEqual(judge(0, 1, 1, 2, 3), ["r: 1 stands behind 1"]);
  assert.deepEqual(judge(0, 1, 2, 3, 3), ["r: 3 stands behind 3"]);
  assert.deepEqual(judge(0, 1, 2, 3, 2), ["r: 2 stands behind 3"]);
  const judged = (...all: number[]) => judgeSights({ room: "r", sent, sights: sightsOf(...all) });
  assert.deepEqual(judged(0, 1, 2, 2, 3), []);
  assert.deepEqual(judged(0, 1, 1, 2, 3), ["r: 1 came again or late"]);
  assert.deepEqual(judged(0, 1, 2, 3, 2), ["r: 2 came again or late"]);
});
