/**
 * Messages that grow while Shields are killed in the middle, on both engines: what readers have heard, and what
 * the room has in the end, is the source's text, byte for byte, and once.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import type { Connection } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { growing, stream } from "@arqon/sdk/streams";
import type { Growing } from "@arqon/sdk/streams";
import { pace } from "../shared/testing/pace.ts";
import { until } from "../shared/testing/until.ts";
import { killableEmbedded, killableOnNats } from "./kills/killable_bus.ts";
import type { KillableBus } from "./kills/killable_bus.ts";

const MESSAGES = 6;
const KILLS = 4;
const ROOM = "orders-chat";
/** Pieces of each message before the next kill, which waits for fewer: in the end a message is shorter than 65,536 bytes. */
const PIECES_A_KILL = 600;

const open = (bus: KillableBus, at: number): Promise<Connection> =>
  connect(
    {
      url: bus.urls[at % bus.urls.length]!,
      token: bus.token,
      backoff: { base_ms: 10, max_ms: 200 },
    } as Parameters<typeof connect>[0],
  );

/** Words with characters of one, two, three and four bytes, until `isEnough`; at most so many as `most` says. */
async function* words(
  name: string,
  isEnough: () => boolean,
  most: () => number,
  said: string[],
) {
  let at = 0;
  while (!isEnough()) {
    await pace(5);
    if (said.length >= most()) continue;
    const word = `${name}${at} ä€🦊 `;
    // A pair of surrogates is split now and then, as a model's tokens are.
    for (const piece of at % 7 === 0 ? [word.slice(0, -2), word.slice(-2)] : [word]) {
      said.push(piece);
      yield piece;
    }
    at++;
  }
}

async function overKills(bus: KillableBus): Promise<void> {
  let is_enough = false;
  let most = PIECES_A_KILL;
  const said = Array.from({ length: MESSAGES }, () => [] as string[]);
  const heard = new Map<string, Growing[]>();
  await using reader = await open(bus, 0);
  const stop = new AbortController();
  const reading = (async () => {
    for await (const one of growing(reader.room(ROOM), { signal: stop.signal })) {
      heard.set(one.id, [...heard.get(one.id) ?? [], one]);
    }
  })().catch((error) => {
    if (!stop.signal.aborted) throw error;
  });
  const writers = await Promise.all(said.map((_, at) => open(bus, at)));
  const ends = said.map((pieces, at) =>
    stream(writers[at]!.room(ROOM), words(`m${at}-`, () => is_enough, () => most, pieces), {
      id: `m${at}`,
    })
  );
  const grown = () => said.reduce((sum, pieces) => sum + pieces.length, 0);
  for (let turn = 0; turn < KILLS; turn++) {
    const before = grown();
    await until("they grow", () => grown() > before + 20 * MESSAGES);
    await bus.killOne(turn);
    most += PIECES_A_KILL;
  }
  is_enough = true;
  const ended = await Promise.all(ends);
  assert.deepEqual(ended.map(({ outcome }) => outcome), ended.map(() => "finished"));
  const last = (at: number) => heard.get(`m${at}`)?.at(-1);
  await until("all ends are heard", () => said.every((_, at) => last(at)?.state === "finished"));
  const { messages } = await history(reader.room(ROOM), { limit: 1000 });
  assert.equal(messages.length, MESSAGES);
  for (const [at, pieces] of said.entries()) {
    const text = pieces.join("");
    assert.equal(last(at)?.text, text);
    assert.equal(heard.get(`m${at}`)?.map(({ piece }) => piece).join(""), text);
    const stored = messages.filter(({ message_id }) => message_id.startsWith(`growing:m${at}:`));
    assert.deepEqual(stored.map((message) => message.text()), [text]);
  }
  stop.abort();
  await reading;
  for (const writer of writers) await writer.close();
}

Deno.test("messages grow over kills of an embedded bus", async () => {
  await using bus = await killableEmbedded();
  await overKills(bus);
});

Deno.test("messages grow over kills of Shields on NATS", async () => {
  await using bus = await killableOnNats();
  await overKills(bus);
});
