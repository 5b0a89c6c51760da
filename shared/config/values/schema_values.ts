/** Values that several tables of `config.toml` share. The tables: `schema.ts`. */
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
/** The name of a machine, without scheme and port. */
export const hostName = z.string().regex(
  /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*$/,
  { error: 'expected a name such as "admin.example.com", without scheme and port' },
);

/** An id or `*`. */
export const idOrAny = z.string().refine((text) => text === "*" || isId(text), {
  error: 'expected an id of [A-Za-z0-9_~:=-] or "*"',
}).meta({ pattern: "^([A-Za-z0-9_~:=-]{1,64}|\\*)$" });

/** Runs a check across fields also when their table has other problems, so that one start names them all. */
export const always = {
  when: ({ value }: z.core.ParsePayload) => typeof value === "object" && value !== null,
};

/** A file that a key names; its content is checked by its reader. */
export const namedFile = (text: string) => z.string().min(1).optional().describe(text);

/** A number from 0 to 1. */
export const fraction = z.number().min(0).max(1);

/** When two entries of a list count as the same. */
export interface Repeated {
  /** Name of the list, as the text has it. */
  readonly list: string;
  /** The members of which at least one must differ. */
  readonly members: readonly string[];
  readonly shown: string;
  /** The problem in words, for example "the same prefix", "expected each prefix once". */
  readonly same: string;
  readonly expected: string;
}

/**
 * Refuses duplicate entries: their order would decide which one counts. Runs also on lists with other problems, whose
 * entries may have any shape.
 */
export function refuseRepeated(
  { list, members, shown, same, expected }: Repeated,
): (given: unknown, context: z.core.$RefinementCtx) => void {
  return (given, context) => {
    const known = new Map<string, number>();
    for (const [index, entry] of (Array.isArray(given) ? given : []).entries()) {
      const values: unknown[] = members.map((member) => entry?.[member]);
      if (!values.every((value) => typeof value === "string")) continue;
      const key = JSON.stringify(values);
      const first = known.get(key);
      if (first === undefined) {
        known.set(key, index);
        continue;
      }
      const message = `${same} as ${list}[${first}]; ${expected}`;
      context.addIssue({ code: "custom", path: [index, shown], message });
    }
  };
}

/** A list of at most `max` entries, which may be absent; two entries differ in one of the members at least. */
export function listOnce<Z extends z.ZodType>(
  list: string,
  entry: Z,
  max: number,
  members: readonly string[],
) {
  const what = members.join(" and ");
  const shown = members[0] ?? "";
  const same = { same: `the same ${what}`, expected: `expected each ${what} once` };
  return z.array(entry).max(max)
    .superRefine(refuseRepeated({ list, members, shown, ...same }), always)
    .optional();
}

/** Whether a URL may be fetched: it uses TLS, or is on this machine. */
export function isFetchable(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  if (protocol === "https:") return true;
  return protocol === "http:" && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}
