/** Synchronises the states of an Awareness as the metadata of the room's members. */
import type { JsonInput, Member, PresenceSubscription } from "@arqon/sdk";
import { applyAwarenessUpdate, encodeAwarenessUpdate } from "y-protocols/awareness.js";
import { type Awareness, removeAwarenessStates } from "y-protocols/awareness.js";
import { pause } from "./edits/writer.ts";

/** An Awareness drops clients without an update for 30 s, so states of present members are renewed earlier. */
const ALIVE_MS = 10_000;

/** The dependencies of an awareness link. */
export interface AwarenessPort {
  /** The origin of remote changes. */
  readonly origin: unknown;
  /** The shortest interval between updates of the own state, in ms. */
  readonly throttle_ms: number;
  /** Ignores errors after the signal is aborted. */
  failed(error: unknown): void;
  readonly signal: AbortSignal;
}

interface StateOf {
  readonly client: number;
  readonly clock: number;
  readonly state: Record<string, unknown> | null;
}

/** The own state as member metadata. */
export function metaOf(awareness: Awareness): JsonInput {
  const { clientID: client } = awareness;
  // Other clients start at clock 0, and accept only later ones.
  const clock = (awareness.meta.get(client)?.clock ?? 0) + 1;
  return { yjs: { client, clock, state: awareness.getLocalState() as JsonInput } };
}

function stateOf({ meta }: Member): StateOf | undefined {
  const given = (meta as { yjs?: Partial<StateOf> } | null)?.yjs;
  const { client, clock, state } = given ?? {};
  if (!Number.isSafeInteger(client) || !Number.isSafeInteger(clock)) return undefined;
  if (typeof state !== "object") return undefined;
  return { client: client as number, clock: clock as number, state };
}

/** Follows the members of a room until the signal of the port is aborted. */
export async function linkAwareness(
  awareness: Awareness,
  subscription: PresenceSubscription,
  port: AwarenessPort,
): Promise<void> {
  /** The Yjs client ids by connection. */
  const clients = new Map<string, number>();
  const stop = sendChanges(awareness, subscription, port);
  const alive = setInterval(() => {
    for (const client of clients.values()) {
      const meta = awareness.meta.get(client);
      if (meta && client !== awareness.clientID) meta.lastUpdated = Date.now();
    }
  }, ALIVE_MS);
  try {
    for await (const { joined, updated, left } of subscription.presence.changes()) {
      for (const member of [...joined, ...updated]) takeState(awareness, member, clients, port);
      for (const { connection_id } of left) {
        const client = clients.get(connection_id);
        clients.delete(connection_id);
        // After a reconnect the new member has the same state before the old one has left.
        if (client !== undefined && ![...clients.values()].includes(client)) {
          forget(awareness, [client], port);
        }
      }
    }
  } finally {
    stop();
    clearInterval(alive);
    forget(awareness, [...clients.values()], port);
  }
}

function takeState(
  awareness: Awareness,
  member: Member,
  clients: Map<string, number>,
  { origin }: AwarenessPort,
): void {
  const given = stateOf(member);
  if (given === undefined || given.client === awareness.clientID) return;
  const { client, clock, state } = given;
  clients.set(member.connection_id, client);
  const one = { meta: new Map([[client, { clock, lastUpdated: 0 }]]) } as Awareness;
  const states = new Map(state === null ? [] : [[client, state]]);
  applyAwarenessUpdate(awareness, encodeAwarenessUpdate(one, [client], states), origin);
}

function forget(awareness: Awareness, clients: readonly number[], { origin }: AwarenessPort): void {
  const others = clients.filter((client) => client !== awareness.clientID);
  removeAwarenessStates(awareness, others, origin);
  // Otherwise the same state would be ignored after its client's return.
  for (const client of others) awareness.meta.delete(client);
}

/** Sends changes of the own state to the bus, one at a time. Returns a function that stops it. */
function sendChanges(
  awareness: Awareness,
  subscription: PresenceSubscription,
  { throttle_ms, failed, signal }: AwarenessPort,
): () => void {
  let is_due = false;
  let is_sending = false;
  const send = async () => {
    if (is_sending) return;
    is_sending = true;
    while (is_due && !signal.aborted) {
      is_due = false;
      try {
        await subscription.update(metaOf(awareness));
      } catch (error) {
        failed(error);
      }
      await pause(throttle_ms, signal);
    }
    is_sending = false;
  };
  const hear = (_: unknown, origin: unknown) => {
    if (origin !== "local") return;
    is_due = true;
    send();
  };
  awareness.on("change", hear);
  return () => awareness.off("change", hear);
}
