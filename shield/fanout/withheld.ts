/**
 * Takes note of what filters keep from subscribers, for the ledger: a message once for each filter, whatever
 * the number of those who have it. What a filter says is decided in `filter/`.
 */
import { MessageView } from "../../shared/filter/message_view.ts";
import { withholding } from "../filter/filter.ts";
import type { ClassFilter, Filter } from "../filter/filter.ts";
import type { DeliveryNotes, LeftOutRun, NotedRoom, SubscriptionMark } from "./noted.ts";
import { mappedReader } from "../schema/mapped_data.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Channel, HubOptions, Subscriber } from "./channel.ts";

/** What one filter kept from those who have it in a room. */
interface Kept {
  /** The position of the last message that it kept. */
  position: number;
  row: LeftOutRun | undefined;
}

/** What the filters of one room keep. */
export class Withheld {
  readonly #filters = new WeakMap<Filter, Kept>();

  /** Takes note that a filter keeps the message that is being sent from a subscriber. */
  note(ledger: DeliveryNotes, room: NotedRoom, filter: Filter, mark: SubscriptionMark): void {
    const position = ledger.current;
    let kept = this.#filters.get(filter);
    if (kept === undefined) {
      kept = { position: 0, row: undefined };
      this.#filters.set(filter, kept);
    }
    if (kept.position !== position) {
      kept.position = position;
      kept.row = ledger.leftOutAlone(room, filter.number, position, "filter", kept.row);
    }
    const filters = mark.filters ??= [];
    // Another claim, or another class, makes it another filter.
    if (!filters.includes(filter.number)) filters.push(filter.number);
  }
}

/** Whether a filter keeps the message that is being sent from a subscriber; if so, it is counted. */
export function isWithheld(
  { stats, ledger, schemas, shares }: Pick<HubOptions, "stats" | "ledger" | "schemas" | "shares">,
  channel: Channel,
  subscriber: Subscriber,
  outgoing: Outgoing,
  of_class: ClassFilter | undefined,
): boolean {
  const { envelope, plain } = outgoing;
  const view = outgoing.view ??= new MessageView(
    envelope,
    stats.filter_verdicts,
    plain,
    mappedReader(schemas, channel.tenant_id, channel.room_id),
    shares?.of(channel.tenant_id),
  );
  const filter = withholding(subscriber, view, of_class);
  if (filter === undefined) return false;
  stats.filtered++;
  const { mark } = subscriber;
  if (ledger === undefined || channel.noted === undefined || mark === undefined) return true;
  channel.withheld ??= new Withheld();
  channel.withheld.note(ledger, channel.noted, filter, mark);
  return true;
}
