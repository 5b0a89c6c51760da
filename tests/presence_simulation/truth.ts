/**
 * The actual members of each room: what the simulated clients did, in the order in which their Shields processed it.
 * The machines never see this; every check compares with it.
 */
import { EPOCH_MS, type Life } from "./life.ts";

/** An actual member. */
export interface TrueMember {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly connection_id: string;
  readonly user_id: string;
  readonly issuer: string;
  readonly meta: string;
  /** Unix ms by its Shield's clock; unchanged by new metadata. */
  readonly joined_ms: number;
  /** The Shield incarnation that has the connection. */
  readonly life: Life;
}

/** The end of a stay. */
export interface Departure {
  /** When that stay began. */
  readonly joined_ms: number;
  readonly life: Life;
}

/** `tenant/room`. */
export function roomKey(tenant_id: string, room_id: string): string {
  return `${tenant_id}/${room_id}`;
}

/** One line per member, for comparing two views. */
export function memberLine(
  member: Pick<TrueMember, "connection_id" | "user_id" | "meta" | "joined_ms">,
): string {
  const { connection_id, user_id, meta, joined_ms } = member;
  return `${connection_id} ${user_id} ${meta} ${joined_ms - EPOCH_MS}`;
}

/** The actual members of all rooms. */
export class Truth {
  readonly rooms = new Map<string, Map<string, TrueMember>>();
  readonly #left = new Map<string, Departure>();
  /** Connection → its tenant, including ended connections. */
  readonly tenants = new Map<string, string>();

  /** Joins, or gets new meta. */
  set(member: Omit<TrueMember, "joined_ms">): void {
    const { tenant_id, room_id, connection_id, life } = member;
    const key = roomKey(tenant_id, room_id);
    let room = this.rooms.get(key);
    if (room === undefined) this.rooms.set(key, room = new Map());
    const joined_ms = room.get(connection_id)?.joined_ms ?? life.port.now();
    room.set(connection_id, { ...member, joined_ms });
    this.tenants.set(connection_id, tenant_id);
  }

  /** Leaves. */
  delete(tenant_id: string, room_id: string, connection_id: string): void {
    const key = roomKey(tenant_id, room_id);
    const member = this.rooms.get(key)?.get(connection_id);
    if (member === undefined) return;
    this.rooms.get(key)?.delete(connection_id);
    this.#left.set(`${key} ${connection_id}`, member);
  }

  /** Its last leave, unless its process died first; it may have joined again since. */
  leftOf(tenant_id: string, room_id: string, connection_id: string): Departure | undefined {
    return this.#left.get(`${roomKey(tenant_id, room_id)} ${connection_id}`);
  }

  get(tenant_id: string, room_id: string, connection_id: string): TrueMember | undefined {
    return this.rooms.get(roomKey(tenant_id, room_id))?.get(connection_id);
  }

  /** The process has ended, and with it its connections. */
  deleteLife(life: Life): void {
    for (const room of this.rooms.values()) {
      for (const [connection_id, member] of room) {
        if (member.life === life) room.delete(connection_id);
      }
    }
  }

  /** Sorted lines of a room's members. */
  lines(key: string): string[] {
    return [...this.rooms.get(key)?.values() ?? []].map(memberLine).sort();
  }

  users(key: string): number {
    const members = [...this.rooms.get(key)?.values() ?? []];
    return new Set(members.map(({ issuer, user_id }) => `${issuer} ${user_id}`)).size;
  }
}
