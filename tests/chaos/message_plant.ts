/**
 * Faults that are planted into a correct recording of plain rooms, to show that the checker finds each.
 * Each returns a changed copy, or undefined when there is no place for it.
 */
import type { Random } from "../presence_simulation/random.ts";
import type {
  Delivered,
  Listener,
  MessageRecording,
  PlainPublish,
  PlainSight,
} from "./message_recording.ts";

/** Plants one fault somewhere. */
export type MessageFaultInjector = (
  recording: MessageRecording,
  random: Random,
) => MessageRecording | undefined;

/** A delivery of a message that was sent once. */
interface Place {
  readonly listener: Listener;
  readonly index: number;
  readonly message: Delivered;
  readonly publish: PlainPublish;
}

function places(recording: MessageRecording): Place[] {
  const publishes = new Map(recording.publishes.map((one) => [one.message_id, one]));
  return recording.listeners.flatMap((listener) =>
    [...listener.sights.entries()].flatMap(([index, message]) => {
      if (message.kind !== "message") return [];
      const publish = publishes.get(message.message_id);
      return publish?.attempts.length === 1 ? [{ listener, index, message, publish }] : [];
    })
  );
}

function withSights(
  recording: MessageRecording,
  { listener }: Place,
  sights: readonly PlainSight[],
): MessageRecording {
  const listeners = recording.listeners.map((one) =>
    one === listener ? { ...listener, sights } : one
  );
  return { ...recording, listeners };
}

const connectionOf = ({ publish }: Place) => publish.attempts[0]?.connection;

/** Deliveries of one sender's connection next to each other, with nothing but messages in between. */
function pairs(all: readonly Place[]): [Place, Place][] {
  const found: [Place, Place][] = [];
  for (const [at, one] of all.entries()) {
    for (let next = at + 1; next < all.length; next++) {
      const other = all[next]!;
      if (other.listener !== one.listener) break;
      const between = one.listener.sights.slice(one.index + 1, other.index);
      if (between.some(({ kind }) => kind !== "message")) break;
      if (connectionOf(other) !== connectionOf(one)) continue;
      found.push([one, other]);
      break;
    }
  }
  return found;
}

/** No GAP near enough to excuse anything. */
const GAP_FREE_MS = 20_000;

function isGapFree({ listener, message }: Place): boolean {
  return listener.sights.every(({ kind, at_ms }) => (
    kind !== "gap" || Math.abs(at_ms - message.at_ms) > GAP_FREE_MS
  ));
}

/** A listener does not see one acknowledged message; it saw the ones before and after. */
export const dropOne: MessageFaultInjector = (recording, random) => {
  const found = pairs(places(recording));
  const inner = new Set(found.map(([, second]) => second));
  const candidates = found.flatMap(([first]) => {
    const acknowledged = first.publish.attempts[0]?.outcome === "acknowledged";
    return acknowledged && inner.has(first) && isGapFree(first) ? [first] : [];
  });
  if (candidates.length === 0) return undefined;
  const place = random.pick(candidates);
  return withSights(recording, place, place.listener.sights.toSpliced(place.index, 1));
};

/** A listener sees two messages of one connection the other way round. */
export const swapTwo: MessageFaultInjector = (recording, random) => {
  const found = pairs(places(recording));
  if (found.length === 0) return undefined;
  const [first, second] = random.pick(found);
  const sights = [...first.listener.sights];
  [sights[first.index], sights[second.index]] = [second.message, first.message];
  return withSights(recording, first, sights);
};

/** A listener sees one message again, on the same connection. */
export const repeatOne: MessageFaultInjector = (recording, random) => {
  const found = pairs(places(recording));
  if (found.length === 0) return undefined;
  const [first, second] = random.pick(found);
  const sights = first.listener.sights.toSpliced(second.index + 1, 0, first.message);
  return withSights(recording, first, sights);
};

/** A listener sees a message of the room of the same name of another tenant. */
export const otherTenant: MessageFaultInjector = (recording, random) => {
  const all = places(recording);
  const found = all.filter(({ listener }) =>
    recording.publishes.some(({ tenant_id }) => tenant_id !== listener.tenant_id)
  );
  if (found.length === 0) return undefined;
  const place = random.pick(found);
  const others = recording.publishes.filter(({ tenant_id, room_id }) => (
    tenant_id !== place.listener.tenant_id && room_id === place.listener.room_id
  ));
  if (others.length === 0) return undefined;
  const { message_id } = random.pick(others);
  const sights = place.listener.sights.toSpliced(place.index, 0, { ...place.message, message_id });
  return withSights(recording, place, sights);
};

/** A listener sees a message that nobody published. */
export const madeUp: MessageFaultInjector = (recording, random) => {
  const all = places(recording);
  if (all.length === 0) return undefined;
  const place = random.pick(all);
  const message = { ...place.message, message_id: "made up" };
  return withSights(recording, place, place.listener.sights.toSpliced(place.index, 0, message));
};

/** Every fault, by name. */
export const MESSAGE_FAULT_INJECTORS: Readonly<Record<string, MessageFaultInjector>> = {
  dropOne,
  swapTwo,
  repeatOne,
  otherTenant,
  madeUp,
};
