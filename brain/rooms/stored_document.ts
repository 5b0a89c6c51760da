/**
 * The stored form of a room document: UTF-8 lines. A JSON header, then `<key as JSON>\t<value as
 * compact JSON>` per entry, then `<version>\t<at_ms>\t<fence or nothing>\t<body>` per event. Compact
 * JSON holds neither tab nor line feed, so reading it back parses no value at all.
 *
 * What only the write can tell is left open (epoch "", fence 0) and is filled in from the revision
 * when it is read: it can be open only in the newest write.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { entryLine } from "./document.ts";
import type { AppliedCommand, RoomDocument } from "./document.ts";
import { utf8Bytes } from "./room_event.ts";
import type { RoomEvent } from "./room_event.ts";

const count = z.int().min(0);
const Format1 = z.object({
  format: z.literal(1),
  version: z.int().min(1),
  epoch: z.string(),
  entries: count,
  applied: z.array(z.tuple([z.string(), count])),
}).transform((header) => ({
  ...header,
  created_ms: 0,
  touched_ms: 0,
  events: 0,
  lock: undefined,
}));
const Format2 = z.object({
  format: z.literal(2),
  version: count,
  epoch: z.string(),
  created_ms: count,
  touched_ms: count,
  /** How many lines of entries follow, and after them of events. */
  entries: count,
  events: count,
  applied: z.array(
    z.union([z.tuple([z.string(), count]), z.tuple([z.string(), count, count, count])]),
  ),
  lock: z.object({
    user_id: z.string(),
    connection_id: z.string(),
    since_ms: count,
    until_ms: count,
    fence: count,
  }).optional(),
});
const Header = z.union([Format2, Format1]);

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function eventLine({ version, at_ms, fence, body }: RoomEvent): string {
  return `${version}\t${at_ms}\t${fence ?? ""}\t${body}\n`;
}

function appliedTuple([key, { version, grant }]: [string, AppliedCommand]) {
  return grant === undefined ? [key, version] : [key, version, grant.fence, grant.until_ms];
}

/** The stored form. */
export function encodeDocument(document: RoomDocument): Uint8Array {
  const { version, epoch, created_ms, touched_ms, entries, events, applied, lock } = document;
  const header = {
    format: 2,
    version,
    epoch,
    created_ms,
    touched_ms,
    entries: entries.size,
    events: events.length,
    applied: Array.from(applied, appliedTuple),
    lock,
  };
  const lines = Array.from(entries, ([key, value]) => entryLine(key, value));
  return utf8.encode(
    `${JSON.stringify(header)}\n${lines.join("")}${events.map(eventLine).join("")}`,
  );
}

function readEntries(lines: readonly string[]): Map<string, string> {
  const entries = new Map<string, string>();
  for (const line of lines) {
    const tab = line.indexOf("\t");
    const key: unknown = tab < 0 ? undefined : JSON.parse(line.slice(0, tab));
    if (typeof key !== "string") throw new SyntaxError("not an entry of a room document");
    entries.set(key, line.slice(tab + 1));
  }
  return entries;
}

function readEvent(line: string): RoomEvent {
  const [version, at_ms, fence, body, ...rest] = line.split("\t");
  const numbers = [version, at_ms, fence || "0"].map(Number);
  if (!body || rest.length > 0 || !numbers.every(Number.isSafeInteger)) {
    throw new SyntaxError("not an event of a room document");
  }
  return {
    version: Number(version),
    at_ms: Number(at_ms),
    body,
    fence: fence === "" ? undefined : Number(fence),
  };
}

function readApplied(tuples: z.output<typeof Header>["applied"]): Map<string, AppliedCommand> {
  return new Map(tuples.map(([key, version, fence, until_ms]) => {
    const grant = fence === undefined || until_ms === undefined ? undefined : { fence, until_ms };
    return [key, { version, grant }];
  }));
}

/** Puts what the write at `revision` has told into what it left open. */
export function settleDocument(document: RoomDocument, revision: number): RoomDocument {
  const { epoch, lock, events, applied } = document;
  const open_events = events.some(({ fence }) => fence === 0);
  const open_applied = [...applied.values()].some(({ grant }) => grant?.fence === 0);
  return {
    ...document,
    epoch: epoch === "" ? String(revision) : epoch,
    lock: lock?.fence === 0 ? { ...lock, fence: revision } : lock,
    events: open_events
      ? events.map((event) => event.fence === 0 ? { ...event, fence: revision } : event)
      : events,
    applied: open_applied
      ? new Map(Array.from(applied, ([key, { version, grant }]) => {
        const settled = grant?.fence === 0 ? { ...grant, fence: revision } : grant;
        return [key, { version, grant: settled }];
      }))
      : applied,
  };
}

/**
 * Reads the stored form that was written at `revision`; format 1, of earlier releases, too. Throws
 * `internal` (500) when it is neither: somebody else wrote to the bucket; the cause says what is wrong.
 */
export function decodeDocument(bytes: Uint8Array, revision: number): RoomDocument {
  try {
    const lines = strictUtf8.decode(bytes).split("\n");
    if (lines.pop() !== "") throw new SyntaxError("a room document ends with a line feed");
    const [first = "", ...rest] = lines;
    const { format: _format, entries, events, applied, lock, ...header } = Header.parse(
      JSON.parse(first),
    );
    if (entries + events !== rest.length) throw new SyntaxError("lines are missing");
    const event_lines = rest.slice(entries);
    const other_bytes = [first, ...event_lines].reduce((sum, line) => sum + utf8Bytes(line) + 1, 0);
    const document: RoomDocument = {
      ...header,
      entries: readEntries(rest.slice(0, entries)),
      entries_bytes: bytes.length - other_bytes,
      applied: readApplied(applied),
      events: event_lines.map(readEvent),
      lock,
    };
    return settleDocument(document, revision);
  } catch (cause) {
    throw new ArqonError("internal", "", { cause });
  }
}
