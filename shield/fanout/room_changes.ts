/**
 * The state changes of one room that its subscribers here have received. The versions of the changes identify
 * repetitions and gaps. Pure. `hub.ts` notifies the subscribers.
 */
import type { PlainEnvelope } from "@arqon/proto";
import {
  AGAIN_HEADER,
  FIRST_HEADER,
  readChangeId,
  ROOM_UPDATE,
} from "../../shared/records/room_update.ts";
import type { ChangeNumber } from "../../shared/records/room_update.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";

/** The number of remembered past epochs, whose changes may arrive late. */
const PAST_EPOCHS = 8;
/** A repetition within this time, in ms, has only overtaken the change itself: nothing is missing before it. */
const OVERTAKEN_MS = 1_000;

interface ReportedChange extends ChangeNumber {
  /** How late it is reported, in ms; undefined for the first report. */
  readonly again_ms: number | undefined;
  /** True for the first change since the room's creation: no earlier one can be missing. */
  readonly is_first: boolean;
}

/** The change in an envelope; undefined for an envelope that is not from a Brain. */
export function readChange(
  { event, sender_id, message_id }: PlainEnvelope,
  headers: SpineHeaders,
): ReportedChange | undefined {
  if (event?.type !== ROOM_UPDATE || sender_id !== "") return undefined;
  const number = readChangeId(message_id);
  if (number === undefined) return undefined;
  const again_ms = Number(headers[AGAIN_HEADER] ?? NaN);
  const is_first = headers[FIRST_HEADER] !== undefined;
  return { ...number, again_ms: again_ms >= 0 ? again_ms : undefined, is_first };
}

/**
 * The verdict on a change. `repeated`: it, or a later one, was received before. `hole`: an earlier change is missing.
 */
type ChangeVerdict = "next" | "repeated" | "hole";

/** The changes of one room received since it was opened. */
export class ReceivedChanges {
  readonly #opened_ms: number;
  #last: ChangeNumber | undefined;
  readonly #past = new Set<string>();

  /** `opened_ms`: the time of the first subscriber, monotonic. */
  constructor(opened_ms: number) {
    this.#opened_ms = opened_ms;
  }

  /** Compares a change with those before it. */
  receive(change: ReportedChange, now_ms: number): ChangeVerdict {
    const { epoch, version, is_first } = change;
    const last = this.#last;
    if (last === undefined) {
      this.#last = { epoch, version };
      return this.#begin(change, now_ms);
    }
    if (last.epoch === epoch) {
      if (version <= last.version) return "repeated";
      this.#last = { epoch, version };
      return version === last.version + 1 ? "next" : "hole";
    }
    if (this.#past.has(epoch)) return "repeated";
    this.#end(last.epoch);
    this.#last = { epoch, version };
    return is_first ? "next" : "hole";
  }

  /** Takes the first change: changes before the first subscription are no news. */
  #begin({ again_ms, is_first }: ReportedChange, now_ms: number): ChangeVerdict {
    if (again_ms === undefined) return "next";
    if (now_ms - again_ms < this.#opened_ms) return "repeated";
    return again_ms < OVERTAKEN_MS || is_first ? "next" : "hole";
  }

  #end(epoch: string): void {
    this.#past.add(epoch);
    if (this.#past.size <= PAST_EPOCHS) return;
    for (const oldest of this.#past) return void this.#past.delete(oldest);
  }
}
