/**
 * fast-check generators of all messages between Shields and Brains, valid in form, not in meaning. Not for the server.
 */
import { LEAVE_CAUSES } from "../../records/leave_reason.ts";
import fc from "fast-check";
import type { ClusterMessage, Emitter, RoomPosition } from "../messages.ts";
import type { Delta, Entry, Tag, Writer, WriterClock, WriterStatus } from "../types.ts";

const PLAIN = { noNullPrototype: true } as const;

/** A tenant, room, connection, node or Brain id. */
export const id: fc.Arbitrary<string> = fc.stringMatching(/^[A-Za-z0-9_~:=-]{1,64}$/);

/** 0 to 2^53-1, small ones often. */
export const count: fc.Arbitrary<number> = fc.oneof(
  fc.nat({ max: 300 }),
  fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  fc.constantFrom(2 ** 32, 2 ** 53 - 1),
);
const birth = count.map((value) => Math.max(value, 1));

const name = fc.oneof(
  fc.string({ minLength: 1, maxLength: 40 }),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }),
).map((text) => text.toWellFormed());
const meta = fc.oneof(fc.constant(""), fc.json({ maxDepth: 2 }).map((text) => text.toWellFormed()));

const writer: fc.Arbitrary<Writer> = fc.record({ node_id: id, incarnation: count }, PLAIN);
const clock: fc.Arbitrary<WriterClock> = fc.record({ writer, clock: count }, PLAIN);
const status: fc.Arbitrary<WriterStatus> = fc.record({
  writer,
  clock: count,
  state: fc.constantFrom("up" as const, "down" as const, "forgotten" as const),
}, PLAIN);
const tag: fc.Arbitrary<Tag> = fc.record({ writer, counter: birth }, PLAIN);
const emitter: fc.Arbitrary<Emitter> = fc.record({ brain_id: id, boot: count, term: count }, PLAIN);

/** A member of one of few rooms, so that many of one message share theirs. */
export const entry: fc.Arbitrary<Entry> = fc.record({
  counter: birth,
  tenant_id: fc.oneof(fc.constant("default"), id),
  room_id: fc.oneof(fc.constant("lobby"), id),
  connection_id: id,
  user_id: name,
  issuer: fc.oneof(fc.constant("https://issuer.example.com/"), name),
  meta,
  joined_ms: count,
  changed_ms: count,
}, PLAIN);

const written = fc.record({ writer, entry }, PLAIN);

/** A writer's changes. */
export const delta: fc.Arbitrary<Delta> = fc.record({
  writer,
  range: fc.tuple(count, count),
  entries: fc.array(entry, { maxLength: 6 }),
  removed: fc.array(count, { maxLength: 20 }),
}).map(({ writer, range, entries, removed }) => ({
  writer,
  start: Math.min(...range),
  end: Math.max(...range),
  entries,
  removed,
}));

const position: fc.Arbitrary<RoomPosition> = fc.record({
  tenant_id: id,
  room_id: id,
  emitter: fc.option(emitter, { nil: undefined }),
  sequence: count,
}, PLAIN);

const pages = fc.tuple(fc.nat({ max: 2 ** 32 - 2 }), fc.nat({ max: 2 ** 32 - 2 }))
  .map(([one, other]) => ({ page: Math.min(one, other), pages: Math.max(one, other) + 1 }));

const room = { tenant_id: id, room_id: id };

const missed = fc.record({ ...room, count, from_ms: count, to_ms: count }, PLAIN);

/** One generator for each kind. */
export const messages = {
  announcement: fc.record({
    kind: fc.constant("announcement" as const),
    delta,
    leaving: fc.boolean(),
    reasons: fc.uniqueArray(fc.tuple(count, fc.constantFrom(...LEAVE_CAUSES)), {
      maxLength: 4,
      selector: ([counter]) => counter,
    }).map((all) => all.length === 0 ? undefined : new Map(all)),
  }, PLAIN).map(({ reasons, ...rest }) => ({ ...rest, ...(reasons && { reasons }) })),
  beat: fc.record({
    kind: fc.constant("beat" as const),
    brain_id: id,
    boot: count,
    state: fc.constantFrom("starting" as const, "serving" as const, "draining" as const),
    writers: fc.array(status, { maxLength: 6 }),
    hash: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  }, PLAIN).map(({ hash, ...rest }) => ({ ...rest, ...(hash > 0 && { classes_hash: hash }) })),
  pull: fc.record(
    { kind: fc.constant("pull" as const), from: id, request: count, writer, clock: count },
    PLAIN,
  ),
  pulled: fc.tuple(
    fc.record({ request: count, full: fc.boolean(), delta: fc.option(delta, { nil: undefined }) }),
    pages,
  ).map(([rest, at]) => ({ kind: "pulled" as const, ...rest, ...at })),
  room_update: fc.record({
    kind: fc.constant("room_update" as const),
    emitter,
    sequence: count,
    ...room,
    joins: fc.array(written, { maxLength: 6 }),
    leaves: fc.array(tag, { maxLength: 6 }),
    clocks: fc.array(clock, { maxLength: 4 }),
  }, PLAIN),
  room_pull: fc.record(
    { kind: fc.constant("room_pull" as const), from: id, request: count, ...room },
    PLAIN,
  ),
  room_snapshot: fc.tuple(
    fc.record({
      request: count,
      emitter,
      sequence: count,
      ...room,
      entries: fc.array(written, { maxLength: 6 }),
      clocks: fc.array(clock, { maxLength: 4 }),
    }),
    pages,
  ).map(([rest, at]) => ({ kind: "room_snapshot" as const, ...rest, ...at })),
  room_check: fc.record({
    kind: fc.constant("room_check" as const),
    from: id,
    request: count,
    rooms: fc.array(position, { maxLength: 6 }),
  }, PLAIN),
  room_differs: fc.record({
    kind: fc.constant("room_differs" as const),
    request: count,
    rooms: fc.array(position, { maxLength: 6 }),
  }, PLAIN),
  hello: fc.record({ kind: fc.constant("hello" as const), from: id }, PLAIN),
  stays: fc.record({
    kind: fc.constant("stays" as const),
    stays: fc.array(
      fc.tuple(written, fc.constantFrom(...LEAVE_CAUSES)).map(([one, cause]) => ({
        ...one,
        cause,
      })),
      { maxLength: 4 },
    ),
    missed: fc.array(missed, { maxLength: 4 }),
  }, PLAIN),
  stays_written: fc.record({
    kind: fc.constant("stays_written" as const),
    stays: fc.array(tag, { maxLength: 4 }),
    missed: fc.array(missed, { maxLength: 4 }),
  }, PLAIN),
} satisfies { [Kind in ClusterMessage["kind"]]: fc.Arbitrary<ClusterMessage & { kind: Kind }> };

/** A message of any kind. */
export const anyMessage: fc.Arbitrary<ClusterMessage> = fc.oneof(...Object.values(messages));
