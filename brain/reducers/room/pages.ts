/**
 * Answers reads of a room's visible values: pages of the logged state, each with the entry up to which changes are
 * published, so that subscribers continue from there.
 */
import { ArqonError } from "@arqon/proto";
import { keyOf, scopeIn, type ShownPage, valueJson } from "../visible/shown.ts";
import { publishedValuesOf, type ShownRoom } from "./value_changes.ts";

const PAGE_BYTES = 131_072;
/** Pages that are made at a time. */
const TOGETHER = 16;

/** A read of visible values. */
export interface ValuesQuery {
  /** The prefix of the keys; "": all that are visible. */
  readonly prefix: string;
  /** The last key of the previous page; "": the first page. */
  readonly after: string;
}

/** A read in the queue. */
export interface WaitingQuery extends ValuesQuery {
  /** When the reader stops waiting, monotonic ms. */
  readonly deadline_ms: number;
  /** Called once, with the result's JSON or the refusal. Must not throw. */
  readonly answer: (outcome: string | ArqonError) => void;
}

function pageText(scope: string, version: number, { values, more }: ShownPage): string {
  const pairs = values.map(([key, value]) => `[${JSON.stringify(key)},${valueJson(value)}]`);
  const next = more ? `,"next":${JSON.stringify(values.at(-1)?.[0])}` : "";
  return `{"scope":"${scope}","version":${version},"values":[${pairs.join()}]${next}}`;
}

/** Answers all of them. Rejects if another Brain owns the room by now; then none is answered. */
async function answerQueries(room: ShownRoom, queries: readonly WaitingQuery[]): Promise<void> {
  const { loaded, loaded: { at, parts }, shown } = room;
  const { prefixes } = shown;
  const scope = scopeIn(shown, loaded.durable.stream, loaded.life);
  const published = await publishedValuesOf(room, loaded.standing.offset);
  if (published === undefined) {
    for (const { answer } of queries) answer(nothingShown(at.room_id));
    return;
  }
  const pages = await Promise.all(
    queries.map(({ prefix, after }) =>
      parts.host.values(loaded.handle, {
        prefix: keyOf(prefix),
        after: keyOf(after),
        prefixes,
        max_bytes: PAGE_BYTES,
      })
    ),
  );
  for (const [index, { answer }] of queries.entries()) {
    parts.metrics.pages.inc();
    answer(pageText(scope, published.entry, pages[index]!));
  }
}

/** Whether the room here has applied the whole log. */
async function isNewest({ loaded: { at, durable, position } }: ShownRoom): Promise<boolean> {
  const { last } = await durable.head(at.log_room_id);
  return (last?.offset ?? 0) === position;
}

/** The queued reads of one room. */
export class WaitingQueries {
  #waiting: WaitingQuery[] = [];

  get size(): number {
    return this.#waiting.length;
  }

  add(query: WaitingQuery): void {
    this.#waiting.push(query);
  }

  /** Answers the queue. False: another Brain owns the room by now, and the reads stay queued. */
  async answer(room: ShownRoom, monotonic_ms: number, timeout_ms: number): Promise<boolean> {
    while (this.#waiting.length > 0) {
      if (!await isNewest(room)) return false;
      const some = this.#waiting.slice(0, TOGETHER);
      const isLate = ({ deadline_ms }: WaitingQuery) => deadline_ms <= monotonic_ms;
      await answerQueries(room, some.filter((query) => !isLate(query)));
      const timeout = new ArqonError("command-timeout", `${timeout_ms} ms`);
      for (const query of some) if (isLate(query)) query.answer(timeout);
      this.#waiting.splice(0, some.length);
    }
    return true;
  }

  refuse(refusal: ArqonError): void {
    for (const { answer } of this.#waiting.splice(0)) answer(refusal);
  }
}

/** The refusal of a command that only a reducer can answer. */
export const noReducer = (detail: string): ArqonError =>
  new ArqonError("invalid-command", `room.call: ${detail}`);

/** The refusal for a room without visible values. */
export const nothingShown = (room_id: string): ArqonError =>
  new ArqonError("invalid-command", `room.values: ${room_id} shows none: no reducer_visible`);

/** The refusal for a room whose module is not public. */
export const noModule = (room_id: string): ArqonError =>
  new ArqonError(
    "invalid-command",
    `room.module: ${room_id} does not publish it: no reducer_public`,
  );
