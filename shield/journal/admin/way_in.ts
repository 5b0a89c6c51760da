/**
 * The way in of messages: which decisions of a tenant's journal are about them, step by step. A bounded part of
 * the journal at a time; what ledgers know of the messages says when they were decided.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import {
  isHole,
  JournalHole,
  JournalRecord,
  PolicyRecord,
} from "../../../shared/journal/record.ts";
import type { JournalLine } from "../../../shared/journal/record.ts";
import { placeText } from "./query.ts";
import type { JournalPlaceText } from "./query.ts";
import { readJournal } from "./read.ts";
import type { JournalReading } from "./read.ts";
import { Step, stepsOf } from "./way_in_steps.ts";

/** Lines of an answer at most, decisions and holes. */
const LINES_MAX = 200;
/** Lines of the journal that one answer looks at; this takes about half a second, in slices. */
const LOOKED_MAX = 100_000;
/** A message is decided before it is heard, by Shields whose clocks differ. */
const BESIDE_MS = 30_000;

const { format: _, payload: __, content_type: ___, meter_version: ____, ...record } =
  JournalRecord.shape;

/** One decision, without what users have sent; `arq journal` has the whole record of that id. */
const Decision = z.strictObject({
  ...record,
  policies: z.array(PolicyRecord.pick({
    name: true,
    module: true,
    abi: true,
    mode: true,
    allowed: true,
    code: true,
    reason: true,
    fault: true,
    detail: true,
    units: true,
    budget_units: true,
  })),
  /** Its place among the messages of the answer; null: no ledger knows of the message. */
  message_place: z.int().min(0).nullable(),
  steps: z.array(Step),
});

/** What the journal says. */
export const WayIn = z.strictObject({
  decisions: z.array(Decision).max(LINES_MAX),
  /** Where decisions are missing: it may be these. */
  holes: z.array(JournalHole.shape.hole).max(LINES_MAX),
  /** False: there is more than was read; `next` says where to go on. */
  is_whole: z.boolean(),
  next: z.string().nullable(),
  /** Why it could not be read; "": it was. */
  problem: z.string(),
});
export type WayIn = z.output<typeof WayIn>;
type Decision = z.output<typeof Decision>;

/** A message as a ledger has it. */
export interface SoughtMessage {
  readonly room_id: string;
  /** 0, "" and [] for what is not known, here and below. */
  readonly offset: number;
  readonly trace_id: string;
  readonly twist_id: string;
  readonly message_id: string;
  /** When it was heard, Unix ms, each by its Shield's clock. */
  readonly heard: readonly { readonly time_ms: number }[];
}

/** Which messages are meant. */
export interface WayInAsked {
  readonly tenant: string;
  readonly message_id?: string | undefined;
  readonly trace?: string | undefined;
  readonly twist?: string | undefined;
  readonly room?: string | undefined;
  readonly offset?: number | undefined;
  /** What ledgers know of them. */
  readonly found: readonly SoughtMessage[];
  /** `next` of the answer before. */
  readonly after?: JournalPlaceText | undefined;
}

/** What the journal says of the messages. A store or keys that cannot be reached are a part of the answer. */
export async function wayIn(reading: JournalReading, asked: WayInAsked): Promise<WayIn> {
  const { tenant, after } = asked;
  const decisions: Decision[] = [];
  const holes: WayIn["holes"] = [];
  const isMeant = meantBy(asked);
  const query = { tenant, after, ...windowOf(asked.found), limit: LINES_MAX };
  try {
    const lines = readJournal(reading, query, { lines: LOOKED_MAX, isMeant });
    let step = await lines.next();
    for (; step.done !== true; step = await lines.next()) {
      for (const line of step.value) {
        if (isHole(line)) holes.push(line.hole);
        else decisions.push(decisionOf(line, asked.found));
      }
    }
    const { is_end, next } = step.value;
    return {
      decisions,
      holes,
      is_whole: is_end,
      next: is_end ? null : placeText(next),
      problem: "",
    };
  } catch (error) {
    if (!(error instanceof ArqonError)) throw error;
    return { decisions, holes, is_whole: false, next: null, problem: error.message };
  }
}

/** Whether a line is about the messages; holes may be. Pure. */
function meantBy(asked: WayInAsked): (line: JournalLine) => boolean {
  const { message_id, room, offset, found } = asked;
  const [trace, twist] = [digitsOf(asked.trace), digitsOf(asked.twist)];
  return (line) => {
    if (isHole(line)) return true;
    if (found.some((one) => isAbout(line, one))) return true;
    if (room !== undefined && line.room !== room) return false;
    return message_id !== undefined && line.message_id === message_id ||
      trace !== undefined && line.trace === trace ||
      twist !== undefined && digitsOf(line.twist) === twist ||
      offset !== undefined && line.offset === offset;
  };
}

/** Whether a decision is about that message: by the id that both know best. */
function isAbout({ room, message_id, offset, twist, trace }: JournalRecord, one: SoughtMessage) {
  if (room !== one.room_id) return false;
  if (offset !== null && one.offset > 0) return offset === one.offset;
  if (twist !== undefined) return twist === one.twist_id;
  if (message_id !== null) return message_id === one.message_id;
  return one.message_id === "" && trace !== null && trace === one.trace_id;
}

/** The digits of an id, which people write with dashes and in either case. */
const digitsOf = (text: string | undefined): string | undefined =>
  text?.replaceAll("-", "").toLowerCase();

/** The time in which messages were decided that were heard; all time for those that nobody heard. */
function windowOf(found: readonly SoughtMessage[]): { since_ms?: number; until_ms?: number } {
  const heard_ms = found.flatMap(({ heard }) => heard.map(({ time_ms }) => time_ms));
  if (heard_ms.length === 0) return {};
  return {
    since_ms: Math.max(0, Math.trunc(Math.min(...heard_ms)) - BESIDE_MS),
    until_ms: Math.trunc(Math.max(...heard_ms)) + BESIDE_MS,
  };
}

function decisionOf(line: JournalRecord, found: readonly SoughtMessage[]): Decision {
  const { format: _, payload: __, content_type: ___, meter_version: ____, ...told } = line;
  const place = nearest(line, found);
  return {
    ...told,
    policies: line.policies.map((
      { name, module, abi, mode, allowed, code, reason, fault, detail, units, budget_units },
    ) => ({ name, module, abi, mode, allowed, code, reason, fault, detail, units, budget_units })),
    message_place: place,
    steps: stepsOf(line, place === null ? undefined : found[place]),
  };
}

/** Of several messages with the same ids, the one that was heard nearest to the decision. */
function nearest(line: JournalRecord, found: readonly SoughtMessage[]): number | null {
  let best: number | null = null;
  let best_ms = Infinity;
  for (const [place, one] of found.entries()) {
    if (!isAbout(line, one)) continue;
    for (const { time_ms } of one.heard) {
      const apart_ms = Math.abs(time_ms - line.time_ms);
      if (apart_ms < best_ms) [best, best_ms] = [place, apart_ms];
    }
  }
  return best;
}
