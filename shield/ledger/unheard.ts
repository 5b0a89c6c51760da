/**
 * Has the ledger take note of messages that a room's log has taken while nobody was subscribed to the room here:
 * fan-out knows nothing of them, and somebody may ask for them by their ids.
 */
import type { Ledger } from "./ledger.ts";

/** A message as it was stored. */
interface Stored {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly envelope: Uint8Array;
  readonly offset: number;
}

/** Which rooms are heard here: the hub. */
interface Hearing {
  find(
    tenant_id: string,
    room_id: string,
  ): { readonly subscribers: { readonly size: number } } | undefined;
}

/** Takes note of what nobody heard. */
export interface Unheard {
  /** Who hears a room now, to be handed to `stored`; undefined: nobody. */
  hearing(tenant_id: string, room_id: string): object | undefined;
  /** A message is stored that was published while the room was heard so. */
  stored(message: Stored, hearing: object | undefined): void;
}

/** The notes of a process; undefined: it has no ledger. */
export function unheardNotes(
  hub: Hearing,
  ledger: Pick<Ledger, "stored"> | undefined,
): Unheard | undefined {
  if (ledger === undefined) return undefined;
  const hearing: Unheard["hearing"] = (tenant_id, room_id) => {
    const channel = hub.find(tenant_id, room_id);
    return channel !== undefined && channel.subscribers.size > 0 ? channel : undefined;
  };
  return {
    hearing,
    stored({ tenant_id, room_id, envelope, offset }, before) {
      // Whoever came or went meanwhile may have missed it; a row too many is found out by who reads them.
      if (before !== undefined && hearing(tenant_id, room_id) === before) return;
      ledger.stored(tenant_id, room_id, envelope, offset);
    },
  };
}
