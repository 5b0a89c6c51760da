/**
 * The stored form of a room document: UTF-8 lines. A JSON header, then `<key as JSON>\t<value as compact JSON>` per
 * entry, then `<version>\t<at_ms>\t<fence or nothing>\t<body>` per event. Compact JSON contains neither tab nor line
 * feed, so reading the document parses no values.
 *
 * Values that only the write determines are stored empty (epoch "", fence 0), and are filled in from the revision on
 * reading: they can be empty only in the newest write.
 */
import { ArqonError, utf8Size } from "@arqon/proto";
import { z } from "zod";
import { type AppliedCommand, entryLine, type RoomDocument } from "./document.ts";
import { bornEpoch, nextFence } from "./life.ts";
import type { RoomEvent } from "./room_event.ts";
import { isIncompatible, requireFormat } from "../../../shared/records/stored.ts";

/** The format of a document; raised whenever an older Brain would misread it. */
const FORMAT = 3;
const count = z.int().min(0);
/** Key, version, time; for a lock also its fence and expiry. */
export const AppliedTuples = z.array(z.union([
  z.tuple([z.string(), count, count]),
  z.tuple([z.string(), count, count, count, count]),
]));
const Header = z.object({
  format: z.literal(FORMAT),
  version: count,
  epoch: z.string(),
  created_ms: count,
  /** The number of lines of entries that follow, and of events after them. */
  entries: count,
  events: count,
  applied: AppliedTuples,
  /** Name, time of the newest, commands: one triple per page. */
  pages: z.array(z.tuple([z.string(), count, count])).default([]),
  lock: z.object({
    user_id: z.string(),
    connection_id: z.string(),
    since_ms: count,
    until_ms: count,
    fence: count,
  }).optional(),
  life: z.object({ id: z.string(), since_ms: count }).optional(),
  earlier: z.array(z.object({ epoch: z.string(), version: count })).optional(),
  start: count,
  last_fence: count,
});

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function eventLine({ version, at_ms, fence, body }: RoomEvent): string {
  return `${version}\t${at_ms}\t${fence ?? ""}\t${body}\n`;
}

/** One entry of `AppliedTuples`. */
export function appliedTuple([key, { version, grant, at_ms }]: [string, AppliedCommand]) {
  const plain = [key, version, at_ms];
  return grant === undefined ? plain : [...plain, grant.fence, grant.until_ms];
}

/** The document's stored form. */
export function encodeDocument(document: RoomDocument): Uint8Array {
  const { version, epoch, created_ms, entries, events, applied, lock } = document;
  const pages = document.pages.map(({ name, newest_ms, commands }) => [name, newest_ms, commands]);
  const { life, start, last_fence, earlier } = document;
  const header = {
    format: FORMAT,
    life,
    start,
    last_fence,
    version,
    epoch,
    created_ms,
    entries: entries.size,
    events: events.length,
    applied: Array.from(applied, appliedTuple),
    ...(pages.length === 0 ? {} : { pages }),
    earlier,
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

/** Reads the remembered commands. */
export function readApplied(tuples: z.output<typeof AppliedTuples>): Map<string, AppliedCommand> {
  return new Map(tuples.map(([key, version, at_ms, fence, until_ms]) => {
    const grant = fence === undefined || until_ms === undefined ? undefined : { fence, until_ms };
    return [key, { version, grant, at_ms }];
  }));
}

/** Fills in the values that the write at `revision` left empty. */
export function settleDocument(document: RoomDocument, revision: number): RoomDocument {
  const { life, epoch, lock, events, applied, last_fence } = document;
  const open_events = events.some((event) => event.fence === 0);
  const open_applied = [...applied.values()].some(({ grant }) => grant?.fence === 0);
  const granted = open_events || open_applied || lock?.fence === 0;
  const fence = granted ? nextFence(life, revision, last_fence) : last_fence;
  return {
    ...document,
    epoch: epoch === "" ? bornEpoch(life, revision) : epoch,
    last_fence: fence,
    lock: lock?.fence === 0 ? { ...lock, fence } : lock,
    events: open_events
      ? events.map((event) => event.fence === 0 ? { ...event, fence } : event)
      : events,
    applied: open_applied
      ? new Map(Array.from(applied, ([key, answered]) => {
        const { grant } = answered;
        const settled = grant?.fence === 0 ? { ...grant, fence } : grant;
        return [key, { ...answered, grant: settled }];
      }))
      : applied,
  };
}

/**
 * Reads the stored form that was written at `revision`. Throws `incompatible-version` for a newer ArqonBus's document,
 * `internal` (500) for invalid data from another writer; the error's cause has the details.
 */
export function decodeDocument(bytes: Uint8Array, revision: number): RoomDocument {
  try {
    const lines = strictUtf8.decode(bytes).split("\n");
    if (lines.pop() !== "") throw new SyntaxError("a room document ends with a line feed");
    const [first = "", ...rest] = lines;
    const json: unknown = JSON.parse(first);
    requireFormat(json, "room", FORMAT);
    const parsed = Header.parse(json);
    const { format: _, life, entries, events, applied, pages, lock, ...header } = parsed;
    if (entries + events !== rest.length) throw new SyntaxError("lines are missing");
    const event_lines = rest.slice(entries);
    const other_bytes = [first, ...event_lines].reduce((sum, line) => sum + utf8Size(line) + 1, 0);
    const document: RoomDocument = {
      ...header,
      life,
      entries: readEntries(rest.slice(0, entries)),
      entries_bytes: bytes.length - other_bytes,
      applied: readApplied(applied),
      pages: pages.map(([name, newest_ms, commands]) => ({ name, newest_ms, commands })),
      events: event_lines.map(readEvent),
      lock,
    };
    return settleDocument(document, revision);
  } catch (cause) {
    if (isIncompatible(cause)) throw cause;
    throw new ArqonError("internal", "", { cause });
  }
}
