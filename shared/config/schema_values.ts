/** Values that several tables of `config.toml` share. The tables: `schema.ts`, `schema_state.ts`. */
import { z } from "zod";
import { isId, isRoomPattern } from "@arqon/proto";

/** A TCP port. */
export const port = (value: number) =>
  z.int().min(0).max(65_535).default(value).describe("TCP port; 0 picks a free one");
/** A whole number from 1 to `max`. */
export const count = (value: number, max: number, text: string) =>
  z.int().min(1).max(max).default(value).describe(text);
// `pattern` is for editors and only repeats what `isId` and `isRoomPattern` say; a test compares.
/** A tenant, room or node id. */
export const id = z.string().refine(isId, { error: "expected 1 to 64 of [A-Za-z0-9_~:=-]" })
  .meta({ pattern: "^[A-Za-z0-9_~:=-]{1,64}$" });
/** A room id or a prefix with `*`. */
export const roomPattern = z.string().refine(isRoomPattern, {
  error: 'expected a room id or a prefix followed by "*", for example "chat-*"',
}).meta({ pattern: "^([A-Za-z0-9_~:=-]{1,64}\\*?|\\*)$" });
/** An id or `*`. */
export const idOrAny = z.string().refine((text) => text === "*" || isId(text), {
  error: 'expected an id of [A-Za-z0-9_~:=-] or "*"',
}).meta({ pattern: "^([A-Za-z0-9_~:=-]{1,64}|\\*)$" });

/** Cross-field checks run beside other problems of their table, so that one start names them all. */
export const always = {
  when: ({ value }: z.core.ParsePayload) => typeof value === "object" && value !== null,
};

/** A number from 0 to 1. */
export const fraction = z.number().min(0).max(1);
