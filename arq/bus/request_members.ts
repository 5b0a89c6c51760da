/** Members of the bus's requests from the options and operands of a command; the bus decides what a pattern matches. */
import { isId, isRoomPattern } from "@arqon/proto";
import { usageError } from "../terminal/exit.ts";

/** The bus's name of a member, and the option's name where it is not the same in camelCase. */
export type NamePair = readonly [name: string, own?: string | undefined];

const camel = (name: string) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** Parses names: `room,user_id=user`. */
export const namePairs = (names: string): NamePair[] =>
  names.split(",").filter((one) => one !== "").map((one) => {
    const [name = "", own] = one.split("=");
    return [name, own];
  });

/** The given ones of these members, each with its value. */
export const pick = (
  pairs: readonly NamePair[],
  given: Readonly<Record<string, unknown>>,
): (readonly [name: string, value: unknown])[] =>
  pairs.flatMap(([name, own]) => {
    const value = given[own ?? camel(name)] ?? given[name];
    return value === undefined ? [] : [[name, value] as const];
  });

/** The members that `names` names, as an object. */
export const membersFrom = (names: string, given: object): Record<string, unknown> =>
  Object.fromEntries(pick(namePairs(names), { ...given }));

/** A subject or pattern, and its tenant. */
interface SubjectArgument {
  readonly tenant: string;
  readonly subject: string;
}

const DEFAULT_TENANT = "default";

/**
 * Parses a subject argument. `in.t.acme.r.lobby` stays as it is; `vehicles-*` is a pattern of rooms in `tenant`.
 * Without `tenant` it uses the tenant that the subject names, else `own`. Throws a usage error for any other text.
 */
export function subjectArgument(
  text: string,
  tenant: string | undefined,
  own = DEFAULT_TENANT,
): SubjectArgument {
  if (!text.includes(".") && isRoomPattern(text)) {
    const owner = tenant ?? own;
    return { tenant: owner, subject: `in.t.${owner}.r.${text}` };
  }
  const [, named = ""] = /^in\.t\.([^.]+)\./.exec(text) ?? [];
  if (!isId(named)) {
    throw usageError(
      `${JSON.stringify(text)} is neither a room nor a subject of one tenant`,
      "a room 'lobby', a prefix of one 'vehicles-*', or a subject 'in.t.acme.*'",
    );
  }
  if (tenant === undefined || tenant === named) return { tenant: named, subject: text };
  throw usageError(`${JSON.stringify(text)} belongs to tenant ${named}, not to ${tenant}`);
}
