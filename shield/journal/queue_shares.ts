/**
 * How the bytes of a queue are shared between tenants: one may hold a multiple of what is free, so that whoever
 * sends most never has all, and nobody's share lies idle. Pure.
 */

/** A tenant alone has this many parts of the queue, and one is left for who comes next. */
const PARTS = 4;

/** The bytes that are held, by tenant. */
export class QueueShares {
  readonly #bytes_max: number;
  /** Of tenants that hold something. */
  readonly #of = new Map<string, number>();
  #bytes = 0;

  constructor(bytes_max: number) {
    this.#bytes_max = bytes_max;
  }

  /** How many bytes all tenants hold. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a tenant may hold so many bytes more. */
  hasRoom(tenant_id: string, size_bytes: number): boolean {
    const free = this.#bytes_max - this.#bytes - size_bytes;
    return free >= 0 && (this.#of.get(tenant_id) ?? 0) + size_bytes <= PARTS * free;
  }

  /** Takes note that a tenant holds so many bytes more, or fewer. */
  add(tenant_id: string, size_bytes: number): void {
    this.#bytes += size_bytes;
    const held = (this.#of.get(tenant_id) ?? 0) + size_bytes;
    if (held > 0) this.#of.set(tenant_id, held);
    else this.#of.delete(tenant_id);
  }
}
