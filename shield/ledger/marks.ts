/** The ledger's marks of subscriptions: when one has begun, and when and why it has ended. */
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { SubscriptionNotes } from "../fanout/delivery_notes.ts";
import type { Filters } from "../fanout/filters.ts";
import type { Ledger } from "./ledger.ts";

/** Makes the notes of a ledger. `filters` are opened later than it. */
export function subscriptionNotes(
  ledger: Ledger,
  classes: Pick<RoomClasses, "of">,
  filters: () => Pick<Filters, "ofClass">,
): SubscriptionNotes {
  return {
    began(connection, room_id, { flow, filter, began }) {
      ledger.joined?.add(connection);
      const { identity } = connection;
      const mark = {
        number: ledger.nextSubscription(),
        connection: connection.number,
        since: ledger.position,
        since_ms: ledger.now_ms,
        episode: flow?.continueAs(),
        ...began,
      };
      const of_class = filters().ofClass(classes.of(identity.tenant_id, room_id), identity);
      const numbers = [filter, of_class].flatMap((one) => one === undefined ? [] : [one.number]);
      return numbers.length === 0 ? mark : { ...mark, filters: numbers };
    },
    left({ identity, outbox }, room_id, mark, why) {
      const room = ledger.rooms.find(identity.tenant_id, room_id);
      if (room === undefined || mark === undefined) return;
      const { number, connection, since, since_ms, episode: caught_up, filters } = mark;
      const batch = outbox?.has_batches ?? false;
      ledger.left(room, connection, { number, since, since_ms, why, batch, caught_up, filters });
    },
  };
}
