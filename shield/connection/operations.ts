/**
 * The client operations, and their steps through the connection's FIFO (`fifo.ts`). One function per operation:
 * undefined means done, a promise blocks the FIFO until it settles.
 */
import { ArqonError } from "@arqon/proto";
import type { Ack, ClientOperation, Refresh, Subscribe } from "@arqon/proto";
import { ackAfterFlush, ackAfterLog, answer, wantsAck } from "./answers.ts";
import type { Authenticator } from "../auth/authenticate.ts";
import { canAct, notGranted, requireSameUser, withGrants } from "../auth/authorize.ts";
import { type OwnCommands, runCommand } from "../message/command.ts";
import type { Connection, Queued } from "./connection.ts";
import type { OperationSteps, Prepared, PreparedLater } from "./fifo.ts";
import { placeOf, requestOf, type RequestRef } from "../message/request_ref.ts";
import type { TokenCheck } from "../auth/revocations.ts";
import { followed } from "../message/gates.ts";
import { admit, publishAdmitted } from "../message/pipeline.ts";
import { NONE_ADDED } from "../message/stamp.ts";
import { pongFrame } from "./reply_frames.ts";
import { ROOMS_A_PIECE } from "../fanout/channel.ts";
import { inPieces } from "../../shared/turns/slices.ts";
import { leave, runSubscribe, runUnsubscribe, type SubscribeContext } from "./subscribe.ts";
import { isPattern } from "../../shared/subjects/subject.ts";

/** What the operations of all connections share. */
export interface OperationContext extends SubscribeContext, TokenCheck {
  readonly authenticator: Authenticator;
  /** The commands that the Shield answers itself. */
  readonly own: OwnCommands;
}

/**
 * The steps of operations through the FIFO of any connection of the process: `prepare` runs every check that can refuse
 * an operation, `commit` makes it take effect. One object serves all connections, which saves closures for each.
 */
export class Operations implements OperationSteps<Queued> {
  readonly context: OperationContext;
  /** The most publishes of one connection that are prepared (signature, policies) concurrently. */
  readonly window: number;
  #halted = false;

  constructor(context: OperationContext, window: number) {
    this.context = context;
    this.window = window;
  }

  /** From now on refuses every request with `draining`. */
  halt(): void {
    this.#halted = true;
  }

  /** Whether an operation may be prepared concurrently with others. */
  isPipelined({ operation }: Queued): boolean {
    return operation.kind === "publish" && operation.envelope.command === undefined;
  }

  /**
   * Prepares one operation. A plain publish is admitted here, concurrently with others; any other operation is checked
   * in its turn. Throws or rejects with the refusal.
   */
  prepare({ connection, operation }: Queued): Prepared | PreparedLater {
    if (this.#halted) requireHarmless(operation);
    if (operation.kind !== "publish" || operation.envelope.command !== undefined) return NONE_ADDED;
    requireValid(connection, connection.now_ms);
    return admit(this.context.path, connection.caller, operation.envelope) ?? NONE_ADDED;
  }

  /**
   * Commits an operation in its turn, with the headers of policies; a promise blocks everything behind it until it
   * settles. Throws or rejects with the refusal: a token may have expired while policies judged a message.
   */
  commit({ connection, operation, place }: Queued, added: Prepared): Promise<void> | undefined {
    connection.place = place;
    if (connection.ended) return undefined;
    const { now_ms } = connection;
    requireValid(connection, now_ms);
    const { context } = this;
    switch (operation.kind) {
      case "publish":
        return operation.envelope.command === undefined
          ? runPublish(context, connection, operation.envelope, added, now_ms)
          : queueCommand(context, connection, operation.envelope);
      case "subscribe":
        return runFollowed(context, connection, operation.subscribe);
      case "unsubscribe":
        return context.patterns !== undefined && isPattern(operation.unsubscribe.room_id)
          ? context.patterns.unsubscribe(connection, operation.unsubscribe)
          : runUnsubscribe(context, connection, operation.unsubscribe);
      case "refresh":
        return runRefresh(context, connection, operation.refresh);
      case "ping":
        return runPing(context, connection, operation.body);
      case "pong":
        return undefined;
      default:
        return operation satisfies never;
    }
  }

  /** Answers a refusal, in the operation's turn. */
  refuse({ connection, operation, place }: Queued, error: unknown): void {
    connection.refuse(requestOf(operation), error, place);
  }

  /** Counts the operation as pending, since it has to wait for its turn or for its commit. */
  queued({ connection, size_bytes, place }: Queued): void {
    connection.hold(size_bytes, place);
  }

  /** Ends what `queued` began: the operation has taken effect, was refused, or was dropped. */
  left({ connection, size_bytes, place }: Queued): void {
    connection.release(size_bytes, place);
  }
}

/** Throws `draining` for an operation that is a request. */
function requireHarmless({ kind }: ClientOperation): void {
  if (kind === "ping" || kind === "pong") return;
  throw new ArqonError("draining", "", { retry_after_ms: 1_000 });
}

/** Throws `token-expired` when the connection's token has expired. */
function requireValid({ identity }: Connection, now_ms: number): void {
  if (now_ms >= identity.expires_ms) throw new ArqonError("token-expired");
}

/**
 * Answers a PING. With a body, its PONG follows a flush: the Spine has everything before it, and everything that the
 * Spine had before is in transit to the client. The PONG is sent even if the flush fails, since a heartbeat must not.
 */
function runPing(
  { flushes }: OperationContext,
  connection: Connection,
  body: Uint8Array,
): undefined {
  const pong = () => connection.send(pongFrame(connection.text, body));
  if (body.length === 0) {
    pong();
    return;
  }
  const place = connection.hold(body.length);
  flushes.push(() => {
    if (!connection.ended) pong();
    connection.release(body.length, place);
  });
}

/**
 * Runs a SUB, whose decision the journal records. A separate function because of its closure: `commit` would allocate a
 * context for every message.
 */
function runFollowed(
  context: OperationContext,
  connection: Connection,
  subscribe: Subscribe,
): Promise<void> | undefined {
  const { room_id } = subscribe;
  const { patterns } = context;
  const run = patterns !== undefined && isPattern(room_id) ? patterns.subscribe : runSubscribe;
  const about = { caller: connection.caller, room_id };
  return followed(context.path.journal, about, (note) => run(context, connection, subscribe, note));
}

type Publication = Extract<ClientOperation, { kind: "publish" }>["envelope"];

function runPublish(
  context: OperationContext,
  connection: Connection,
  envelope: Publication,
  added: Prepared,
  now_ms: number,
): undefined {
  const { room_id } = envelope;
  const own = connection.subscriptions.get(room_id);
  const room_class = context.path.classes.of(connection.identity.tenant_id, room_id);
  const patterns = connection.receives_unnamed ? context.hub.patterns?.of(connection) : undefined;
  const is_named = own !== undefined && (own.no_echo || !room_class.echo) ||
    patterns !== undefined && (patterns.has_no_echo || !room_class.echo);
  const { caller, id } = connection;
  const origin = is_named ? id : undefined;
  const stored = publishAdmitted(context.path, caller, origin, envelope, added, now_ms);
  if (stored !== undefined) {
    ackAfterLog(connection, envelope, envelope.size_bytes, stored);
  } else if (wantsAck(envelope)) {
    ackAfterFlush(context, connection, envelope);
  }
}

/**
 * Runs a command. Commands of one connection and room run one after another, but never block the connection's messages
 * while the Brain works: only their start passes the FIFO.
 */
function queueCommand(
  context: OperationContext,
  connection: Connection,
  envelope: Publication,
): undefined {
  const room = envelope.room_id;
  const size_bytes = envelope.size_bytes;
  const place = connection.hold(size_bytes);
  const before = connection.commands.get(room) ?? Promise.resolve();
  const run = before.then(async () => {
    if (connection.ended) return;
    try {
      const ack = await runCommand(context, connection.caller, envelope, connection.id);
      answerCommand(connection, envelope, ack, place);
    } catch (error) {
      connection.refuse(envelope, error, place);
    }
  }).finally(() => {
    connection.release(size_bytes, place);
    if (connection.commands.get(room) === run) connection.commands.delete(room);
  });
  connection.commands.set(room, run);
  return undefined;
}

/** Answers a command. A refusal by the Brain has the same form as one by the Shield: an ERR if no ACK was requested. */
function answerCommand(connection: Connection, request: RequestRef, ack: Ack, place: number): void {
  if (connection.ended) return;
  if (wantsAck(request)) connection.ack(ack);
  else if (ack.code !== 0) connection.err({ ...ack, ...placeOf(request) }, place);
}

/** Changes the token of a connection. A refused refresh ends the connection, since its holder is someone else. */
async function runRefresh(
  context: OperationContext,
  connection: Connection,
  { token, request_id }: Refresh,
): Promise<void> {
  const known = await context.authenticator.authenticate(token).catch((error) => {
    const unavailable = error instanceof ArqonError && error.code === 503;
    const detail = error instanceof ArqonError ? error.message : "internal error";
    throw unavailable ? error : new ArqonError("refresh-refused", detail, { cause: error });
  });
  if (connection.ended) return;
  const next = withGrants(known, connection.more_grants);
  requireSameUser(connection.identity, next);
  // The token may have been revoked since it was authenticated; from here on a revocation finds it.
  context.requireNotRevoked(next);
  connection.caller = { ...connection.caller, identity: next };
  await inPieces(next.tenant_id, endingNotGranted(context, connection), ROOMS_A_PIECE);
  if (connection.ended) return;
  const result = JSON.stringify({ token_expires_ms: next.expires_ms });
  answer(connection, { request_id, ack_requested: false }, {
    result: new TextEncoder().encode(result),
  });
}

/** The steps of leaving rooms that the connection's token no longer grants. */
function* endingNotGranted(context: OperationContext, connection: Connection): Generator<void> {
  const { identity, subscriptions } = connection;
  yield* context.hub.patterns?.of(connection)?.endingNotGranted() ?? [];
  for (const room_id of [...subscriptions.keys()]) {
    yield;
    if (!subscriptions.has(room_id) || canAct(identity, "subscribe", room_id)) continue;
    leave(context, connection, room_id, "not-granted");
    connection.fail(notGranted("subscribe", room_id));
  }
  yield* context.attending.endingNotGranted(connection);
}
