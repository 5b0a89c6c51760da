/**
 * Which program applies a room's next entries if another one is wanted: it takes over between two entries, after an
 * entry in which it migrates the room, or not at all. Appends nothing.
 */
import { ArqonError } from "@arqon/proto";
import type { RunnableProgram } from "../log/program.ts";
import type { LogEntry, MigrateEntry } from "../state/room_state.ts";
import type { Applied } from "../thread/protocol.ts";
import type { LoadedRoom, ReducedPlace, RoomParts } from "./loaded_room.ts";

/** The wanted program of a class of rooms. */
export interface Wanted {
  readonly program: RunnableProgram;
  /** Whether it can migrate a room of another module. */
  readonly migrates: boolean;
  /** The number of the deploy; 0: the configuration. */
  readonly deploy: number;
}

/** How rooms find the wanted program. One for all rooms of a Brain. */
export interface ProgramChoice {
  readonly parts: RoomParts;
  /** Undefined: this Brain does not know. */
  readonly wanted: (at: ReducedPlace) => Wanted | undefined;
  /** The same, read from storage now. Rejects with `spine-unavailable`. */
  readonly wantedNow: (at: ReducedPlace) => Promise<Wanted | undefined>;
  readonly owns: (at: ReducedPlace) => boolean;
}

interface NextProgram {
  readonly program: RunnableProgram;
  /** The required next entry; undefined: any. */
  readonly migration?: Pick<MigrateEntry, "kind" | "from" | "deploy">;
}

/** Whether the wanted program came into force in a room. */
export type SwitchOutcome = "taken" | "migrated" | "refused";

function switchOf(
  { program, refused, standing }: LoadedRoom,
  { program: { id, module }, migrates, deploy }: Wanted,
): "take" | "stay" | "migrate" {
  if (program === undefined || standing.offset === 0 || program.id === id) return "take";
  if (program.module === module || !migrates) return "take";
  return refused?.program === id && refused.deploy >= deploy ? "stay" : "migrate";
}

/** Whether a room is to be migrated without waiting for a call. */
export function waitsToMigrate(loaded: LoadedRoom, { wanted, owns }: ProgramChoice): boolean {
  const found = wanted(loaded.at);
  return found !== undefined && switchOf(loaded, found) === "migrate" && owns(loaded.at);
}

async function programInForce({ program, at, parts }: LoadedRoom): Promise<NextProgram> {
  if (program !== undefined) return { program: await parts.programById(program.id) };
  throw new ArqonError("brain-unavailable", `the program of ${at.room_id} cannot be loaded yet`);
}

/** Rejects with `brain-unavailable` if that is unknown, and as `programById`. */
export async function nextProgram(
  loaded: LoadedRoom,
  { wanted, wantedNow, owns }: ProgramChoice,
): Promise<NextProgram> {
  const { at } = loaded;
  const known = wanted(at);
  if (known !== undefined && known.program.id === loaded.program?.id) return known;
  const stays = known !== undefined && switchOf(loaded, known) === "stay";
  if (stays || loaded.program !== undefined && !owns(at)) return await programInForce(loaded);
  // A Brain that does not know the last deploy yet would revert it.
  const found = known && await wantedNow(at);
  if (found === undefined) return await programInForce(loaded);
  const next = switchOf(loaded, found);
  switch (next) {
    case "take":
      return { program: found.program };
    case "stay":
      return await programInForce(loaded);
    case "migrate": {
      const from = loaded.program!.module;
      return { program: found.program, migration: { kind: "migrate", from, deploy: found.deploy } };
    }
    default:
      return next satisfies never;
  }
}

/** Records the program that applied entries; undefined: the previous one. */
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
