// Rare orders of events in a loop that begins with stored messages, with a scripted peer. `replay_bus_test.ts` uses a
// real bus, and the vectors of positions have each page.
import assert from "node:assert/strict";
import { plainEnvelope, readHistoryQuery, writeEnvelope, writeHistory } from "@arqon/proto";
import type { HistoryQuery, Uint64 } from "@arqon/proto";
import { until } from "../../../shared/testing/until.ts";
import { connect, type Message, type Subscription } from "../mod.ts";
import { replay } from "../history.ts";
import { CLEAN } from "../testing/counted.ts";
import { type Line, placesOf, quick, refusedWith } from "../testing/scripted_peer.ts";
import { ROOM, startRoom } from "../testing/scripted_peer.ts";

const encoder = new TextEncoder();
const shown = ({ offset, signal }: Message) => signal?.reason ?? Number(offset);

/** A room with these offsets; `answer` may delay a history's answer, or act before it. */
function storedRoom(
  stored: number[],
  standing: (count: number) => object | undefined,
  answer: (line: Line, send: () => void) => void = (_, send) => send(),
) {
  const reply = (line: Line, request_id: Uint64, { after, before, reverse }: HistoryQuery) => {
    const fitting = stored.filter((offset) => offset > after && (before === 0 || offset < before));
    const ordered = reverse ? fitting.toReversed() : fitting;
    const messages = ordered.slice(0, 2).map((offset) =>
      writeEnvelope({
        room_id: ROOM,
        sender_id: "ann",
        offset,
        timestamp_ms: 1_000,
        event: { type: "x", data: encoder.encode(String(offset)) },
      })
    );
    const page = { messages, offset: stored.at(-1) ?? 0, epoch: "e1", more: ordered.length > 2 };
    line.answer(request_id, writeHistory(page));
  };
  return startRoom((line, subscribe, count) => {
    const stands = standing(count);
    if (stands) line.accept(subscribe, stands);
  }, (line, operation) => {
    if (operation.kind !== "publish") return;
    const { request_id, command } = plainEnvelope(operation.envelope);
    answer(line, () => reply(line, request_id, readHistoryQuery(command!.data)));
  });
}

const secondSub = ({ subs }: { readonly subs: readonly unknown[] }): Promise<void> =>
  until("a second SUB", () => subs.length >= 2);

async function taken(loop: Subscription, count: number): Promise<unknown[]> {
  const items: unknown[] = [];
  while (items.length < count) items.push(shown((await loop.next()).value as Message));
  return items;
}

Deno.test(
  "a SUB accepted only after the history was read misses nothing in between",
  CLEAN,
  async () => {
    await using peer = storedRoom([3], (count) => {
      return count === 1 ? undefined : { offset: 4, epoch: "e1", recovered: true };
    });
    await using connection = await connect(quick(peer.url).options);
    const loop = connection.room(ROOM).subscribe({ begin: replay({ last: 1 }) });
    assert.deepEqual(await taken(loop, 1), [3]);
    // Meanwhile 4 was stored, before the subscription began: only a position recovers it.
    peer.line.accept(peer.subs[0]!, { offset: 4, epoch: "e1" });
    await secondSub(peer);
    assert.deepEqual(placesOf(peer.subs), [[0, ""], [3, "e1"]]);
    peer.line.message(4, "in between");
    assert.deepEqual(await taken(loop, 1), [4]);
  },
);

Deno.test(
  "a loop that is behind reads pages: a SUB would deliver the rest at once",
  CLEAN,
  async () => {
    const stored = [3, 4, 5];
    await using peer = storedRoom(stored, (count) => ({
      offset: 7,
      epoch: "e1",
      ...(count > 1 && { recovered: true }),
    }));
    await using connection = await connect(quick(peer.url).options);
    const loop = connection.room(ROOM).subscribe({ begin: replay({ from: "start" }), buffer: 4 });
    await until("the last page", () => loop.offset === 5);
    stored.push(6, 7);
    assert.deepEqual(await taken(loop, 3), [3, 4, 5]);
    await secondSub(peer);
    assert.deepEqual(placesOf(peer.subs), [[0, ""], [7, "e1"]]);
    assert.deepEqual(await taken(loop, 2), [6, 7]);
  },
);

Deno.test(
  "a SUB after the history that is permanently refused ends the loop, which would miss messages",
  CLEAN,
  async () => {
    await using peer = storedRoom(
      [3],
      (count) => count === 1 ? { offset: 3, epoch: "e1" } : undefined,
    );
    await using connection = await connect(quick(peer.url).options);
    const loop = connection.room(ROOM).subscribe({ begin: replay({ from: "start" }) });
    assert.deepEqual(await taken(loop, 1), [3]);
    await secondSub(peer);
    peer.line.refuse(peer.subs[1]!, 403, "not-granted");
    peer.line.message(5, "live");
    await assert.rejects(loop.next(), refusedWith("not-granted"));
  },
);

Deno.test(
  "changes of the room's state lost while the history is read are reported",
  CLEAN,
  async () => {
    await using peer = storedRoom([3], (count) => ({
      offset: 3,
      epoch: "e1",
      ...(count > 1 && { recovered: true }),
    }), (line, send) => {
      for (const reason of ["changes-lost", "slow-consumer"]) line.gap(reason);
      send();
    });
    await using connection = await connect(quick(peer.url).options);
    const loop = connection.room(ROOM).subscribe({ begin: replay({ from: "start" }) });
    assert.deepEqual(await taken(loop, 1), ["changes-lost"]);
    assert.deepEqual(await taken(loop, 1), [3]);
  },
);
