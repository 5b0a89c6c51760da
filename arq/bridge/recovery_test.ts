/**
 * Bridges that are killed again and again, on a database and a bus simulated here. However soon each dies and however
 * rarely it saves its position, it makes progress by what it published, reads no further back than its newest message,
 * and each room gets everything once and in commit order. The simulated bus does not recognize repetitions.
 */
import assert from "node:assert/strict";
import { seeded } from "../../shared/testing/seeded.ts";
import type { BridgeBus, Committed, StoredMessage } from "./bus.ts";
import { type Lsn, signatureOf, type WalChange } from "./wal.ts";
import { Intake } from "./intake.ts";
import { Publisher } from "./publisher.ts";
import type { Standing } from "./database.ts";

const NOW_MS = 1_000_000_000;
const KEY = new Uint8Array(64);
const SOURCE = "7-00000001-5";
const ROOMS = ["a", "b", "c"];
const PAGE = 16;

interface Stored extends StoredMessage {
  /** The room, for a message of the bridge. */
  readonly wanted?: string;
}

/**
 * Transactions with up to three messages each, and the messages that each room must get. Half-way its clock is set
 * back.
 */
function databaseWith({ transactions, set_back_ms }: Case, random: () => number) {
  const log: WalChange[][] = [];
  const wanted = new Map<string, string[]>(ROOMS.map((room) => [room, []]));
  for (let n = 1; n <= transactions; n++) {
    const now_ms = n > transactions / 2 ? NOW_MS - set_back_ms : NOW_MS;
    const rooms = Array.from(
      { length: 1 + Math.floor(random() * 3) },
      () => ROOMS[Math.floor(random() * ROOMS.length)]!,
    );
    const changes: WalChange[] = [
      // Commit times are sometimes out of order.
      { kind: "begin", lsn: BigInt(n * 16), commit_ms: now_ms + n - (n % 3) * 40, xid: n },
      ...rooms.map((room, at) => {
        const json = `{"n":${n},"at":${at}}`;
        wanted.get(room)!.push(json);
        const content = JSON.stringify({ room, type: "order", json, message_id: null });
        const bytes = new TextEncoder().encode(content);
        return {
          ...{ kind: "message", prefix: "arqon" } as const,
          content: new Uint8Array([...signatureOf(bytes, KEY, n), ...bytes]),
        };
      }),
      { kind: "commit", end_lsn: BigInt(n * 16 + 8) },
    ];
    log.push(changes);
  }
  return { log, wanted, end_lsn: BigInt(transactions * 16 + 8) };
}

/** Rooms in which others publish too. */
class Rooms {
  readonly stored = new Map<string, Stored[]>(ROOMS.map((room) => [room, []]));
  /** Pages that were read. */
  pages = 0;

  /** A bridge's bus; the bridge is killed when it has stored `left` messages. */
  bus(left: number, kill: () => void, others: () => number): BridgeBus {
    const { stored } = this;
    const read = () => this.pages++;
    return {
      sender: "bridge",
      publish({ room, data, message_id, headers }: Omit<Committed, "place">) {
        if (left-- <= 0) return Promise.reject(new Error("dead"));
        const all = stored.get(room)!;
        all.push({ message_id, sender: "bridge", headers, wanted: data });
        for (let n = others(); n > 0; n--) all.push({ message_id: "", sender: "x", headers });
        if (left > 0) return Promise.resolve();
        // It is stored, but not acknowledged.
        kill();
        return Promise.reject(new Error("dead"));
      },
      async *storedBack(room_id) {
        const all = stored.get(room_id)!.toReversed();
        for (let from = 0; from < all.length; from += PAGE) {
          read();
          yield await Promise.resolve({
            messages: all.slice(from, from + PAGE),
            oldest_ms: NOW_MS,
          });
        }
      },
    };
  }
}

/** Runs one bridge from the saved position until it is killed or has nothing left; returns the settled position. */
async function live(
  { log, end_lsn }: ReturnType<typeof databaseWith>,
  rooms: Rooms,
  [noted, kill_after]: readonly [noted: Lsn, kill_after: number],
  others: () => number,
): Promise<Lsn> {
  const dying = new AbortController();
  const bus = rooms.bus(kill_after, () => dying.abort(), others);
  const standing: Standing = { lsn: noted, is_known: true, end_lsn, source: SOURCE, key: KEY };
  const ignore = () => {};
  const publisher = new Publisher({
    bus,
    origin: standing,
    signal: dying.signal,
    monotonic_ms: () => 0,
    onOver: ignore,
    onProblem: ignore,
    onRefused: () => Promise.resolve(),
  });
  const intake = new Intake({ standing, publisher, onWaiting: ignore });
  for (const changes of log) {
    const [begin] = changes;
    if (begin?.kind === "begin" && begin.lsn < noted) continue;
    for (const change of changes) intake.take(change);
  }
  await intake.settled();
  return intake.progress.done_lsn;
}

interface Case {
  readonly transactions: number;
  readonly kill_after: number;
  /** How often a bridge survives to save its position, 0 to 1. */
  readonly notes: number;
  readonly others: boolean;
  readonly set_back_ms: number;
}

async function runCase(one: Case): Promise<void> {
  const { kill_after, notes, others, set_back_ms } = one;
  const random = seeded(kill_after);
  const database = databaseWith(one, random);
  const total = [...database.wanted.values()].flat().length;
  const rooms = new Rooms();
  let noted = 0n;
  const most_lives = Math.ceil(total / kill_after) + 1;
  for (let lives = 1; noted < database.end_lsn; lives++) {
    assert.ok(lives <= most_lives, `life ${lives} of ${most_lives}`);
    const pages = rooms.pages;
    const done = await live(
      database,
      rooms,
      [noted, kill_after],
      () => others ? Math.floor(random() * 30) : 0,
    );
    const most_pages = ROOMS.length * (others ? 3 : 1);
    // After a step a room is read once as a whole.
    if (set_back_ms === 0) {
      assert.ok(rooms.pages - pages <= most_pages, `${rooms.pages - pages} pages of one life`);
    }
    if (done === database.end_lsn || random() < notes) noted = done;
  }
  for (const [room, all] of rooms.stored) {
    const got = all.flatMap(({ wanted }) => wanted === undefined ? [] : [wanted]);
    assert.deepEqual(got, database.wanted.get(room));
  }
}

for (const others of [false, true]) {
  const beside = others ? ", beside others who publish" : "";
  Deno.test(`bridges that die with every Nth message come to the end, whatever N and however little is noted${beside}`, async () => {
    // 30 transactions are some 60 messages: each room has more than a page of them.
    for (const kill_after of [1, 2, 3, 7, 40, 59, 10_000]) {
      for (const notes of [0, 0.2, 1]) {
        for (const set_back_ms of [0, 20_000]) {
          await runCase({ transactions: 30, kill_after, notes, others, set_back_ms });
        }
      }
    }
  });
}
