/**
 * SUB and UNSUB of a pattern of rooms, `orders-*`: from the checks to the subscription. `subscribed_patterns.ts` has
 * what is received; `subscribe.ts` single rooms.
 */
import { ArqonError, matchesRoomPattern, type Subscribe, type Unsubscribe } from "@arqon/proto";
import { roomEpoch } from "../../shared/rooms/epoch.ts";
import { type Lives, newestLife } from "../../shared/spine/contract/lives.ts";
import { parseStrictJsonBytes } from "../../shared/strict_json.ts";
import { requireRoomId, requireRoomsPattern } from "../../shared/subjects/subject.ts";
import { canActInAll, notGranted } from "../auth/authorize.ts";
import { ackAfterFlush, answer } from "../connection/answers.ts";
import type { Connection } from "../connection/connection.ts";
import type { SubscribeContext } from "../connection/subscribe.ts";
import type { EntryPoint, Flow, Position } from "../fanout/entry.ts";
import type { Filter } from "../fanout/filters.ts";
import type { Wish } from "../fanout/room_subscriber.ts";
import type { Note } from "../message/gates.ts";
import { type RequestRef, subscribeRequest } from "../message/request_ref.ts";
import { isOnlyNamed } from "./pattern_index.ts";
import type { PatternRooms } from "./pattern_rooms.ts";
import { SubscribedPatterns } from "./subscribed_patterns.ts";

/** What SUBs of patterns need: the patterns of the hub, and the known incarnations of tenants' logs. */
export interface PatternContext {
  readonly hub_patterns: PatternRooms;
  readonly logs: { livesOf(tenant_id: string): Promise<Lives> };
}

/**
 * Runs a SUB of a pattern. A promise blocks the connection's other operations until it is entered. `note` records the
 * policies' verdicts on the pattern. Throws `invalid-room`, `not-granted`, `presence-disabled`, `not-durable`,
 * `banned`, `too-many-rooms`, `invalid-filter`, `too-many-filters`, `invalid-field`; rejects as policies do, and with
 * `log-unavailable`.
 */
export function subscribePattern(
  { hub_patterns, logs }: PatternContext,
  context: SubscribeContext,
  connection: Connection,
  subscribe: Subscribe,
  note?: Note,
): Promise<void> | undefined {
  const { room_id: pattern } = subscribe;
  requireRoomsPattern(pattern);
  const { pattern_positions } = context.limits;
  const positions = readPositions(subscribe.positions, pattern, pattern_positions);
  if (!canActInAll(connection.identity, "subscribe", pattern)) {
    throw notGranted("subscribe", pattern);
  }
  context.path.bans.requireRoom(connection.identity, pattern);
  if (subscribe.presence || subscribe.member_meta.length > 0 || subscribe.observer) {
    throw new ArqonError("presence-disabled", `${pattern}: a pattern has no members`);
  }
  if (Number(subscribe.after_offset) !== 0 || subscribe.epoch !== "") {
    throw new ArqonError("not-durable", `${pattern}: it has positions, one for each room`);
  }
  const { tenant_id } = connection.identity;
  const filter = context.filters.of(tenant_id, subscribe.filter);
  const wish = { subscribe, filter, hub_patterns };
  const admitted = context.overseer.onSubscribe(connection.caller, pattern, note);
  const run = async (): Promise<void> => {
    if (positions === undefined) return subscribeNew(context, connection, wish);
    const lives = await logs.livesOf(tenant_id);
    if (!connection.ended) await subscribeNew(context, connection, wish, { positions, lives });
  };
  if (admitted === undefined && positions === undefined) {
    return subscribeNew(context, connection, wish);
  }
  return (admitted ?? Promise.resolve()).then(() => connection.ended ? undefined : run());
}

interface AskedPattern extends Pick<PatternContext, "hub_patterns"> {
  readonly subscribe: Subscribe;
  readonly filter: Filter | undefined;
}

/** Subscribes to the pattern, once nothing has refused it, from the positions `from` or from now on. */
function subscribeNew(
  context: SubscribeContext,
  connection: Connection,
  { subscribe, filter, hub_patterns }: AskedPattern,
  from?: Pick<PatternSub, "positions" | "lives">,
): Promise<void> | undefined {
  const { room_id: pattern, no_echo, batch } = subscribe;
  const patterns = patternsOf(hub_patterns, connection) ??
    new SubscribedPatterns(context, hub_patterns, connection);
  hub_patterns.begin(connection, patterns);
  const { rooms_per_connection } = context.limits;
  const size = connection.subscriptions.size + patterns.size;
  // A ban may have arrived while policies judged the SUB.
  context.path.bans.requireRoom(connection.identity, pattern);
  if (!patterns.has(pattern) && size >= rooms_per_connection) {
    throw new ArqonError("too-many-rooms", String(rooms_per_connection));
  }
  if (batch) connection.useBatches();
  const request = subscribeRequest(subscribe);
  // Deltas of a pattern need a limit that both sides apply, as its rooms are not known in advance.
  const deltas = subscribe.delta_bytes > 0
    ? context.deltas?.wish(connection, subscribe)
    : undefined;
  const wish = { no_echo, filter, deltas };
  if (from !== undefined) {
    return subscribeFrom(context, connection, { patterns, pattern, wish, request, ...from });
  }
  const onFailure = () => void patterns.leave([pattern], "refused");
  const acknowledge = () => ackAfterFlush(context, connection, request, onFailure);
  const entering = patterns.add(pattern, wish);
  if (entering === undefined) return acknowledge();
  return entering.then(() => connection.ended ? undefined : acknowledge());
}

/** The connection's patterns, which only this file makes. */
const patternsOf = (hub_patterns: PatternRooms, connection: Connection) =>
  hub_patterns.of(connection) as SubscribedPatterns | undefined;

/** Runs an UNSUB of a pattern. Throws `invalid-room` and `not-subscribed`. */
export function unsubscribePattern(
  hub_patterns: PatternRooms,
  connection: Connection,
  { room_id: pattern, request_id }: Unsubscribe,
): Promise<void> | undefined {
  requireRoomsPattern(pattern);
  const patterns = patternsOf(hub_patterns, connection);
  if (patterns?.has(pattern) !== true) throw new ArqonError("not-subscribed", pattern);
  const acknowledge = () => answer(connection, { request_id, ack_requested: false });
  const leaving = patterns.leave([pattern], "unsubscribed");
  if (leaving === undefined) return void acknowledge();
  return leaving.then(() => connection.ended ? undefined : acknowledge());
}

/** The most rooms that are handled concurrently. */
const AT_ONCE = 32;

/** The outcome of a position in the ACK. */
interface Outcome {
  readonly recovered: boolean;
  /** Why it cannot be resumed. */
  readonly reason?: EntryPoint["reason"] | "not-durable";
  readonly offset?: number;
}

interface PatternSub {
  readonly patterns: SubscribedPatterns;
  readonly pattern: string;
  readonly wish: Wish;
  readonly positions: PatternPositions;
  /** The incarnations of the tenant's log, from `livesOf`. */
  readonly lives: Lives;
  readonly request: RequestRef;
}

/**
 * Subscribes to the pattern from the positions on. Rejects with `log-unavailable` or `spine-unavailable`; the pattern
 * is then not received, even if it was before.
 */
async function subscribeFrom(
  context: SubscribeContext,
  connection: Connection,
  { patterns, pattern, wish, positions, lives, request }: PatternSub,
): Promise<void> {
  const { tenant_id } = connection.identity;
  const { path } = context;
  const outcomes = new Map<string, Outcome>();
  const awaited: string[] = [];
  for (const room_id of positions.keys()) {
    if (connection.subscriptions.has(room_id) || patterns.hasPlace(room_id)) continue;
    if (isOnlyNamed(room_id)) continue;
    if (path.classes.of(tenant_id, room_id).durable) awaited.push(room_id);
    else outcomes.set(room_id, { recovered: false, reason: "not-durable" });
  }
  const answered = Promise.withResolvers<void>();
  using end = new DisposableStack();
  end.defer(() => {
    patterns.noteAnswered(pattern, answered.promise);
    answered.resolve();
  });
  await patterns.add(pattern, wish, awaited, answered.promise);
  const flows = new Map<string, Flow>();
  const enter = async (room_id: string) => {
    const position = positions.get(room_id);
    if (position === undefined || !await patterns.mayEnter(room_id)) return;
    const of_room = ofRoom(position, room_id, lives);
    await context.hub.enter(tenant_id, room_id, of_room, (entry_point) => {
      const flow = entry_point.flow();
      if (!patterns.enterAt(room_id, flow)) return;
      outcomes.set(room_id, outcomeOf(entry_point));
      flows.set(room_id, flow);
    });
  };
  try {
    await inTurns(awaited, AT_ONCE, enter);
    await context.flushes.confirmed();
  } catch (error) {
    if (!connection.ended) await patterns.leave([pattern], "refused");
    throw error;
  } finally {
    patterns.awaitNone();
  }
  if (connection.ended) return;
  const newest = lives.length === 0 ? "" : logEpoch(newestLife(lives).name);
  const result = { epoch: newest, positions: Object.fromEntries(outcomes) };
  answer(connection, request, { result: new TextEncoder().encode(JSON.stringify(result)) });
  for (const [room_id, flow] of flows) context.sendMissed(context, connection, room_id, flow);
}

function outcomeOf(entry_point: EntryPoint): Outcome {
  const { recovered, reason } = entry_point;
  const { offset } = entry_point.position();
  return recovered === true || reason === ""
    ? { recovered: true, offset }
    : { recovered: false, reason, offset };
}

/**
 * Processes a list, a few items concurrently, and ends when everything started has ended. Rejects with the first
 * failure.
 */
async function inTurns(
  all: readonly string[],
  at_once: number,
  work: (one: string) => Promise<void>,
): Promise<void> {
  const left = all.values();
  let failure: { readonly error: unknown } | undefined;
  const next = async () => {
    for (const one of left) {
      if (failure !== undefined) return;
      try {
        await work(one);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: at_once }, next));
  if (failure === undefined) return;
  const { error } = failure as { readonly error: unknown };
  throw error instanceof ArqonError ? error : new ArqonError("internal", "", { cause: error });
}

/** The positions, by room. */
type PatternPositions = ReadonlyMap<string, Position>;

/** The most bytes of one position in the frame: a room, a number and separators. */
const POSITION_BYTES = 256;

const isTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function invalid(detail: string): ArqonError {
  return new ArqonError("invalid-field", `positions: ${detail}`);
}

/**
 * Decodes them; undefined if the SUB has none. Throws `invalid-field`, `invalid-room` for an invalid room or one that
 * the pattern does not match, `too-many-rooms` with more than `most`.
 */
function readPositions(
  bytes: Uint8Array,
  pattern: string,
  most: number,
): PatternPositions | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes.length > POSITION_BYTES * (most + 1)) {
    throw new ArqonError(
      "too-many-rooms",
      `positions: ${bytes.length} bytes, at most ${most} rooms`,
    );
  }
  const positions = new Map<string, Position>();
  for (const [epoch, rooms] of Object.entries(tableOf(bytes))) {
    if (epoch === "") throw invalid("an epoch is empty");
    if (!isTable(rooms)) throw invalid("an epoch has no rooms");
    for (const [room_id, after] of Object.entries(rooms)) {
      requireRoomId(room_id);
      if (!matchesRoomPattern(pattern, room_id)) {
        throw new ArqonError("invalid-room", `${room_id} does not match ${pattern}`);
      }
      if (!Number.isSafeInteger(after) || Number(after) < 0) throw invalid(`${room_id}: no offset`);
      if (positions.has(room_id)) throw invalid(`${room_id} occurs twice`);
      positions.set(room_id, { after: Number(after), epoch });
      if (positions.size > most) {
        throw new ArqonError("too-many-rooms", `positions of ${pattern}, at most ${most}`);
      }
    }
  }
  return positions;
}

function tableOf(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value = parseStrictJsonBytes(bytes);
    if (isTable(value)) return value;
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error));
  }
  throw invalid("no object");
}

/** The common epoch of all rooms of a log in one incarnation, instead of each room's own. */
function logEpoch(life: string): string {
  return roomEpoch(life, "*");
}

/** The position in its room's own epoch, if it was given in the log's epoch. */
function ofRoom({ after, epoch }: Position, room_id: string, lives: Lives): Position {
  const life = lives.findLast(({ name }) => logEpoch(name) === epoch);
  return life === undefined ? { after, epoch } : { after, epoch: roomEpoch(life.name, room_id) };
}
