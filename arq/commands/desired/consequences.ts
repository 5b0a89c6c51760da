/**
 * What a change would have done to a window that has passed: the recorded calls of each policy whose module
 * changes are repeated with the new one. Changes of other kinds are not repeated.
 */
import { configFrom } from "../../../shared/config/load.ts";
import type { Admin } from "../../bus/admin.ts";
import type { Consequence } from "../../desired/consequence_text.ts";
import type { Change } from "../../desired/difference.ts";
import type { Desired } from "../../desired/state.ts";
import { busChunks, busModules } from "../../replay/bus_replay.ts";
import { fuelFigures } from "../../replay/fuel_histogram.ts";
import { createModuleBook, readyModule } from "../../replay/replay_modules.ts";
import { replay } from "../../replay/replay_run.ts";
import { sumOf } from "../../replay/tally.ts";
import type { Io } from "../../terminal/io.ts";

/** Repeats one policy's calls with the module that it is to have. */
async function consequenceOf(
  io: Io,
  admin: Admin,
  { tenant, policy, bytes, from_ms }: {
    readonly tenant: string;
    readonly policy: string;
    readonly bytes: Uint8Array;
    readonly from_ms: number;
  },
): Promise<Consequence> {
  const pages = configFrom({}).platform.overseer.memory_limit_pages;
  const candidate = await readyModule(bytes, pages);
  const selection = { policy, from_ms, until_ms: io.now() };
  const onBus = busModules(io, admin, tenant);
  const { decisions, holes, recorded, candidate: found } = await replay({
    chunks: busChunks(io, admin, tenant, selection),
    selection,
    candidate,
    moduleOf: createModuleBook(
      async (sha256) => sha256 === candidate.sha256 ? bytes : await onBus(sha256),
      pages,
    ),
    // What a call leaves for the next one is in one thread.
    threads: 1,
    signal: io.signal,
    onProgress: () => {},
  });
  io.signal.throwIfAborted();
  return {
    policy,
    from_ms,
    decisions,
    repeated: found.repeated,
    allow_to_refuse: found.to_refused,
    refuse_to_allow: found.to_allowed,
    changed: found.changed,
    recorded_different: sumOf(recorded.different),
    holes,
    fuel: { recorded: fuelFigures(found.recorded_fuel), planned: fuelFigures(found.fuel) },
    samples: { to_refused: found.samples.to_refused, to_allowed: found.samples.to_allowed },
  };
}

/** The consequences of each policy whose module changes, in the order of the changes. */
export async function consequences(
  io: Io,
  admin: Admin,
  { tenant, state, modules }: Desired,
  changes: readonly Change[],
  since_seconds: number,
): Promise<Consequence[]> {
  const from_ms = io.now() - since_seconds * 1_000;
  const all: Consequence[] = [];
  for (const { kind, name, action, members } of changes) {
    const is_other = members.some(({ member }) => member === "sha256");
    if (kind !== "policies" || action !== "change" || !is_other) continue;
    const sha256 = state.policies?.find((one) => one.name === name)?.sha256 ?? "";
    const bytes = modules.get(sha256);
    if (bytes === undefined) continue;
    all.push(await consequenceOf(io, admin, { tenant, policy: name, bytes, from_ms }));
  }
  return all;
}
