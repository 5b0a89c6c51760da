/**
 * The end of a Shield that was told to stop: clients are told to move and served on while they do,
 * what they have asked for is answered, those left are closed, members stay for their grace time.
 * Listeners and the Spine are the caller's.
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

/** Clients that do not move themselves are closed in this part of the window. */
const SENT_AWAY_PART = 0.8;
/** How long a drain waits for peers to answer their close frame, in ms. */
const CLOSE_MS = 2_000;
/** Time between two looks at what a drain waits for, in ms. */
const POLL_MS = 10;
/**
 * The part of `drain_timeout_ms` that is kept for closing sockets, listeners and the Spine, in ms;
 * half at most.
 */
const TAIL_MS = 10_000;
/** The part of `drain_timeout_ms` that the other Shields may take to learn who moves: one in so many. */
const TOLD_SHARE = 8;

/** What a drain needs of the process. */
export interface DrainOptions extends Pick<Env, "log" | "now" | "monotonic_ms" | "random"> {
  readonly config: Pick<Config, "server">;
  readonly spine: Pick<Spine, "flush">;
}

/** A part of `drain_timeout_ms`, in ms: until then connections and their members may stay. */
function stayOf(drain_timeout_ms: number): number {
  return drain_timeout_ms - Math.min(TAIL_MS, drain_timeout_ms / 2);
}

/**
 * Ends everything; `draining_ms` of the parts has been set, so that nobody new is let in.
 * `onClosed` is called when nobody is left to sweep.
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
    parts.presence.presence.beginMove();
    const members = [...parts.connections].filter(({ attendances }) => attendances.size > 0);
    const at_most_ms = server.drain_timeout_ms / TOLD_SHARE;
    await parts.presence.moving.tell(members, at_most_ms);
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
  // What was accepted is with the Spine before this process says that it is gone.
  await spine.flush().catch((error) => log.warn("the last flush failed", { error }));
  // A listener that shuts down before the peers have answered would tell them 1001 instead.
  const isGone = () => parts.sockets.size === 0 && parts.hub.gone.size === 0;
  await wait(isGone, monotonic_ms() + CLOSE_MS);
  await wait(() => parts.presence.stats.held_members === 0, answered_ms);
  parts.socket_server.close();
  await parts.running.clientsGone();
  await release(parts);
}

/** Tells every client to move before the window ends; one encoding a tenant and form. */
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

/**
 * Closes those whose time has come, of the clients that do not move themselves: each at a time of its own, and once
 * all that it has asked for is answered.
 */
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

/** Each connection is closed when everything it has asked for is answered, or when time is over. */
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
  log.warn("connections were closed before all was answered", { operations: stats.drain_cuts });
}

async function release(parts: Parts): Promise<void> {
  parts.presence.presence.drain();
  await parts.signals.close();
  parts.bans.close();
  parts.revocations.held.close();
  parts.hub.close();
  parts.authenticator.close();
  await parts.running.closeOpened();
  // After all who write, since others take what it has not written for lost.
  await parts.life.end();
  parts.rooms.close();
  parts.settings.close();
}
