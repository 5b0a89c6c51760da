/**
 * A program that measures room commands on Brains and NATS as processes. Its argument is a plan as
 * JSON; prints JSON. `rooms.ts` starts it.
 */
import type { Syncing } from "../measure/brains.ts";
import { type GrowthStep, measureGrowth } from "./rooms_growth.ts";
import { measurePace, type PacePlan, type PaceReport } from "./rooms_pace.ts";

/** What is asked for. */
export interface RoomsPlan extends PacePlan {
  /** Rooms of the last step of growth. */
  readonly most: number;
}

/** What it came to. */
export interface RoomsReport {
  readonly pace: Readonly<Record<Syncing, PaceReport>>;
  readonly growth: readonly GrowthStep[];
}

async function run({ most, ...plan }: RoomsPlan): Promise<RoomsReport> {
  const pace = { each: await measurePace(plan, "each"), later: await measurePace(plan, "later") };
  return { pace, growth: await measureGrowth(most) };
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(JSON.parse(Deno.args[0] ?? ""))));
  Deno.exit(0);
}
