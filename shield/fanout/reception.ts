/**
 * Judges each message from the Spine for one room of this process: whether it is due, is a repetition, or follows a gap
 * of which the room's subscribers must first be notified. Messages of rooms with a log have offsets; changes of the
 * room's state are judged here, too.
 */
import type { PlainEnvelope } from "@arqon/proto";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import { HeardChanges, readChange } from "./room_changes.ts";
import { HeardOrder, ORDER_HEADER } from "../message/room_order.ts";

/** Why a GAP comes before a message: messages are missing, or changes of the room's state. */
export type Hole = "lost" | "changes-lost";

/**
 * The verdict on a message. `repeated`: the servers delivered it before. `again`: it was repeated for clients that had
 * not received it.
 */
export type Received = "due" | "repeated" | "again" | Hole;

/** The reception of one room that is open. */
export class Reception {
  readonly #opened_ms: number;
  /** The publish order of Shields on NATS; undefined until a message with an order has arrived. */
  #order: HeardOrder | undefined;
  #changes: HeardChanges | undefined;
  /** True if the connection was lost and nothing has arrived since: the loss is reported before the next message. */
  is_cut = false;

  /** `opened_ms` is monotonic. */
  constructor(opened_ms: number) {
    this.#opened_ms = opened_ms;
  }

  /**
   * Judges a message. `plain` is the envelope of one that did not come from a Shield; `now` is called for changes only.
   */
  receive(plain: PlainEnvelope | undefined, headers: SpineHeaders, now: () => number): Received {
    if (plain === undefined) {
      const said = headers[ORDER_HEADER];
      if (said === undefined) return "due";
      const heard = (this.#order ??= new HeardOrder()).hear(said);
      return heard === "next" ? "due" : heard === "hole" ? "lost" : "repeated";
    }
    const change = readChange(plain, headers);
    if (change === undefined) return "due";
    const heard = (this.#changes ??= new HeardChanges(this.#opened_ms)).hear(change, now());
    if (heard === "next") return "due";
    if (heard === "hole") return "changes-lost";
    return change.again_ms === undefined ? "repeated" : "again";
  }

  /** Called after subscribers were notified that messages may be missing. */
  gapTold(): void {
    this.is_cut = false;
    this.#order?.gapTold();
  }
}
