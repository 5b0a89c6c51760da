/**
 * Reads subjects from a command line: a full subject, a pattern, or only a room or a prefix of rooms. The bus
 * decides what a pattern matches.
 */
import { isId, isRoomPattern } from "@arqon/proto";
import { usageError } from "../terminal/exit.ts";

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
