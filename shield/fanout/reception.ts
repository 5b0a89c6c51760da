/**
 * Judges each message from the Spine for one room of this process: whether it is due, is a repetition, or follows a gap
 * of which the room's subscribers must first be notified. Messages of rooms with a log have offsets; changes of the
 * room's state are judged here, too.
 */
import type { PlainEnvelope } from "@arqon/proto";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import { readChange, ReceivedChanges } from "./room_changes.ts";
import { ORDER_HEADER, ReceivedOrder } from "../message/room_order.ts";

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
  #order: ReceivedOrder | undefined;
  #changes: ReceivedChanges | undefined;
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
      const order = headers[ORDER_HEADER];
      if (order === undefined) return "due";
      const verdict = (this.#order ??= new ReceivedOrder()).receive(order);
      return verdict === "next" ? "due" : verdict === "hole" ? "lost" : "repeated";
    }
    const change = readChange(plain, headers);
    if (change === undefined) return "due";
    const verdict = (this.#changes ??= new ReceivedChanges(this.#opened_ms)).receive(change, now());
    if (verdict === "next") return "due";
    if (verdict === "hole") return "changes-lost";
    return change.again_ms === undefined ? "repeated" : "again";
  }

  /** Called after subscribers were notified that messages may be missing. */
  gapReported(): void {
    this.is_cut = false;
    this.#order?.gapReported();
  }
}
