/**
 * Sends a connection the missed messages of a durable room, as fast as it reads; after that it is live.
 * `durable/room/flow.ts` has its position; `subscribe.ts` decides where it starts.
 */
import type { Entry } from "../fanout/entry.ts";
import { entryFrame } from "../fanout/flow.ts";
import type { Flow } from "../fanout/flow.ts";
import { frameBytes } from "../fanout/frame_bytes.ts";
import type { Hub, Subscriber } from "../fanout/hub.ts";
import type { Filters, MissedJudge } from "../fanout/filters.ts";
import type { DeliveryNotes } from "../fanout/delivery_notes.ts";
import type { MessagePath } from "../message/pipeline.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { Connection } from "./connection.ts";

/** The number of messages that are skipped in one turn. */
const PASSED_A_TURN = 1_000;

/** What selects and counts missed messages. */
export interface MissedContext {
  readonly path: Pick<MessagePath, "classes">;
  readonly hub: Hub;
  readonly filters: Pick<Filters, "missed">;
  readonly stats: Pick<ShieldStats, "egress_messages" | "egress_bytes">;
  readonly ledger?: Pick<DeliveryNotes, "position" | "passedOver"> | undefined;
}

/** Sends the missed messages, as fast as the connection reads; after that it is live. */
export function sendMissed(
  context: MissedContext,
  connection: Connection,
  room_id: string,
  flow: Flow,
): void {
  if (flow.is_sending || flow.is_live) return;
  flow.is_sending = true;
  // Messages for a later SUB follow its own ACK.
  const { rewinds } = flow;
  const { path, stats, hub, ledger, filters } = context;
  const { tenant_id } = connection.identity;
  const channel = hub.find(tenant_id, room_id);
  const totals = channel?.tenant;
  const note = (passed: PassedOver, { mark }: Subscriber) => {
    if (channel?.noted && mark) ledger?.passedOver(channel.noted, mark, passed);
  };
  const judge = filters.missed(tenant_id, room_id);
  const goOn = () => {
    if (connection.ended || flow.rewinds !== rewinds) return;
    sendMissed(context, connection, room_id, flow);
  };
  connection.sendLater(() => {
    if (flow.rewinds !== rewinds) return undefined;
    const subscriber = connection.subscriptions.get(room_id) ??
      connection.patterns?.subscriber(room_id);
    let passed: PassedOver | undefined;
    for (let looked = 0; subscriber?.flow === flow; looked++) {
      if (looked === PASSED_A_TURN || judge.isOver()) {
        if (passed !== undefined) note(passed, subscriber);
        flow.is_sending = false;
        judge.later(goOn);
        return undefined;
      }
      const entry = flow.next();
      const room_class = path.classes.of(tenant_id, room_id);
      const why = entry && whyPassedOver(judge, connection, subscriber, room_class, entry);
      if (entry !== undefined && why !== undefined) {
        if (passed?.why === why) passed.to = entry.offset;
        else {
          if (passed !== undefined) note(passed, subscriber);
          passed = { from: entry.offset, to: entry.offset, why };
        }
        continue;
      }
      if (passed !== undefined) note(passed, subscriber);
      if (entry === undefined) break;
      const frame = entryFrame(entry, connection.text);
      const size_bytes = frameBytes(frame);
      stats.egress_messages++;
      if (totals !== undefined) totals.egress_messages++;
      stats.egress_bytes += size_bytes;
      subscriber.use?.caughtUp(room_class.pattern, size_bytes);
      return frame;
    }
    flow.is_sending = false;
    flow.noteLive(ledger?.position ?? 0);
    return undefined;
  });
}

/** Messages, by their offsets, that a subscription skips. */
interface PassedOver {
  readonly from: number;
  to: number;
  readonly why: "echo" | "filter";
}

/** Why the subscriber does not get the message; undefined: it does. */
function whyPassedOver(
  judge: MissedJudge,
  { id }: Pick<Connection, "id">,
  subscriber: Subscriber,
  room_class: RoomClass,
  { origin, envelope }: Entry,
): PassedOver["why"] | undefined {
  if (origin === id && (subscriber.no_echo || !room_class.echo)) return "echo";
  if (subscriber.filter === undefined && room_class.filter === undefined) return undefined;
  return judge.withholds(subscriber, room_class, envelope) ? "filter" : undefined;
}
