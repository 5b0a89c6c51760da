/** Calls that were applied and that the schema of another module forbids: a bus would not ask that module. Pure. */
import type { CommandEntry, LogEntry, Outcome } from "../../brain/reducers/state/entry.ts";
import { rememberedKey, type RoomState } from "../../brain/reducers/state/room_state.ts";
import { judge, type Judged } from "../../wasm/reducer/schema/judge.ts";
import type { RoomSchema } from "../../wasm/reducer/schema/room_schema.ts";

/** Kinds of refusals that are reported of one room. */
const KINDS_MAX = 16;

/** Calls of one command that are refused for one reason. */
export interface ForbiddenCalls {
  readonly command: string;
  readonly code: number;
  /** Where in the data, and what would be right. */
  readonly reason: string;
  readonly entries: number;
  /** The first of them. */
  readonly first: number;
}

/** What a bus does with an entry once a module has the room. */
export type Admitted =
  | { readonly entry: LogEntry }
  | { readonly refused: Exclude<Judged, { data: Uint8Array }>; readonly asked: CommandEntry };

/** What a module with that schema is asked, where a room was asked this; a repetition gets what the room remembers. */
export function admitted(
  schema: RoomSchema | undefined,
  entry: LogEntry,
  { remembered }: Pick<RoomState, "remembered">,
): Admitted {
  if (schema === undefined || entry.kind !== "command") return { entry };
  const judged = judge(schema, entry.command, entry.data);
  if ("data" in judged) return { entry: { ...entry, data: judged.data } };
  const { id, user_id } = entry;
  if (id !== "" && remembered.has(rememberedKey(user_id, id))) return { entry };
  return { refused: judged, asked: entry };
}

/** Counts what is forbidden of one room. */
export class ForbiddenCount {
  readonly #kinds = new Map<string, ForbiddenCalls>();
  /** All that were applied then. */
  entries = 0;
  /** Those of kinds that are not told. */
  others = 0;

  /** Takes a call that is refused. What was refused then, too, is no difference. */
  add(
    { refused: { code, reason }, asked }: Extract<Admitted, { asked: CommandEntry }>,
    then: Outcome,
  ) {
    if (then.kind !== "applied") return;
    this.entries++;
    const { command, offset } = asked;
    const key = JSON.stringify([command, reason]);
    const known = this.#kinds.get(key);
    if (known === undefined && this.#kinds.size === KINDS_MAX) this.others++;
    else {
      const { entries, first } = known ?? { entries: 0, first: offset };
      this.#kinds.set(key, { command, code, reason, entries: entries + 1, first });
    }
  }

  /** By command and reason, the first one first. */
  kinds(): ForbiddenCalls[] {
    return [...this.#kinds.values()];
  }
}
