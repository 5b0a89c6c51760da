/** The ledger's marks of subscriptions: when one has begun, and when and why it has ended. */
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import type { Flow } from "../fanout/entry.ts";
import type { Filter, Filters } from "../fanout/filters.ts";
import type { Hub, Subscriber } from "../fanout/hub.ts";
import type {
  DeliveryNotes,
  LivingConnection,
  SubscriptionMark,
} from "../fanout/delivery_notes.ts";
import type { Recipient } from "../fanout/room_subscriber.ts";
import type { MessagePath } from "../message/pipeline.ts";

/** Why a subscription ends, for the ledger: a word, or the reason of a refusal. */
export type LeaveWhy =
  | "unsubscribed"
  | "resubscribed"
  | "refused"
  | "kick"
  | "room-ban"
  | "idle"
  | string;

/** The dependencies of marks. */
export interface MarkContext {
  readonly path: Pick<MessagePath, "classes">;
  readonly hub: Pick<Hub, "find">;
  readonly ledger?: DeliveryNotes | undefined;
  readonly filters: Pick<Filters, "ofClass">;
}

/** A subscription that begins. */
interface Begun {
  readonly flow?: Flow | undefined;
  readonly filter?: Filter | undefined;
  /** The time since which its messages have been queued; absent: it begins now. */
  readonly began?: Pick<SubscriptionMark, "since" | "since_ms"> | undefined;
}

/** The subscription that begins now, for the ledger. */
export function markOf(
  { path, ledger, filters }: MarkContext,
  connection: LivingConnection & Pick<Recipient, "identity">,
  room_id: string,
  { flow, filter, began }: Begun,
): SubscriptionMark | undefined {
  if (ledger === undefined) return undefined;
  ledger.joined?.add(connection);
  const { now_ms: since_ms } = ledger;
  const mark = {
    number: ledger.nextSubscription(),
    connection: connection.number,
    since: ledger.position,
    since_ms,
    episode: flow?.continueAs(),
    ...began,
  };
  const { identity } = connection;
  const of_class = filters.ofClass(path.classes.of(identity.tenant_id, room_id), identity);
  const numbers = [filter, of_class].flatMap((one) => one === undefined ? [] : [one.number]);
  return numbers.length === 0 ? mark : { ...mark, filters: numbers };
}

/** Records the end of a subscription. */
export function noteLeft(
  { hub, ledger }: Pick<MarkContext, "hub" | "ledger">,
  { identity, outbox }: Pick<LivingConnection, "identity" | "outbox">,
  room_id: string,
  before: Subscriber,
  why: LeaveWhy,
): void {
  const room = hub.find(identity.tenant_id, room_id)?.noted;
  if (ledger === undefined || room === undefined || before.mark === undefined) return;
  const { number, connection, since, since_ms, episode: caught_up, filters } = before.mark;
  const batch = outbox?.has_batches ?? false;
  ledger.left(room, connection, { number, since, since_ms, why, batch, caught_up, filters });
}

/** Why a member left, by the close code; every other end of a connection is a loss. */
const OF_CODE = new Map<number, LeaveReason>([
  [1000, "closed"],
  [1001, "closed"],
  // A close frame without a code, as browsers send it if a page names none.
  [1005, "closed"],
  [4401, "token-ended"],
  [4403, "banned"],
]);
const OF_WHY = new Map<LeaveWhy, LeaveReason>([["kick", "kicked"], ["room-ban", "banned"]]);

/**
 * Why a member left, for the journal of the room's members; `code` is that of the close, if one ended the
 * subscription.
 */
export function leaveReason(why: LeaveWhy, code: number | undefined): LeaveReason {
  if (why === "closed") return OF_CODE.get(code ?? 0) ?? "lost";
  return OF_WHY.get(why) ?? "unsubscribed";
}
