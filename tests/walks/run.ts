/** Runs walks, and shrinks a failing one. */
import { inspect } from "node:util";
import { sayRow, tenantOf } from "../model/run.ts";
import { onlyRoom, type Plan, planOf, sayPlan, type Wish, withoutSteps } from "./plan.ts";
import { RoomWalk } from "./room_walk.ts";
import { TENANTS_MAX, type World } from "./world.ts";

/** A difference from the model. */
export interface Wrong {
  /** The number of the walk's room. */
  readonly room: number;
  /** The step in which it was found; absent: after the last. */
  readonly step: number | undefined;
  readonly facts: readonly string[];
}

/** The totals of a run. */
export interface Tally {
  walks: number;
  rooms: number;
  steps: number;
  operations: number;
  messages: number;
  readonly faults: Map<string, number>;
}

/** Empty totals. */
export const emptyTally = (): Tally => ({
  walks: 0,
  rooms: 0,
  steps: 0,
  operations: 0,
  messages: 0,
  faults: new Map(),
});

type Judged = (one: RoomWalk, room: number) => Promise<readonly string[]>;

/** The first failing room. */
async function firstWrong(
  rooms: readonly RoomWalk[],
  step: number | undefined,
  judged: Judged,
): Promise<Wrong | undefined> {
  const all = await Promise.all(
    rooms.map((one, room) => judged(one, room).catch((error: unknown) => [inspect(error)])),
  );
  const room = all.findIndex((facts) => facts.length > 0);
  return room < 0 ? undefined : { room, step, facts: all[room]! };
}

/** Runs a walk once; its tenants are numbered from there. Undefined: no difference from the model. */
export async function walk(
  world: World,
  plan: Plan,
  first: number,
  tally: Tally,
): Promise<Wrong | undefined> {
  await using stack = new AsyncDisposableStack();
  const { grounds, balanced } = world;
  const sidesOf = (at: number) => at % 2 === 0 ? grounds : [...grounds].reverse();
  const rooms = await Promise.all(
    plan.rows.map(async (row, at) => {
      const place = { sides: sidesOf(at), balanced, row, tenant: tenantOf(first + at) };
      return stack.use(await RoomWalk.open(place));
    }),
  );
  try {
    for (const [step, { fault, ops }] of plan.steps.entries()) {
      const { harm, strike } = world.faults[fault] ?? { harm: {}, strike: undefined };
      if (fault !== "") tally.faults.set(fault, (tally.faults.get(fault) ?? 0) + 1);
      const struck = strike?.();
      const wrong = await firstWrong(rooms, step, async (one, room) => {
        await one.run(ops[room]!, harm);
        await struck;
        return await one.settle();
      });
      await struck;
      tally.steps++;
      if (wrong !== undefined) return wrong;
    }
    return await firstWrong(rooms, undefined, async (one) => {
      const wrong = plan.is_counted ? await one.judgeUse(world.kills?.() ?? []) : [];
      return [...wrong, ...await one.end()];
    });
  } finally {
    tally.walks++;
    for (const { operations, messages } of rooms) {
      tally.rooms++;
      tally.operations += operations;
      tally.messages += messages;
    }
  }
}

/** Time in which further attempts to shrink a failing walk are started. */
const SHRINK_MS = 240_000;

/** The kind of a problem, without its message and reader. */
const kindOf = ({ facts: [fact = ""] }: Wrong): string =>
  fact.split(/[;\n]/)[0]!.replace(/\d+/g, "N").replace(/^\S+ of reader-N/, "a reader");

type Open = () => Promise<World>;

/** A shorter failing walk, and its problems: with only one room, then without steps. */
async function shrunk(open: Open, plan: Plan, wrong: Wrong, say: (line: string) => void) {
  const began_ms = performance.now();
  const isOver = () => performance.now() - began_ms > SHRINK_MS;
  let shortest = { plan, wrong };
  const isWrong = async (candidate: Plan): Promise<boolean> => {
    await using world = await open();
    const found = await walk(world, candidate, 0, emptyTally());
    const is_wrong = found !== undefined && kindOf(found) === kindOf(wrong);
    if (is_wrong) shortest = { plan: candidate, wrong: found };
    say(`${candidate.steps.length} steps of a room: ${found?.facts[0]?.slice(0, 80) ?? "right"}`);
    return is_wrong;
  };
  const end = (wrong.step ?? plan.steps.length) + 1;
  const alone = withoutSteps(onlyRoom(plan, wrong.room), end, Infinity);
  // Repeated, since some failures are random.
  if (!await isWrong(alone) && !await isWrong(alone)) return shortest;
  for (
    let size = Math.ceil(alone.steps.length / 2);
    size >= 1;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let to = shortest.plan.steps.length; to > 1 && !isOver(); to -= size) {
      await isWrong(withoutSteps(shortest.plan, to - size, to));
    }
  }
  return shortest;
}

function story(seed: number, { plan, wrong }: { plan: Plan; wrong: Wrong }): string {
  const room = plan.rows.length === 1 ? 0 : wrong.room;
  return [
    `seed ${seed}, room ${wrong.room} of ${plan.rows.length}, ${
      wrong.step === undefined ? "at the end" : `in step ${wrong.step}`
    }: ${wrong.facts[0]}`,
    ...wrong.facts.slice(1, 5).map((fact) => `  then ${fact}`),
    `row ${sayRow(plan.rows[room]!)}`,
    sayPlan(withoutSteps(onlyRoom(plan, room), (wrong.step ?? Infinity) + 1, Infinity)),
  ].join("\n");
}

/** The requested walks. */
export interface WalkWish extends Omit<Wish, "faults"> {
  readonly open: Open;
  /** No walk begins after that time, except the first. */
  readonly seconds: number;
  readonly tally: Tally;
  readonly say: (line: string) => void;
}

/** Runs walks with consecutive seeds. Returns the problems of the first failing one; empty if none. */
export async function runWalks(wish: WalkWish): Promise<string[]> {
  const { open, seconds, tally, say } = wish;
  const began_ms = performance.now();
  for (let { seed } = wish; seed === wish.seed || performance.now() - began_ms < seconds * 1_000;) {
    await using world = await open();
    for (let first = 0; seed === wish.seed || performance.now() - began_ms < seconds * 1_000;) {
      const plan = planOf({ ...wish, seed, faults: world.faults });
      if (first + plan.rows.length > TENANTS_MAX) break;
      const wrong = await walk(world, plan, first, tally);
      if (wrong !== undefined) {
        say(`seed ${seed} went wrong: ${wrong.facts[0]}; logs: ${world.keep?.() ?? "none"}`);
        const texts = [story(seed, { plan, wrong })];
        const shortest = await shrunk(open, plan, wrong, say);
        if (shortest.plan !== plan) texts.push(`made shorter: ${story(seed, shortest)}`);
        return texts;
      }
      await world.atRest();
      say(
        `seed ${seed}: ${plan.rows.length} rooms, ${plan.steps.length} steps are as the model says`,
      );
      first += plan.rows.length;
      seed++;
    }
  }
  return [];
}

/** The totals of a run, as text. */
export const sayTally = ({ walks, rooms, steps, operations, messages, faults }: Tally): string =>
  `${walks} walks, ${rooms} rooms, ${steps} steps, ${operations} operations, ${messages} messages, faults: ${
    [...faults].map(([name, count]) => `${name} ${count}`).join(", ")
  }`;
