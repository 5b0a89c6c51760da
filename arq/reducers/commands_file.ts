/**
 * The file of commands that `arq reducer test` runs: one JSON object a line, each a command with who sends it
 * and when, or only time that passes. Pure.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { callData } from "../../brain/rooms/commands/call_data.ts";
import { objectMembers } from "../../brain/rooms/commands/json_text.ts";
import { CommandError, EXIT, printable } from "../terminal/exit.ts";

/** The time of a new room's first command, where it has none: the first moment of 2026. */
const FIRST_MS = 1_767_225_600_000;

/** A text whose characters are whole: half a one has no bytes that it could be identified by. */
const text = (most: number) =>
  z.string().max(most).refine((one) => one.isWellFormed(), "a text with half a character");

const Line = z.strictObject({
  command: text(256).min(1).optional(),
  /** Read as the bus reads it, from the text. */
  data: z.unknown().optional(),
  user: text(256).default("dev"),
  role: text(64).default("user"),
  id: text(256).default(""),
  claims: z.record(text(256), z.json()).default({}),
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

/** The bytes of a command's data, as the bus would take them from the line; a text says what is wrong. */
function dataIn(json: string): Uint8Array | string {
  try {
    return callData(objectMembers(json).get("data"));
  } catch (error) {
    if (error instanceof ArqonError || error instanceof SyntaxError) return error.message;
    throw error;
  }
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
): (line: number, json: string) => CommandLine {
  let before_ms = room_ms === 0 ? FIRST_MS : room_ms;
  return (line, json) => {
    const parsed = Line.safeParse(JSON.parse(json));
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      const path = issue?.path.join(".") ?? "";
      throw problem(source, line, `${path === "" ? "" : `${path}: `}${issue?.message}`);
    }
    const { command, user, role, id, claims, at_ms, after_ms } = parsed.data;
    if (at_ms !== undefined && after_ms !== undefined) {
      throw problem(source, line, "at_ms and after_ms; a line has one of them");
    }
    before_ms = at_ms ?? before_ms + (after_ms ?? 0);
    if (!Number.isSafeInteger(before_ms)) throw problem(source, line, "the time is too late");
    const bytes = dataIn(json);
    if (typeof bytes === "string") throw problem(source, line, bytes);
    const texts = Object.entries(claims).map(([name, value]) => [
      name,
      (typeof value === "string" ? value : JSON.stringify(value)).toWellFormed(),
    ]);
    return {
      ...{ line, at_ms: before_ms, command, data: bytes, user_id: user, role, id },
      claims: Object.fromEntries(texts),
    };
  };
}
