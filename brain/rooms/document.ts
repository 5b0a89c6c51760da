/**
 * The state of one room as a pure value: keys with JSON texts, a version without gaps, an epoch, and
 * the commands applied last. Also its stored form. No Spine, no clock, no queue: `room.ts` has those.
 *
 * Stored form, UTF-8 lines: a JSON header, then `<key as JSON>\t<value as compact JSON>` per entry.
 * Compact JSON holds neither tab nor line feed, so reading it back parses no value at all.
 */
import { ArqonError } from "@arqon/proto";

/** How many commands a room remembers to answer a repetition (design.md 5). */
export const APPLIED_MAX = 64;

/** One room's state. Never changed in place. */
export interface RoomDocument {
  /** Successful writes in this epoch; 0: the room does not exist. */
  readonly version: number;
  /**
   * The creation revision as decimal text. Empty before, and in the stored form of the first write,
   * which cannot know its own revision.
   */
  readonly epoch: string;
  /** Key to compact JSON text, in order of first write. */
  readonly entries: ReadonlyMap<string, string>;
  /** Bytes of all entries in the stored form: what `[brain] state_bytes` bounds. */
  readonly entries_bytes: number;
  /** Command key to the version it answered with, oldest first; at most APPLIED_MAX. */
  readonly applied: ReadonlyMap<string, number>;
}

/** A position that may be beyond 2^53, as the wire has it. */
type Position = number | bigint;

interface Expectation {
  /** The version the room must have; 0 is any. */
  readonly expect_version: Position;
  /** A version that the sender has seen; 0 is none. */
  readonly after_version: Position;
  /** The epoch those versions belong to; empty is any. */
  readonly epoch: string;
}

/** Reads one key or everything. */
export interface GetCommand extends Expectation {
  readonly kind: "get";
  /** Absent: the whole state. */
  readonly key: string | undefined;
}

/** Writes one key. */
export interface SetCommand extends Expectation {
  readonly kind: "set";
  readonly key: string;
  /** Compact JSON text. */
  readonly value: string;
  /** Who sent it under which command_id; absent when the sender gave none. */
  readonly command_key: string | undefined;
}

/** What a room can be asked to do. */
export type RoomCommand = GetCommand | SetCommand;

/** What a command found or did, at `version`. */
export type RoomAnswer =
  | { readonly kind: "set"; readonly version: number }
  | {
    readonly kind: "value";
    readonly version: number;
    readonly key: string;
    readonly value: string | undefined;
  }
  | { readonly kind: "state"; readonly version: number; readonly state: string };

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A room that nobody has written to. */
export function emptyDocument(): RoomDocument {
  return { version: 0, epoch: "", entries: new Map(), entries_bytes: 0, applied: new Map() };
}

function entryBytes(key: string, value: string): number {
  return utf8.encode(`${JSON.stringify(key)}\t${value}\n`).length;
}

function stateText(entries: ReadonlyMap<string, string>): string {
  const members = Array.from(entries, ([key, value]) => `${JSON.stringify(key)}:${value}`);
  return `{${members.join(",")}}`;
}

/** One batch's working copy, so that a thousand commands copy the document once. */
interface Draft {
  version: number;
  readonly epoch: string;
  readonly entries: Map<string, string>;
  entries_bytes: number;
  readonly applied: Map<string, number>;
  /** The whole state at `version`, once somebody asked: gets of one batch share it. */
  state: string | undefined;
}

/**
 * Versions mean nothing in another epoch, and no room has a version that it has not reached: reads
 * are of the newest revision, so waiting for `after_version` would wait for nothing.
 */
function checkExpectation(draft: Draft, command: RoomCommand): void {
  const { expect_version, after_version, epoch } = command;
  const bound = expect_version !== 0 || after_version !== 0;
  const holds = (expect_version === 0 || expect_version === draft.version) &&
    after_version <= draft.version && (!bound || epoch === "" || epoch === draft.epoch);
  if (!holds) throw new ArqonError("version-conflict", String(draft.version));
}

function applySet(draft: Draft, command: SetCommand, state_bytes: number): RoomAnswer {
  const { key, value, command_key } = command;
  const answered = command_key === undefined ? undefined : draft.applied.get(command_key);
  if (answered !== undefined) return { kind: "set", version: answered };
  checkExpectation(draft, command);

  const before = draft.entries.get(key);
  const freed = before === undefined ? 0 : entryBytes(key, before);
  const size = draft.entries_bytes - freed + entryBytes(key, value);
  if (size > state_bytes) {
    const detail = `the room's state would be ${size} bytes; [brain] state_bytes is ${state_bytes}`;
    throw new ArqonError("message-too-large", detail);
  }
  draft.entries.set(key, value);
  draft.entries_bytes = size;
  draft.version++;
  draft.state = undefined;
  if (command_key !== undefined) {
    draft.applied.set(command_key, draft.version);
    const oldest = draft.applied.keys().next();
    if (draft.applied.size > APPLIED_MAX && !oldest.done) draft.applied.delete(oldest.value);
  }
  return { kind: "set", version: draft.version };
}

function applyGet(draft: Draft, command: GetCommand): RoomAnswer {
  checkExpectation(draft, command);
  const { version } = draft;
  if (command.key !== undefined) {
    return { kind: "value", version, key: command.key, value: draft.entries.get(command.key) };
  }
  draft.state ??= stateText(draft.entries);
  return { kind: "state", version, state: draft.state };
}

/** What a list of commands came to. */
export interface Applied {
  /** The given document itself when nothing was written. */
  readonly document: RoomDocument;
  /** One per command, in order. A refusal changes nothing. */
  readonly answers: readonly (RoomAnswer | ArqonError)[];
}

/**
 * Applies commands in order. Refusals are answers, not exceptions: `version-conflict` (409) with the
 * room's version, `message-too-large` (413) when the entries would pass `state_bytes`.
 */
export function applyCommands(
  document: RoomDocument,
  commands: readonly RoomCommand[],
  state_bytes: number,
): Applied {
  const draft: Draft = {
    ...document,
    entries: new Map(document.entries),
    applied: new Map(document.applied),
    state: undefined,
  };
  const answers = commands.map((command) => {
    try {
      return command.kind === "set"
        ? applySet(draft, command, state_bytes)
        : applyGet(draft, command);
    } catch (error) {
      if (error instanceof ArqonError) return error;
      throw error;
    }
  });
  if (draft.version === document.version) return { document, answers };
  const { state: _, ...changed } = draft;
  return { document: changed, answers };
}

/** The JSON of an answer, as the ACK's `result` carries it. `epoch` is that of the room now. */
export function answerJson(answer: RoomAnswer, epoch: string): string {
  // Version 0 is "before the room": a read in the batch that creates it has no epoch yet.
  const position = `"version":${answer.version},"epoch":${
    JSON.stringify(answer.version === 0 ? "" : epoch)
  }`;
  switch (answer.kind) {
    case "set":
      return `{${position}}`;
    case "state":
      return `{${position},"state":${answer.state}}`;
    case "value": {
      const { key, value } = answer;
      return `{${position},"key":${JSON.stringify(key)},"value":${value ?? "null"},"exists":${
        value !== undefined
      }}`;
    }
  }
}

interface Header {
  format: 1;
  version: number;
  epoch: string;
  /** How many lines follow. */
  entries: number;
  applied: [string, number][];
}

/** The stored form. */
export function encodeDocument(document: RoomDocument): Uint8Array {
  const { version, epoch, applied } = document;
  const header: Header = {
    format: 1,
    version,
    epoch,
    entries: document.entries.size,
    applied: [...applied],
  };
  const lines = Array.from(
    document.entries,
    ([key, value]) => `${JSON.stringify(key)}\t${value}\n`,
  );
  return utf8.encode(`${JSON.stringify(header)}\n${lines.join("")}`);
}

function readHeader(line: string): Header {
  const header = JSON.parse(line);
  const valid = header?.format === 1 && Number.isSafeInteger(header.version) &&
    header.version > 0 && typeof header.epoch === "string" && Array.isArray(header.applied) &&
    header.applied.every((pair: unknown) =>
      Array.isArray(pair) && typeof pair[0] === "string" && Number.isSafeInteger(pair[1])
    );
  if (!valid) throw new SyntaxError("not a room document of format 1");
  return header;
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

/**
 * Reads the stored form that was written at `revision`. Throws `internal` (500) when it is not one:
 * somebody else wrote to the bucket; the cause says what is wrong.
 */
export function decodeDocument(bytes: Uint8Array, revision: number): RoomDocument {
  try {
    const lines = strictUtf8.decode(bytes).split("\n");
    if (lines.pop() !== "") throw new SyntaxError("a room document ends with a line feed");
    const [first = "", ...rest] = lines;
    const { version, epoch, entries, applied } = readHeader(first);
    if (entries !== rest.length) throw new SyntaxError("entries are missing");
    return {
      version,
      epoch: epoch === "" ? String(revision) : epoch,
      entries: readEntries(rest),
      entries_bytes: bytes.length - utf8.encode(first).length - 1,
      applied: new Map(applied),
    };
  } catch (cause) {
    throw new ArqonError("internal", "", { cause });
  }
}
