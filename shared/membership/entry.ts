/**
 * The entries of a room's journal of members: joins and leaves, one event each, and occasional lists of all members.
 * Pure format, for the writer (the Brain) and readers (`arq`, pages); `book.ts` evaluates them.
 */
import { readEnvelope } from "@arqon/proto";
import { z } from "zod";

const Member = z.looseObject({
  user_id: z.string(),
  issuer: z.string(),
  connection_id: z.string().min(1),
  /** The Shield of the connection at its join, and the Shield's incarnation. */
  node_id: z.string(),
  incarnation: z.int().min(0),
  /** Unix ms, by that Shield's clock. */
  joined_ms: z.int().min(0),
});
/** A connection that is, or was, a member. */
export type RecordedMember = z.output<typeof Member>;

const counted = {
  /** The sequence of the room's membership changes, from 1, without gaps. */
  sequence: z.int().min(1),
  /** Unix ms, by the clock of the Brain that wrote it. */
  at_ms: z.int().min(0),
  /** Connections that are members after it. */
  members: z.int().min(0),
};
const Joined = z.looseObject({ ...counted, ...Member.shape });
const Left = z.looseObject({
  ...counted,
  ...Member.shape,
  cause: z.string(),
  /** When it left, Unix ms by its Shield's clock; only if no Brain could write it then. */
  left_ms: z.int().min(0).optional(),
});
/** Memberships that could not be recorded. */
const Missed = z.looseObject({
  /** The last change before it. */
  sequence: z.int().min(0),
  at_ms: z.int().min(0),
  /** Their number, time range (Unix ms) and Shield. */
  count: z.int().min(1),
  from_ms: z.int().min(0),
  to_ms: z.int().min(0),
  node_id: z.string(),
});
const Turned = z.looseObject(counted);
const Present = z.looseObject({
  /** The last change before it. */
  sequence: z.int().min(0),
  at_ms: z.int().min(0),
  page: z.int().min(0),
  pages: z.int().min(1),
  occupied: z.boolean(),
  list: z.array(Member),
});

/** An entry, by the event's type. */
export type MembershipEntry =
  | { readonly type: "joined"; readonly data: z.output<typeof Joined> }
  | { readonly type: "left"; readonly data: z.output<typeof Left> }
  | { readonly type: "occupied" | "vacated"; readonly data: z.output<typeof Turned> }
  | { readonly type: "present"; readonly data: z.output<typeof Present> }
  | { readonly type: "missed"; readonly data: z.output<typeof Missed> };

/** An entry that changes something. */
export type MembershipChange = Exclude<MembershipEntry, { readonly type: "present" | "missed" }>;

const FORMS = {
  joined: Joined,
  left: Left,
  occupied: Turned,
  vacated: Turned,
  present: Present,
  missed: Missed,
};
const decoder = new TextDecoder();

/** Reads an event; undefined for other events. */
export function readEntry(type: string, json: string): MembershipEntry | undefined {
  if (!Object.hasOwn(FORMS, type)) return undefined;
  const kind = type as keyof typeof FORMS;
  try {
    return { type: kind, data: FORMS[kind].parse(JSON.parse(json)) } as MembershipEntry;
  } catch {
    return undefined;
  }
}

/** Reads a stored message; undefined for other messages. */
export function readStored(payload: Uint8Array): MembershipEntry | undefined {
  try {
    const { event } = readEnvelope(payload);
    return event && readEntry(event.type, decoder.decode(event.data));
  } catch {
    return undefined;
  }
}
