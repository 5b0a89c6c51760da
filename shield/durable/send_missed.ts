/**
 * Sends a connection the missed messages of a durable room, as fast as it reads; after that it is live.
 * `recovery/flow.ts` has its position; `connection/subscribe.ts` decides where it starts.
 */
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { Connection } from "../connection/connection.ts";
import type { SubscribeContext } from "../connection/subscribe.ts";
import type { Subscriber } from "../fanout/channel.ts";
import type { Entry, Flow } from "../fanout/entry.ts";
import { frameBytes } from "../fanout/frame_bytes.ts";
import { entryFrame } from "../fanout/room_message.ts";
import type { Filters } from "../filter/filters.ts";
import type { MissedMessages } from "../filter/judges.ts";
import { LogFlow } from "./recovery/flow.ts";

/** The number of messages that are skipped in one turn. */
const PASSED_A_TURN = 1_000;

/** Sends the missed messages, as fast as the connection reads; after that it is live. */
export function sendMissed(
  filters: Pick<Filters, "missed">,
  context: SubscribeContext,
  connection: Connection,
  room_id: string,
  flow: Flow,
): void {
  if (!(flow instanceof LogFlow) || flow.is_sending || flow.is_live) return;
  flow.is_sending = true;
  // Messages for a later SUB follow its own ACK.
  const { rewinds } = flow;
  const { path, stats, hub, ledger } = context;
  const { tenant_id } = connection.identity;
  const channel = hub.find(tenant_id, room_id);
  const totals = channel?.tenant;
  const note = (passed: PassedOver, { mark }: Subscriber) => {
    if (channel?.noted && mark) ledger?.passedOver(channel.noted, mark, passed);
  };
  const judge = filters.missed(tenant_id, room_id);
  const goOn = () => {
    if (connection.ended || flow.rewinds !== rewinds) return;
    sendMissed(filters, context, connection, room_id, flow);
  };
  connection.sendLater(() => {
    if (flow.rewinds !== rewinds) return undefined;
    const subscriber = connection.subscriptions.get(room_id) ??
      hub.patterns?.of(connection)?.subscriber(room_id);
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
  judge: MissedMessages,
  { id }: Pick<Connection, "id">,
  subscriber: Subscriber,
  room_class: RoomClass,
  { origin, envelope }: Entry,
): PassedOver["why"] | undefined {
  if (origin === id && (subscriber.no_echo || !room_class.echo)) return "echo";
  if (subscriber.filter === undefined && room_class.filter === undefined) return undefined;
  return judge.withholds(subscriber, room_class, envelope) ? "filter" : undefined;
}
