/**
 * Answers that grow while Shields and the tabs of their readers are killed: what every reader hears, and what the
 * rooms store, is the source's text; then answers that are stopped on another device, and how long that takes.
 */
import { connect } from "@arqon/sdk";
import type { Connection } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { stream } from "@arqon/sdk/streams";
import { pace } from "../../shared/testing/pace.ts";
import { becomes, until } from "../../shared/testing/until.ts";
import type { Say } from "../harness/task.ts";
import type { Verdict } from "../harness/verdict.ts";
import { readRoom } from "./reader.ts";
import type { Heard, Open } from "./reader.ts";
import { MASKED, piecesOf, PLAIN, textOf } from "./sources.ts";
import { stopMany } from "./stops.ts";
import { Tabs } from "./tabs.ts";
import { startWorld } from "./world.ts";
import type { World } from "./world.ts";

/** What a run does. */
export interface GrowingPlan {
  readonly answers: number;
  /** So many grow at once. */
  readonly at_once: number;
  /** Shields are killed after so many answers have begun since the last time. */
  readonly answers_per_kill: number;
  readonly stops: number;
}

const ROOMS = [0, 1, 2, 3].flatMap((at) => [`${PLAIN}-${at}`, `${MASKED}-${at}`]);
const BACKOFF = { base_ms: 10, max_ms: 200 };
/** Between two pieces of a source, in ms. */
const PIECE_MS = 10;
/** How long the ends are waited for, in ms. */
const ENDS_MS = 120_000;
/** Who has heard nothing of an answer for so long was away from its beginning to its end, in ms. */
const AWAY_MS = 5_000;

interface Answer {
  readonly id: string;
  readonly room: string;
}

/** Runs the plan; `say` hears how far it is. */
export async function runGrowing(
  plan: GrowingPlan,
  say: Say,
): Promise<Verdict & { readonly report: readonly string[] }> {
  await using world = await startWorld();
  const answers = Array.from({ length: plan.answers }, (_, at): Answer => {
    return { id: `a${at}`, room: ROOMS[at % ROOMS.length]! };
  });
  const chaos = await grow(world, plan, answers, say);
  const problems = [...chaos.problems, ...await storedProblems(world, answers)];
  const times = await stopMany(world, plan.stops);
  const at = (share: number) => (times[Math.ceil(share * times.length) - 1] ?? 0).toFixed(0);
  return {
    problems,
    report: [
      `answers                              ${plan.answers}, ${chaos.pieces} pieces`,
      `Shields killed; tabs killed          ${chaos.killed}; ${chaos.tabs_killed} times ${ROOMS.length}`,
      `heard to their end by who stayed     ${chaos.heard}, of all whose beginning they heard`,
      `heard to their end by killed tabs    ${chaos.tabs_heard}, ${chaos.joined} from the middle`,
      `stopped on another device            ${times.length}: p50 ${at(0.5)} ms, p99 ${
        at(0.99)
      } ms, ` +
      `longest ${at(1)} ms`,
    ],
  };
}

/** What was heard, and what was wrong with it. */
class Books {
  readonly problems: string[] = [];
  readonly stayed = new Set<string>();
  /** What they have heard the beginning of. */
  readonly open: Open = new Map();
  tabs_heard = 0;
  joined = 0;

  byWhoStayed = (heard: Heard) => {
    this.#judge("who stayed", heard);
    if (this.stayed.has(heard.id)) this.problems.push(`who stayed: ${heard.id} ended twice`);
    this.stayed.add(heard.id);
  };

  byTab = (heard: Heard) => {
    this.#judge("a tab", heard);
    this.tabs_heard++;
    if (heard.is_joined) this.joined++;
  };

  #judge(who: string, { id, problem }: Heard): void {
    if (problem !== "") this.problems.push(`${who}: ${id}: ${problem}`);
  }
}

async function grow(world: World, plan: GrowingPlan, answers: readonly Answer[], say: Say) {
  const books = new Books();
  const over = new AbortController();
  const token = await world.tokenFor("reader");
  const readers = await Promise.all(
    world.urls.map((url) => connect({ url, token, backoff: BACKOFF, initial_attempts: Infinity })),
  );
  const reading = ROOMS.map((room, at) =>
    readRoom(readers[at % readers.length]!, room, over.signal, books.byWhoStayed, books.open)
  );
  const tabs = new Tabs(world.urls, token, ROOMS, books.byTab);
  tabs.open();
  const told = { begun: 0, pieces: 0, killed: 0 };
  const writing = write(world, plan, answers, told, books.problems);
  const hurting = hurt(world, plan, tabs, told, say);
  await writing;
  await hurting;
  const began_ms = performance.now();
  await becomes(() => {
    const is_late = books.open.size === 0 && performance.now() - began_ms > AWAY_MS;
    return is_late || books.stayed.size === answers.length;
  }, ENDS_MS);
  for (const id of books.open.keys()) {
    books.problems.push(`who stayed has not heard the end of ${id}`);
  }
  const tabs_killed = tabs.killed;
  await tabs.kill();
  over.abort();
  await Promise.all(reading);
  await Promise.all(readers.map((reader) => reader.close()));
  const { problems, tabs_heard, joined, stayed } = books;
  const { pieces, killed } = told;
  return {
    problems,
    tabs_heard,
    joined,
    heard: stayed.size,
    pieces,
    killed,
    tabs_killed,
  };
}

type Told = { begun: number; pieces: number; killed: number };

/** Writes all answers, so many at once, each by the connection of its turn. */
async function write(
  world: World,
  plan: GrowingPlan,
  answers: readonly Answer[],
  told: Told,
  problems: string[],
): Promise<void> {
  const left = answers.values();
  await Promise.all(Array.from({ length: plan.at_once }, async (_, turn) => {
    const url = world.urls[turn % world.urls.length]!;
    await using bus = await connect({
      ...{ url, token: await world.tokenFor(`model-${turn}`), backoff: BACKOFF },
      initial_attempts: Infinity,
    });
    for (const { id, room } of left) {
      told.begun++;
      try {
        const { outcome } = await stream(bus.room(room), said(id, told), { id });
        if (outcome !== "finished") problems.push(`${id}: ${outcome}`);
      } catch (error) {
        problems.push(`${id}: ${error}`);
      }
    }
  }));
  told.begun = Infinity;
}

async function* said(id: string, told: Told): AsyncGenerator<string, void> {
  for (const piece of piecesOf(id)) {
    told.pieces++;
    yield piece;
    await pace(PIECE_MS);
  }
}

/** Kills a Shield or all tabs whenever so many answers more have begun, until all have. */
async function hurt(
  world: World,
  { answers_per_kill }: GrowingPlan,
  tabs: Tabs,
  told: Told,
  say: Say,
): Promise<void> {
  for (let turn = 0, next = answers_per_kill;; next += answers_per_kill) {
    await until(`answer ${next} begins`, () => told.begun >= next, ENDS_MS);
    const { begun } = told;
    if (begun === Infinity) return;
    await tabs.kill();
    tabs.open();
    await world.killOne(turn++);
    told.killed++;
    say(`${begun} answers have begun; Shield ${turn % 2} and all tabs were killed`);
  }
}

/** What is wrong in the rooms' logs: each answer is there once, with the source's text. */
async function storedProblems(world: World, answers: readonly Answer[]): Promise<string[]> {
  await using bus = await connect({ url: world.urls[0]!, token: await world.tokenFor("reader") });
  const stored = new Map<string, string[]>();
  for (const room of ROOMS) {
    for await (const message of historyOf(bus, room)) {
      const id = message.message_id.split(":")[1]!;
      stored.set(id, [...stored.get(id) ?? [], message.text()]);
    }
  }
  return answers.flatMap(({ id, room }) => {
    const [text, ...more] = stored.get(id) ?? [];
    if (text === undefined) return [`${id} is not in its room`];
    if (more.length > 0) return [`${id} is in its room ${more.length + 1} times`];
    return text === textOf(room, id) ? [] : [`${id} is stored with another text`];
  });
}

async function* historyOf(bus: Connection, room: string) {
  for (let after = 0;;) {
    const { messages } = await history(bus.room(room), { after, limit: 1_000 });
    yield* messages;
    if (messages.length === 0) return;
    after = Number(messages.at(-1)!.offset);
  }
}
