/** The sum of one Brain's notifications about members of its rooms: it must equal the Brain's answer to a query. */
import type { ClusterView, MemberChange } from "../../brain/cluster_view.ts";
import type { Entry } from "../../shared/presence/types.ts";
import { memberLine, roomKey } from "./truth.ts";

/** The sum of all changes since the Brain started. */
export class BrainFold {
  readonly #rooms = new Map<string, Map<string, Entry>>();

  constructor(readonly brain_id: string, readonly violate: (text: string) => void) {}

  take(change: MemberChange): void {
    const key = roomKey(change.tenant_id, change.room_id);
    let room = this.#rooms.get(key);
    if (room === undefined) this.#rooms.set(key, room = new Map());
    for (const entry of change.leaves) {
      // Two incarnations of one node may have the same connection for a moment: its mark distinguishes them.
      const id = `${entry.connection_id} ${entry.counter} ${entry.changed_ms}`;
      if (!room.delete(id)) {
        this.violate(`${this.brain_id}: told that ${id} leaves ${key}, which is not there`);
      }
    }
    for (const entry of change.joins) {
      const id = `${entry.connection_id} ${entry.counter} ${entry.changed_ms}`;
      if (room.has(id)) this.violate(`${this.brain_id}: told again that ${id} joins ${key}`);
      room.set(id, entry);
    }
  }

  /** Differences in a quiet Brain's view of a room; undefined if none. */
  differs(view: ClusterView, tenant_id: string, room_id: string): string | undefined {
    const key = roomKey(tenant_id, room_id);
    const asked = [...view.members(tenant_id, room_id)].map(memberLine).sort().join(", ");
    const reported = [...this.#rooms.get(key)?.values() ?? []].map(memberLine).sort().join(", ");
    if (asked === reported) return undefined;
    return `${this.brain_id}: told [${reported}] about ${key}, asked it says [${asked}]`;
  }
}
