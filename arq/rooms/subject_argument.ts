/**
 * Subjects as a command line names them: a whole one, a pattern, or just a room or the beginning of
 * one. What patterns match is the bus's.
 */
import { isId, isRoomPattern } from "@arqon/proto";
import { usageError } from "../terminal/exit.ts";

/** A subject or pattern and the tenant whose it is. */
export interface SubjectArgument {
  readonly tenant: string;
  readonly subject: string;
}

const DEFAULT_TENANT = "default";

/**
 * `in.t.acme.r.lobby` as it stands; `vehicles-*` is a room pattern of `tenant`. Without `tenant` it is
 * the one that the subject names, else `own`. Throws a usage error for what is neither.
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
      "a room 'lobby', the beginning of one 'vehicles-*', or a subject 'in.t.acme.*'",
    );
  }
  if (tenant === undefined || tenant === named) return { tenant: named, subject: text };
  throw usageError(`${JSON.stringify(text)} is of tenant ${named}, not of ${tenant}`);
}
