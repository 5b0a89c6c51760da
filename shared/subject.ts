/**
 * The only place that builds or parses Spine subjects (design.md 3). A subject is a branded string
 * bound to its tenant; `assertSubject` checks it again at run time before it reaches a Spine engine.
 */
import { ArqonError, idProblem, isId } from "@arqon/proto";

declare const brand: unique symbol;
/** One exact subject of tenant `T`: no wildcard in it. */
export type Subject = string & { readonly [brand]: "subject" };
/** A subject or a pattern with NATS wildcards `*` and `>`. */
export type SubjectPattern = string & { readonly [brand]: "subject" | "pattern" };

/** `in`: what clients publish; `out`: what the Brain or a backend sends. */
export type RoomPlane = "in" | "out";

function room(tenantId: string, roomId: string): string {
  const tenantProblem = idProblem(tenantId);
  if (tenantProblem !== undefined) throw new ArqonError("tenant-mismatch");
  const roomProblem = idProblem(roomId);
  if (roomProblem !== undefined) throw new ArqonError("invalid-room", roomProblem);
  return `t.${tenantId}.r.${roomId}`;
}

/** Everything clients publish (`in`), or the Brain or a backend sends (`out`), to one room. */
export function roomSubject(plane: RoomPlane, tenantId: string, roomId: string): Subject {
  return `${plane}.${room(tenantId, roomId)}` as Subject;
}

/** Commands to the Brain, request/reply. */
export function commandSubject(tenantId: string, roomId: string): Subject {
  return `${room(tenantId, roomId)}.cmds` as Subject;
}

/** What all Brains together listen to for commands. */
export const ALL_COMMANDS = "t.*.r.*.cmds" as SubjectPattern;
/** What all Brains together tap. */
export const ALL_PUBLISHED = "in.t.>" as SubjectPattern;

/** The tenant and room of `in.t.T.r.R`, `out.t.T.r.R` or `t.T.r.R.cmds`; undefined for any other. */
export function parseRoomSubject(
  subject: string,
): { tenantId: string; roomId: string } | undefined {
  const parts = subject.split(".");
  const command = parts[0] === "t" && parts[4] === "cmds";
  const plane = parts[0] === "in" || parts[0] === "out";
  const [t, tenantId = "", r, roomId = ""] = command ? parts : parts.slice(1);
  const shaped = (command || plane) && parts.length === 5 && t === "t" && r === "r";
  return shaped && isId(tenantId) && isId(roomId) ? { tenantId, roomId } : undefined;
}

const TOKEN = /^[A-Za-z0-9_~:=$-]+$/;

/**
 * A subject from outside these builders (tests, inboxes, tools), checked token by token.
 * Throws TypeError for an empty token, a wildcard, white space or more than 32 tokens.
 */
export function exactSubject(text: string): Subject {
  const tokens = text.split(".");
  if (tokens.length > 32 || !tokens.every((token) => TOKEN.test(token))) {
    throw new TypeError(`not an exact subject: ${JSON.stringify(text)}`);
  }
  return text as Subject;
}

/** Like `exactSubject`, but `*` may be any token and `>` the last. */
export function subjectPattern(text: string): SubjectPattern {
  const tokens = text.split(".");
  const valid = tokens.every((token, index) =>
    TOKEN.test(token) || token === "*" || (token === ">" && index === tokens.length - 1)
  );
  if (tokens.length > 32 || !valid) {
    throw new TypeError(`not a subject pattern: ${JSON.stringify(text)}`);
  }
  return text as SubjectPattern;
}
