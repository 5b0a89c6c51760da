/** `[[reducers]]`: room programs and their limits; and the keys of a room class that has a reducer. */
import { z } from "zod";
import type { ReducerConstants } from "../keys/constants.ts";
import { always, count, id, refuseRepeated } from "../values/schema_values.ts";

const Entry = z.strictObject({
  name: id.describe("what classes of rooms call it by"),
  file: z.string().min(1).describe(
    "the module: WebAssembly by arqon_room_v1, of `arq reducer build`",
  ),
  fuel_limit: count(
    10_000,
    1_000_000,
    "fuel per command; 10,000 is at most about 5 ms of any code",
  ),
  log_bytes: z.int().min(65_536).max(1_099_511_627_776).default(134_217_728).describe(
    "bytes of one room's log, about; above, a snapshot removes the oldest entries, except those behind the last two snapshots; of snapshots an eighth of it stays",
  ),
}).describe("a program of rooms");

/** One entry of `[[reducers]]`. */
export type ReducerEntry = z.output<typeof Entry> & ReducerConstants;

/** `[[reducers]]`. */
export const Reducers = z.array(Entry).max(1_000).superRefine(
  refuseRepeated({
    list: "reducers",
    members: ["name"],
    shown: "name",
    same: "the same name",
    expected: "expected each name once",
  }),
  always,
).default([]);

/** The keys of a class of rooms. */
export const ClassReducer = {
  reducer: id.optional().describe(
    "program of [[reducers]] that runs the room: room.call writes its log, and only its events are messages of the room; needs durable, ids of up to 56 characters",
  ),
  reducer_claims: z.array(z.string().min(1).max(256)).max(32).optional().describe(
    "claims of a sender's token that the reducer may read; absent: none",
  ),
  reducer_visible: z.array(z.string().min(1).max(256)).max(32).optional().describe(
    'key prefixes whose values subscribers of the room may read and watch, ["public/"]; not with filter; absent: none',
  ),
  reducer_public: z.boolean().optional().describe(
    "whether subscribers of the room may download its module, for optimistic calls; absent: no",
  ),
};

/** Refuses visible values beside a filter: a filter restricts messages, not values. */
export function refuseFilteredValues(
  { reducer_visible, filter }: {
    readonly reducer_visible?: readonly string[] | undefined;
    readonly filter?: string | undefined;
  },
  context: z.core.$RefinementCtx,
): void {
  if (reducer_visible === undefined || filter === undefined) return;
  const message = "reducer_visible beside filter, which is about messages; expected one of them";
  context.addIssue({ code: "custom", path: ["reducer_visible"], message });
}

/** Names in a message: of thousands of classes each gets one. */
const NAMES_SHOWN = 16;

/** Refuses room classes that name an undefined reducer. */
export function refuseUnknownReducers(
  { rooms, reducers }: {
    readonly rooms: readonly { readonly reducer?: string | undefined }[];
    readonly reducers: readonly Pick<ReducerEntry, "name">[];
  },
  context: z.core.$RefinementCtx,
): void {
  const names = new Set(reducers.map(({ name }) => name));
  const few = [...names].slice(0, NAMES_SHOWN).map((name) => `"${name}"`).join(", ");
  const known = names.size > NAMES_SHOWN ? `${few}, …` : few || "none";
  for (const [index, { reducer }] of rooms.entries()) {
    if (reducer === undefined || names.has(reducer)) continue;
    const message = `no [[reducers]] has the name "${reducer}"; expected one of: ${known}`;
    context.addIssue({ code: "custom", path: ["rooms", index, "reducer"], message });
  }
}
