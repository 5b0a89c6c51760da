/**
 * Faults planted into a recording, to prove that the checker finds them: each takes a correct recording
 * and gives one that is wrong in exactly one place. Nothing here touches a running bus.
 */
import type { Random } from "../presence_simulation/random.ts";
import type { Delivered, Recording, RoomRecording, Sight, Subscriber } from "./recording.ts";

/** A place in a recording: a message that a subscriber saw. */
interface Place {
  readonly room: RoomRecording;
  readonly subscriber: Subscriber;
  /** Of the sights. */
  readonly index: number;
  readonly message: Delivered;
}

/** Plants one fault at a place that `random` picks; undefined: the recording has no place for it. */
export type FaultInjector = (recording: Recording, random: Random) => Recording | undefined;

const acknowledgedIds = ({ publishes }: RoomRecording): Set<string> =>
  new Set(
    publishes.filter(({ attempts }) =>
      attempts.some(({ outcome }) => outcome.kind === "acknowledged")
    ).map(({ message_id }) => message_id),
  );

/**
 * Messages that were acknowledged and of which it is known where they belong, however one subscriber's
 * recording is changed: the room has one epoch, or somebody else saw them.
 */
function* places(recording: Recording): Generator<Place> {
  for (const room of recording) {
    const acknowledged = acknowledgedIds(room);
    const known = wellKnown(room);
    for (const subscriber of room.subscribers) {
      for (const [index, message] of subscriber.sights.entries()) {
        if (message.kind !== "message") continue;
        if (!acknowledged.has(message.message_id) || !known(message)) continue;
        yield { room, subscriber, index, message };
      }
    }
  }
}

function wellKnown({ subscribers }: RoomRecording): (message: Delivered) => boolean {
  const epochs = new Set<string>();
  const counts = new Map<string, number>();
  for (const sight of subscribers.flatMap(({ sights }) => sights)) {
    if ("epoch" in sight) epochs.add(sight.epoch);
    if (sight.kind !== "message") continue;
    counts.set(sight.message_id, (counts.get(sight.message_id) ?? 0) + 1);
  }
  return ({ message_id }) => epochs.size === 1 || (counts.get(message_id) ?? 0) > 1;
}

function pick(
  recording: Recording,
  random: Random,
  suits: (place: Place) => boolean,
): Place | undefined {
  const found = [...places(recording)].filter(suits);
  return found.length === 0 ? undefined : random.pick(found);
}

/** The recording with other sights for one subscriber. */
function withSights(
  recording: Recording,
  { room, subscriber }: Place,
  sights: readonly Sight[],
): Recording {
  return recording.map((other) =>
    other !== room ? other : {
      ...room,
      subscribers: room.subscribers.map((one) =>
        one === subscriber ? { ...subscriber, sights } : one
      ),
    }
  );
}

function replaced(recording: Recording, place: Place, change: Partial<Delivered>): Recording {
  const sights: Sight[] = [...place.subscriber.sights];
  sights[place.index] = { ...place.message, ...change };
  return withSights(recording, place, sights);
}

const neighbour = ({ subscriber, index, message }: Place, step: 1 | -1): Delivered | undefined => {
  const sight = subscriber.sights[index + step];
  return sight?.kind === "message" && sight.epoch === message.epoch ? sight : undefined;
};

/** A subscriber does not see one message; it saw the one before and the one after. */
export const dropOne: FaultInjector = (recording, random) => {
  const inside = (place: Place) =>
    neighbour(place, -1) !== undefined && neighbour(place, 1) !== undefined;
  const place = pick(recording, random, inside);
  return place &&
    withSights(recording, place, place.subscriber.sights.filter((_, at) => at !== place.index));
};

/** A subscriber sees one message and its successor the other way round. */
export const swapTwo: FaultInjector = (recording, random) => {
  const place = pick(recording, random, (candidate) => neighbour(candidate, 1) !== undefined);
  if (place === undefined) return undefined;
  const sights = [...place.subscriber.sights];
  const [first, second] = sights.splice(place.index, 2) as [Sight, Sight];
  sights.splice(place.index, 0, second, first);
  return withSights(recording, place, sights);
};

/** A subscriber sees one message again, at once or any time later while it is subscribed. */
export const repeatOne: FaultInjector = (recording, random) => {
  const place = pick(recording, random, () => true);
  if (place === undefined) return undefined;
  const { subscriber: { sights }, index, message } = place;
  const later = [...sights.keys()].filter((at) => at >= index && sights[at]?.kind === "message");
  return withSights(recording, place, sights.toSpliced(random.pick(later) + 1, 0, message));
};

/** One delivery has another offset. */
export const wrongOffset: FaultInjector = (recording, random) => {
  const place = pick(recording, random, () => true);
  return place && replaced(recording, place, { offset: place.message.offset + random.int(1, 3) });
};

/** One delivery has other bytes. */
export const otherBytes: FaultInjector = (recording, random) => {
  const place = pick(recording, random, () => true);
  return place && replaced(recording, place, { hash: place.message.hash ^ 1 });
};

/** Two subscribers saw different messages at one offset. */
export const otherMessage: FaultInjector = (recording, random) => {
  const place = pick(recording, random, ({ room }) => room.publishes.length > 1);
  if (place === undefined) return undefined;
  const { room, message } = place;
  const others = room.publishes.filter(({ message_id }) => message_id !== message.message_id);
  const { message_id, hash } = random.pick(others);
  return replaced(recording, place, { message_id, hash });
};

/** An acknowledgement that names another offset than the log's. */
export const falseAck: FaultInjector = (recording, random) => {
  const place = pick(recording, random, () => true);
  if (place === undefined) return undefined;
  const { room, message: { message_id, offset } } = place;
  const attempt = {
    at_ms: 0,
    outcome: { kind: "acknowledged" as const, offset: offset + random.int(1, 3) },
  };
  const publishes = room.publishes.map((publish) =>
    publish.message_id === message_id ? { ...publish, attempts: [attempt] } : publish
  );
  return recording.map((other) => other === room ? { ...room, publishes } : other);
};

/** Every fault, by name. */
export const FAULT_INJECTORS: Readonly<Record<string, FaultInjector>> = {
  dropOne,
  swapTwo,
  repeatOne,
  wrongOffset,
  otherBytes,
  otherMessage,
  falseAck,
};
