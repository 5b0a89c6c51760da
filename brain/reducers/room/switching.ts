/**
 * Which program a room's next entries are applied by, when another one is wanted than the one in force: it is
 * taken between two entries, after an entry in which it migrates the room, or not at all. Appends nothing.
 */
import { ArqonError } from "@arqon/proto";
import type { RunnableProgram } from "../log/program.ts";
import type { LogEntry, MigrateEntry } from "../state/entry.ts";
import type { Applied } from "../thread/protocol.ts";
import type { LoadedRoom, ReducedPlace, RoomParts } from "./loaded_room.ts";

/** The program that a class of rooms is to have. */
export interface Wanted {
  readonly program: RunnableProgram;
  /** Whether it can make its own what another module wrote. */
  readonly migrates: boolean;
  /** The number of the deploy; 0: the configuration. */
  readonly deploy: number;
}

/** How rooms learn of what is wanted. One for all rooms of a Brain. */
export interface ProgramChoice {
  readonly parts: RoomParts;
  /** Undefined: this Brain cannot say. */
  readonly wanted: (at: ReducedPlace) => Wanted | undefined;
  /** The same, as it is stored now. Rejects with `spine-unavailable`. */
  readonly wantedNow: (at: ReducedPlace) => Promise<Wanted | undefined>;
  readonly owns: (at: ReducedPlace) => boolean;
}

/** The program of the next entry. */
interface NextProgram {
  readonly program: RunnableProgram;
  /** What the next entry is; undefined: whatever comes. */
  readonly migration?: Pick<MigrateEntry, "kind" | "from" | "deploy">;
}

/** What was to come into force in a room has, or not. */
export type SwitchOutcome = "taken" | "migrated" | "refused";

function switchOf(
  { program, refused, standing }: LoadedRoom,
  { program: { id, module }, migrates, deploy }: Wanted,
): "take" | "stay" | "migrate" {
  if (program === undefined || standing.offset === 0 || program.id === id) return "take";
  if (program.module === module || !migrates) return "take";
  return refused?.program === id && refused.deploy >= deploy ? "stay" : "migrate";
}

/** Whether a room is to be migrated though nobody calls it. */
export function waitsToMigrate(
  loaded: LoadedRoom,
  at: ReducedPlace,
  { wanted, owns }: ProgramChoice,
): boolean {
  const found = wanted(at);
  return found !== undefined && switchOf(loaded, found) === "migrate" && owns(at);
}

async function programInForce(
  { program }: LoadedRoom,
  { room_id }: ReducedPlace,
  { programById }: RoomParts,
): Promise<NextProgram> {
  if (program !== undefined) return { program: await programById(program.id) };
  throw new ArqonError("brain-unavailable", `the program of ${room_id} cannot be loaded yet`);
}

/** Rejects with `brain-unavailable` when that is unknown, and as `programById`. */
export async function nextProgram(
  loaded: LoadedRoom,
  at: ReducedPlace,
  { parts, wanted, wantedNow, owns }: ProgramChoice,
): Promise<NextProgram> {
  const heard = wanted(at);
  if (heard !== undefined && heard.program.id === loaded.program?.id) return heard;
  const stays = heard !== undefined && switchOf(loaded, heard) === "stay";
  if (stays || loaded.program !== undefined && !owns(at)) {
    return await programInForce(loaded, at, parts);
  }
  // Who has not heard of the last deploy yet would take it back.
  const found = heard && await wantedNow(at);
  if (found === undefined) return await programInForce(loaded, at, parts);
  const next = switchOf(loaded, found);
  switch (next) {
    case "take":
      return { program: found.program };
    case "stay":
      return await programInForce(loaded, at, parts);
    case "migrate": {
      const from = loaded.program!.module;
      return { program: found.program, migration: { kind: "migrate", from, deploy: found.deploy } };
    }
    default:
      return next satisfies never;
  }
}

/** Notes by which program entries were applied; undefined: by the previous one. */
export function takeProgram(
  loaded: LoadedRoom,
  { id, module }: RunnableProgram,
  entries: readonly LogEntry[],
  applied: readonly Applied[],
): SwitchOutcome | undefined {
  const [first] = entries;
  if (first?.kind === "migrate" && applied[0]?.kind !== "applied") {
    loaded.refused = { program: id, deploy: first.deploy };
    return "refused";
  }
  const before = loaded.program;
  if (before?.id === id) return undefined;
  loaded.program = { id, module };
  loaded.refused = undefined;
  if (first?.kind === "migrate") return "migrated";
  return before === undefined ? undefined : "taken";
}
