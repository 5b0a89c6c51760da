/**
 * A tenant's journal from a bus: all answers as one stream of whole lines. Lines are not parsed here; files of lines
 * are read elsewhere.
 */
import { ArqonError } from "@arqon/sdk";
import type { Admin } from "../bus/admin.ts";
import { concat } from "../../shared/containers/concat.ts";
import type { JournalQuery } from "../../shield/journal/admin/read.ts";

/** The query for a journal. */
export interface JournalWish extends Omit<JournalQuery, "outcome" | "after" | "limit"> {
  /** `allowed`, `refused` or `fault`. */
  readonly outcome?: string | undefined;
  /** `next` of an earlier answer. */
  readonly after?: string | undefined;
  /** The newest lines, not the oldest; without `after`. */
  readonly newest?: "1" | undefined;
  /** Whether payloads in rooms' logs are included. */
  readonly has_payloads?: boolean | undefined;
}

/** Where reading ended. */
export interface JournalPosition {
  /** `after` of the next request. */
  readonly next: string;
  /** There was nothing more at that time. */
  readonly is_end: boolean;
}

const NEWLINE = 0x0a;
/** Much longer than a bus needs for one read; without a limit `arq` could wait forever. */
const SILENCE_MS = 60_000;

/**
 * The lines of one answer, whole lines at a time; returns where it ended. Throws the bus's refusal, and
 * `connection-lost` for an answer without its end, or when nothing arrives for `silence_ms`.
 */
export async function* journalAnswer(
  admin: Admin,
  wish: JournalWish,
  limit: number,
  silence_ms: number = SILENCE_MS,
): AsyncGenerator<Uint8Array<ArrayBuffer>, JournalPosition> {
  // The last line is held back: it has the position where the answer ended.
  let held = new Uint8Array(0);
  const silence = new Silence(admin, silence_ms);
  silence.begin();
  try {
    const { has_payloads, ...own } = wish;
    const payload = has_payloads === true ? "1" : undefined;
    const query = { limit, ...own, payload };
    for await (const chunk of await admin.stream("/v1/journal", query, silence.signal)) {
      // The consumer of the lines may take its time.
      silence.end();
      const all = concat([held, chunk]);
      const end = all.subarray(0, -1).lastIndexOf(NEWLINE) + 1;
      if (end > 0) yield all.slice(0, end);
      held = all.slice(end);
      silence.begin();
    }
  } catch (error) {
    silence.signal.throwIfAborted();
    if (!(error instanceof TypeError)) throw error;
  } finally {
    silence.end();
  }
  admin.io.signal.throwIfAborted();
  const position = positionIn(held);
  if (position !== undefined) return position;
  throw new ArqonError(
    "connection-lost",
    `${admin.admin_url} closed the connection before the journal's end`,
  );
}

/** A signal that aborts when the bus has been silent for this long while it is waited for. */
class Silence {
  readonly #own = new AbortController();
  readonly #silence_ms: number;
  readonly #admin_url: string;
  readonly signal: AbortSignal;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor({ admin_url, io }: Admin, silence_ms: number) {
    this.#silence_ms = silence_ms;
    this.#admin_url = admin_url;
    this.signal = AbortSignal.any([io.signal, this.#own.signal]);
  }

  begin(): void {
    const seconds = this.#silence_ms / 1_000;
    const text = `${this.#admin_url} has sent nothing of the journal for ${seconds} s`;
    const error = new ArqonError("connection-lost", text);
    this.end();
    this.#timer = setTimeout(() => this.#own.abort(error), this.#silence_ms);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

function positionIn(line: Uint8Array): JournalPosition | undefined {
  try {
    const { next, is_end } = JSON.parse(new TextDecoder().decode(line));
    return typeof next === "string" && typeof is_end === "boolean" ? { next, is_end } : undefined;
  } catch {
    return undefined;
  }
}

/** More lines would only make each answer longer. */
const ANSWER_LINES = 10_000;

/** The place of the newest block; Infinity when the bus does not find it in one answer. */
async function newestBlock(admin: Admin, { tenant }: JournalWish): Promise<number> {
  const answer = journalAnswer(admin, { tenant, newest: "1" }, 1);
  for (;;) {
    const { done, value } = await answer.next();
    if (done === true) return value.is_end ? Number.parseInt(value.next, 10) : Infinity;
  }
}

/**
 * All lines that exist now, oldest first, whole lines at a time. New lines are not waited for, because reading would
 * never end. The end is a place, not a time, because a clock that was set back leaves decisions with future times.
 * Throws as `journalAnswer` does.
 */
export async function* journalBytes(
  admin: Admin,
  wish: JournalWish,
): AsyncGenerator<Uint8Array<ArrayBuffer>, JournalPosition> {
  const newest = await newestBlock(admin, wish);
  for (let after = wish.after;;) {
    const position = yield* journalAnswer(admin, { ...wish, after }, ANSWER_LINES);
    if (position.is_end) return position;
    const block = Number(position.next);
    if (Number.isInteger(block) && block >= newest) return { ...position, is_end: true };
    after = position.next;
  }
}
