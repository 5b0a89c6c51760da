/**
 * The file of commands that `arq reducer test` runs: one JSON object a line, each a command with who sends it
 * and when, or only time that passes. Pure.
 */
import { z } from "zod";
import { CommandError, EXIT, printable } from "../terminal/exit.ts";

/** The time of a new room's first command, where it has none: the first moment of 2026. */
const FIRST_MS = 1_767_225_600_000;

const Data = z.union([z.strictObject({ base64: z.base64() }), z.json()]);

const Line = z.strictObject({
  command: z.string().min(1).max(256).optional(),
  data: Data.optional(),
  user: z.string().max(256).default("dev"),
  role: z.string().max(64).default("user"),
  id: z.string().max(256).default(""),
  claims: z.record(z.string(), z.unknown()).default({}),
  /** Unix ms; may lie before the line above, as a clock that was put back. */
  at_ms: z.int().min(0).optional(),
  /** Instead: so long after the line above. */
  after_ms: z.int().min(0).optional(),
});

/** One line of the file. */
export interface CommandLine {
  /** Number of the line, from 1. */
  readonly line: number;
  readonly at_ms: number;
  /** Absent: nothing but the time passes. */
  readonly command: string | undefined;
  readonly data: Uint8Array;
  readonly user_id: string;
  readonly role: string;
  readonly id: string;
  readonly claims: Readonly<Record<string, string>>;
}

const encoder = new TextEncoder();

/** The bytes of a command's data: a text as it is, any other value as JSON. */
function dataBytes(data: z.output<typeof Data> | undefined): Uint8Array {
  if (data === undefined) return new Uint8Array();
  if (typeof data === "string") return encoder.encode(data);
  const is_object = typeof data === "object" && data !== null && !Array.isArray(data);
  const { base64 } = is_object ? data as { readonly base64?: unknown } : {};
  if (typeof base64 === "string") return Uint8Array.fromBase64(base64);
  return encoder.encode(JSON.stringify(data));
}

function problem(source: string, line: number, what: string): CommandError {
  const example = `{"command":"add","data":5,"user":"ann","after_ms":1000}`;
  const message = `${source}, line ${line}: ${printable(what)}`;
  return new CommandError(message, EXIT.usage, `expected a line such as ${example}`);
}

/**
 * Reads lines one after another; each needs the time of the one before, the first one that of the room, 0 for
 * a new one.
 */
export function createLineReader(
  source: string,
  room_ms: number,
): (line: number, json: unknown) => CommandLine {
  let before_ms = room_ms === 0 ? FIRST_MS : room_ms;
  return (line, json) => {
    const parsed = Line.safeParse(json);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      const path = issue?.path.join(".") ?? "";
      throw problem(source, line, `${path === "" ? "" : `${path}: `}${issue?.message}`);
    }
    const { command, data, user, role, id, claims, at_ms, after_ms } = parsed.data;
    if (at_ms !== undefined && after_ms !== undefined) {
      throw problem(source, line, "at_ms and after_ms; a line has one of them");
    }
    before_ms = at_ms ?? before_ms + (after_ms ?? 0);
    if (!Number.isSafeInteger(before_ms)) throw problem(source, line, "the time is too late");
    const texts = Object.entries(claims).map(([name, value]) => [
      name,
      typeof value === "string" ? value : JSON.stringify(value),
    ]);
    return {
      ...{ line, at_ms: before_ms, command, data: dataBytes(data), user_id: user, role, id },
      claims: Object.fromEntries(texts),
    };
  };
}
