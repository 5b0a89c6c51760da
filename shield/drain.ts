/**
 * The drain of a stopping Shield: it asks clients to move, serves them meanwhile, answers their pending requests, and
 * closes the remaining ones; members stay for their grace time. The caller closes listeners and the Spine.
 */
import { encodeMsg, encodeTextMessage, readEnvelope } from "@arqon/proto";
import type { PlainSignal } from "@arqon/proto";
import type { Config } from "../shared/config/schema.ts";
import type { Env } from "../shared/env.ts";
import type { Spine } from "../shared/spine/contract/spine.ts";
import { randomFraction } from "../shared/ids.ts";
import { systemEnvelope } from "../shared/records/system_envelope.ts";
import type { Frame } from "./fanout/frame_bytes.ts";
import type { Parts } from "./capability.ts";

/** The share of the window in which clients that do not move are closed. */
const SENT_AWAY_PART = 0.8;
/** How long a drain waits for peers to answer their close frame, in ms. */
const CLOSE_MS = 2_000;
/** The interval of checks during a drain, in ms. */
const POLL_MS = 10;
/**
 * The part of `drain_timeout_ms` that is reserved for closing sockets, listeners and the Spine, in ms; half at most.
 */
const TAIL_MS = 10_000;
/** The other Shields have one part in this many of `drain_timeout_ms` to receive the list of moving clients. */
const NOTICE_SHARE = 8;

/** What a drain needs of the process. */
export interface DrainOptions extends Pick<Env, "log" | "now" | "monotonic_ms" | "random"> {
  readonly config: Pick<Config, "server">;
  readonly spine: Pick<Spine, "flush">;
}

/** The time in ms, as a part of `drain_timeout_ms`, for which connections and their members may stay. */
function stayOf(drain_timeout_ms: number): number {
  return drain_timeout_ms - Math.min(TAIL_MS, drain_timeout_ms / 2);
}

/**
 * Drains the Shield; `draining_ms` of the parts is already set, so new clients are rejected. `onClosed` is called when
 * no connection is left to sweep.
 */
export async function drain(
  options: DrainOptions,
  parts: Parts,
  onClosed: () => void,
): Promise<void> {
  const { config: { server }, spine, log, monotonic_ms } = options;
  const until_ms = monotonic_ms() + stayOf(server.drain_timeout_ms);
  const wait = async (done: () => boolean, at_most_ms: number): Promise<boolean> => {
    while (!done()) {
      if (monotonic_ms() >= at_most_ms) return false;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return true;
  };
  if (!parts.hurried) {
    await parts.presence.move(parts.connections, server.drain_timeout_ms / NOTICE_SHARE);
  }
  if (server.drain_ms > 0 && !parts.hurried) {
    tellAll(options, parts);
    const sendAway = sendingAway(options, parts);
    await wait(() => {
      sendAway();
      return parts.connections.size === 0;
    }, monotonic_ms() + server.drain_ms);
  }
  parts.operations.halt();
  const answered_ms = parts.hurried ? 0 : until_ms;
  await closeAll(options, parts, (done) => wait(done, answered_ms));
  onClosed();
  // Accepted messages reach the Spine before this process announces its end.
  await spine.flush().catch((error) => log.warn("the last flush failed", { error }));
  // A listener that shuts down before the peers have answered would close them with 1001 instead.
  const isGone = () => parts.sockets.size === 0 && parts.hub.gone.size === 0;
  await wait(isGone, monotonic_ms() + CLOSE_MS);
  await wait(() => !parts.presence.holds(), answered_ms);
  parts.socket_server.close();
  await parts.running.clientsGone();
  await parts.ends.disposeAsync();
}

/** Asks every client to move before the window ends; the frame is encoded once per tenant and form. */
function tellAll({ config, now, random }: DrainOptions, { connections, node_id }: Parts): void {
  const until_ms = now() + config.server.drain_ms;
  const signal: PlainSignal = { kind: "DRAIN", target: node_id, reason: "restart", until_ms };
  const frames = new Map<string, Frame>();
  for (const connection of connections) {
    if (!connection.opened) continue;
    const { identity: { tenant_id }, text } = connection;
    const key = `${tenant_id}\n${text}`;
    let frame = frames.get(key);
    if (frame === undefined) {
      const envelope = systemEnvelope({ now, random }, { tenant_id, room_id: "", signal });
      frame = text ? encodeTextMessage(readEnvelope(envelope)) : encodeMsg(envelope);
      frames.set(key, frame);
    }
    connection.send(frame);
  }
}

/** Closes clients that do not move themselves: each at its own time, and after its pending requests are answered. */
function sendingAway(
  { config: { server }, monotonic_ms, random }: DrainOptions,
  { connections }: Parts,
): () => void {
  const part_ms = server.drain_ms * SENT_AWAY_PART;
  const begun_ms = monotonic_ms();
  let staying = [...connections].filter(({ socket }) => socket.is_sent_away).map((connection) => ({
    connection,
    at_ms: begun_ms + part_ms * randomFraction(random),
  }));
  return () => {
    staying = staying.filter(({ connection, at_ms }) => {
      if (at_ms > monotonic_ms() || connection.pending > 0) return !connection.ended;
      connection.close(1012, "restart");
      return false;
    });
  };
}

/** Closes each connection once its pending requests are answered, or at the deadline. */
async function closeAll(
  { config, log }: DrainOptions,
  { connections, stats }: Parts,
  wait: (done: () => boolean) => Promise<boolean>,
): Promise<void> {
  const { drain_ms } = config.server;
  const answered = await wait(() => {
    for (const connection of [...connections]) {
      if (connection.pending === 0) connection.sendAway(drain_ms);
    }
    return connections.size === 0;
  });
  if (answered) return;
  for (const connection of [...connections]) {
    stats.drain_cuts += connection.pending;
    connection.sendAway(drain_ms);
  }
  log.warn("connections were closed with unanswered requests", { operations: stats.drain_cuts });
}
