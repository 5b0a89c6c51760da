/**
 * The script `deno task chaos --focus bridge`: writers commit and roll back as fast as the database allows, while the
 * database, the bus and two bridges are killed; in the end each room has the committed messages, once and in order.
 */
import { pace } from "../../shared/testing/pace.ts";
import { becomes } from "../../shared/testing/until.ts";
import type { Say } from "../harness/task.ts";
import type { Verdict } from "../harness/verdict.ts";
import { createRandom, type Random } from "../../shared/testing/seeded.ts";
import { openWorld, ROOMS, shown, startBridge, storedIn, wantedOf, writing } from "./world.ts";
import type { Bridge, World } from "./world.ts";

/** The parameters of a run. */
export interface BridgePlan {
  /** The least number of committed transactions. */
  readonly transactions: number;
  readonly writers: number;
  /** Transactions in one session of a writer. */
  readonly batch: number;
  readonly seed: number;
  /** Between two kills, in ms. */
  readonly calm_ms: readonly [least: number, most: number];
}

/** A killed session is retried after this time. */
const RETRY_MS = 250;
/** How long an incomplete room may receive nothing. */
const SETTLE_MS = 120_000;

interface Run {
  readonly world: World;
  readonly random: Random;
  readonly bridges: Bridge[];
  readonly say: Say;
  is_over: boolean;
}

/** Commits until the database has this many transactions; a killed session does not matter. */
async function write({ world: { database } }: Run, { transactions, writers, batch }: BridgePlan) {
  let next = 1;
  const one = async (w: number) => {
    for (;;) {
      const count = await database.sql("select count(*) from done").catch(() => "0");
      if (Number(count) >= transactions) return;
      const from = next;
      next += batch;
      await database.sql(`set synchronous_commit = off;\n${writing(w, from, batch)}`).catch(() =>
        pace(RETRY_MS)
      );
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, w) => one(w)));
}

/** Kills one thing after the other, and starts it again. */
async function hurt(run: Run, { calm_ms: [least, most] }: BridgePlan): Promise<number> {
  const { world, random, bridges, say } = run;
  let kills = 0;
  for (;; kills++) {
    await pace(random.int(least, most));
    if (run.is_over) return kills;
    const at = random.int(0, bridges.length - 1);
    const what = random.pick(["bridge", "bridge", "bus", "database"] as const);
    say(`kill ${what === "bridge" ? `bridge ${at}` : what}`);
    if (what === "bus") await world.restartBus();
    else if (what === "database") {
      await world.database.kill();
      await world.database.start();
    } else {
      await bridges[at]!.stop("SIGKILL");
      bridges[at] = await bridge(world);
    }
  }
}

const bridge = ({ folder, database, url }: World) => startBridge(folder, database.url, url);

/** The problems of the rooms, once no more messages arrive. */
async function compare({ world: { database, peer } }: Run): Promise<string[]> {
  const wanted = await wantedOf(database);
  const problems: string[] = [];
  for (const [at, room] of ROOMS.entries()) {
    const want = wanted[at]!;
    let stored = await storedIn(peer, room);
    for (let is_more = true; is_more && stored.length < want.length;) {
      is_more = await becomes(async () => {
        const more = await storedIn(peer, room, stored.at(-1)?.offset);
        stored = stored.concat(more);
        return more.length > 0;
      }, SETTLE_MS);
    }
    const got = shown(stored.concat(await storedIn(peer, room, stored.at(-1)?.offset)));
    const differs = want.findIndex((one, place) => got[place] !== one);
    if (differs >= 0) {
      problems.push(`${room}: ${differs}: ${got[differs]} instead of ${want[differs]}`);
    }
    if (got.length > want.length) problems.push(`${room}: ${got.length} of ${want.length}`);
  }
  return problems;
}

/** Runs everything; undefined: there is no PostgreSQL. */
export async function runBridges(plan: BridgePlan, say: Say): Promise<Verdict | undefined> {
  await using world = await openWorld(plan.transactions);
  if (world === undefined) return undefined;
  const random = createRandom(plan.seed);
  await world.database.sql("create table done (id bigserial, w int, n int)");
  // Without a slot, nobody follows what is committed.
  const first = await bridge(world);
  await first.says("following");
  const bridges = [first, await bridge(world)];
  const run: Run = { world, random, bridges, say, is_over: false };
  const hurting = hurt(run, plan);
  const began_ms = Date.now();
  await write(run, plan);
  run.is_over = true;
  const kills = await hurting;
  const committed = await world.database.sql("select count(*) from done");
  say(
    `${committed} transactions in ${Math.round((Date.now() - began_ms) / 1_000)} s, ${kills} kills`,
  );
  const problems = await compare(run);
  say(`compared after ${Math.round((Date.now() - began_ms) / 1_000)} s`);
  const refused = await world.database.sql("select count(*) from arqon.refused");
  if (refused !== "0") problems.push(`${refused} refused`);
  for (const { lines } of problems.length > 0 ? bridges : []) {
    problems.push(`it says ${lines.at(-1)}`);
  }
  for (const one of bridges) await one.stop();
  return { problems, seed: plan.seed };
}
