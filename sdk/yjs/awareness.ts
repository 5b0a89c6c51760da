/** Carries the states of an Awareness as the metadata of the room's members. */
import type { JsonInput, Member, PresenceSubscription } from "@arqon/sdk";
import { applyAwarenessUpdate, encodeAwarenessUpdate } from "y-protocols/awareness.js";
import { type Awareness, removeAwarenessStates } from "y-protocols/awareness.js";
import { pause } from "./edits/writer.ts";

/** An Awareness forgets who was silent for 30 s. What the bus lists is there, silent or not. */
const ALIVE_MS = 10_000;

/** What an awareness link needs. */
export interface AwarenessPort {
  /** The origin of changes that others made. */
  readonly origin: unknown;
  /** Least time between two updates of the own state, in ms. */
  readonly throttle_ms: number;
  failed(error: unknown): void;
  readonly signal: AbortSignal;
}

interface StateOf {
  readonly client: number;
  readonly clock: number;
  readonly state: Record<string, unknown> | null;
}

/** The own state as metadata of a member. */
export function metaOf(awareness: Awareness): JsonInput {
  const { clientID: client } = awareness;
  // A state that was never seen has the clock 0 elsewhere, and only a later one is taken.
  const clock = (awareness.meta.get(client)?.clock ?? 0) + 1;
  return { yjs: { client, clock, state: awareness.getLocalState() as JsonInput } };
}

function stateOf({ meta }: Member): StateOf | undefined {
  const said = (meta as { yjs?: Partial<StateOf> } | null)?.yjs;
  const { client, clock, state } = said ?? {};
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
  /** The clients of Yjs by connection. */
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
        // Who reconnects is another member with the same state before the old one is gone.
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
  const said = stateOf(member);
  if (said === undefined || said.client === awareness.clientID) return;
  const { client, clock, state } = said;
  clients.set(member.connection_id, client);
  const one = { meta: new Map([[client, { clock, lastUpdated: 0 }]]) } as Awareness;
  const states = new Map(state === null ? [] : [[client, state]]);
  applyAwarenessUpdate(awareness, encodeAwarenessUpdate(one, [client], states), origin);
}

function forget(awareness: Awareness, clients: readonly number[], { origin }: AwarenessPort): void {
  const others = clients.filter((client) => client !== awareness.clientID);
  removeAwarenessStates(awareness, others, origin);
  // Else the same state would not be taken again when its client comes back.
  for (const client of others) awareness.meta.delete(client);
}

/** Tells the bus of changes of the own state, one at a time. Returns how to stop. */
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
        if (!signal.aborted) failed(error);
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
