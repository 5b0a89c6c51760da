/**
 * A program that measures room commands on Brains and NATS as processes. Its argument is a plan as JSON; it
 * prints JSON. `rooms.ts` starts it.
 */
import type { Syncing } from "../measure/brains.ts";
import { type GrowthStep, measureGrowth } from "./rooms_growth.ts";
import { measurePace, type PacePlan, type PaceReport } from "./rooms_pace.ts";

/** The plan of the measurement. */
export interface RoomsPlan extends PacePlan {
  /** Number of rooms in the last step of growth. */
  readonly most: number;
}

/** The result of the measurement. */
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
