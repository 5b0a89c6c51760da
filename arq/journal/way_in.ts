/**
 * The way in of a message, for `arq why`: what the journal says of the decisions about it. Which journal lines
 * are asked for, and which of those are meant; how they are shown is another file's.
 */
import { ArqonError } from "@arqon/sdk";
import { isHole, parseLine } from "../../shared/journal/record.ts";
import type { JournalHole, JournalLine, JournalRecord } from "../../shared/journal/record.ts";
import type { Admin } from "../bus/admin.ts";
import type { Io } from "../terminal/io.ts";
import { journalAnswer } from "./bus_journal.ts";
import type { JournalWish } from "./bus_journal.ts";

/** Decisions, and holes, that are told at most. */
const LINES_MAX = 50;
/** Answers that are read at most, each of up to 16 MiB of the journal. */
const ANSWERS_MAX = 32;
/** Lines of one answer. */
const ANSWER_LINES = 10_000;
/** A message is decided before it is heard, by Shields whose clocks differ. */
const BESIDE_MS = 30_000;

/** A message as a ledger has it, or as far as it was asked for. */
export interface SoughtMessage {
  readonly room_id: string;
  /** 0, "" and [] for what is not known, here and below. */
  readonly offset: number;
  readonly trace_id: string;
  readonly message_id: string;
  /** When it was heard, Unix ms. */
  readonly heard_ms: readonly number[];
}

/** What was asked; one of the ids is there, or the room and the offset. */
export interface SoughtIds {
  readonly message_id?: string | undefined;
  readonly trace?: string | undefined;
  readonly room?: string | undefined;
  readonly offset?: number | undefined;
}

/** What the journal says. */
export interface WayIn {
  readonly records: readonly JournalRecord[];
  /** Where decisions are missing: it may be these. */
  readonly holes: readonly JournalHole[];
  /** False: there is more than was read. */
  readonly is_whole: boolean;
  /** Why it could not be read; "": it was. */
  readonly problem: string;
}

/** A question to the journal, and which records of the answer are meant. */
interface Search extends Omit<JournalWish, "tenant"> {
  /** The place in the room's log: the bus does not look for that. */
  readonly offset?: number | undefined;
}

/** What the journal is asked, question after question until one finds something. Pure. */
export function searchesOf(asked: SoughtIds, found: readonly SoughtMessage[]): Search[] {
  const { room, message_id } = asked;
  const trace = traceIn(asked.trace);
  const searches: Search[] = [];
  if (message_id !== undefined) searches.push({ room, message_id, ...windowOf(found) });
  if (trace !== undefined) searches.push({ room, trace, ...windowOf(found) });
  const [one] = found;
  if (found.length !== 1 || one === undefined) {
    return asked.offset === undefined ? searches : [{ room, offset: asked.offset }];
  }
  // Of a trace that a Shield made, the journal knows nothing.
  const [room_id, made] = [one.room_id, traceIn(one.trace_id)];
  if (message_id === undefined && one.message_id !== "") {
    searches.push({ room: room_id, message_id: one.message_id, ...windowOf(found) });
  } else if (one.offset > 0) {
    searches.push({ room: room_id, offset: one.offset, ...windowOf(found) });
  } else if (trace === undefined && message_id === undefined && made !== undefined) {
    searches.push({ room: room_id, trace: made, ...windowOf(found) });
  }
  return searches;
}

/** A trace id as the journal has it. */
function traceIn(text: string | undefined): string | undefined {
  const digits = text?.replaceAll("-", "").toLowerCase();
  return digits !== undefined && /^[0-9a-f]{32}$/.test(digits) ? digits : undefined;
}

/** The time in which messages were decided that were heard; all time for those that nobody heard. */
function windowOf(found: readonly SoughtMessage[]): Pick<Search, "since_ms" | "until_ms"> {
  const heard_ms = found.flatMap((one) => one.heard_ms);
  if (heard_ms.length === 0) return {};
  return {
    since_ms: Math.max(0, Math.trunc(Math.min(...heard_ms)) - BESIDE_MS),
    until_ms: Math.trunc(Math.max(...heard_ms)) + BESIDE_MS,
  };
}

/** Asks the journal of a tenant. A refusal of the bus is a part of the answer. */
export async function findWayIn(
  io: Io,
  admin: Admin,
  tenant: string,
  searches: readonly Search[],
): Promise<WayIn> {
  let told: WayIn = { records: [], holes: [], is_whole: true, problem: "" };
  for (const search of searches) {
    told = await findBy(io, admin, tenant, search);
    if (told.records.length > 0 || told.problem !== "") break;
  }
  return told;
}

async function findBy(
  io: Io,
  admin: Admin,
  tenant: string,
  { offset, ...wish }: Search,
): Promise<WayIn> {
  const records: JournalRecord[] = [];
  const holes: JournalHole[] = [];
  const told = (is_whole: boolean, problem = ""): WayIn => ({ records, holes, is_whole, problem });
  try {
    let after: string | undefined;
    for (let answers = 0; answers < ANSWERS_MAX; answers++) {
      const answer = journalAnswer(io, admin, { ...wish, tenant, after }, ANSWER_LINES);
      let step = await answer.next();
      for (; step.done !== true; step = await answer.next()) {
        for (const line of linesOf(step.value)) {
          if (isHole(line)) {
            if (holes.length < LINES_MAX) holes.push(line);
          } else if (offset === undefined || line.offset === offset) {
            if (records.length === LINES_MAX) return told(false);
            records.push(line);
          }
        }
      }
      if (step.value.is_end) return told(true);
      after = step.value.next;
    }
    return told(false);
  } catch (error) {
    io.signal.throwIfAborted();
    if (!(error instanceof ArqonError)) throw error;
    return told(false, error.message);
  }
}

/** The lines that this version knows. */
function linesOf(bytes: Uint8Array): JournalLine[] {
  return new TextDecoder().decode(bytes).trimEnd().split("\n").flatMap((text) => {
    const parsed = parseLine(text);
    return "line" in parsed ? [parsed.line] : [];
  });
}
