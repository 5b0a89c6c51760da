/**
 * The instances of one worker: one for each tenant and module, made on first use; the one used longest ago is dropped
 * when there are too many. The memory of an instance of version 1 is the policy's state; one of version 2 starts each
 * call with its first state (`host_abi.ts`). Making one has a price, which the call that needs it pays.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import { type Guest, INIT_FUEL, instantiateGuest } from "../abi/host_abi.ts";
import type { RunnableModule } from "../ring/worker_protocol.ts";

const NO_SLOTS: readonly number[] = [];
const keyOf = (tenant_id: string, module: number) => `${module} ${tenant_id}`;

/** The instances by tenant and module. */
export class Instances {
  readonly #modules = new Map<number, RunnableModule>();
  /** In the order of use. */
  readonly #guests: BoundedMap<string, { guest: Guest; module: number }>;
  readonly #init_fuel: number;
  /** The most recently used instance, which is the newest in the order: mostly it is also the next one. */
  #last: { tenant_id: string; module: number; guest: Guest } | undefined;

  /** Makes an empty set of at most `max` instances, whose initialisation takes at most `init_fuel`. */
  constructor(max: number, init_fuel: number = INIT_FUEL) {
    this.#guests = new BoundedMap(max);
    this.#init_fuel = init_fuel;
  }

  get size(): number {
    return this.#guests.size;
  }

  /** The tenant's instance of a module; undefined if there is none. */
  find(tenant_id: string, module: number): Guest | undefined {
    const last = this.#last;
    if (last?.module === module && last.tenant_id === tenant_id) return last.guest;
    const guest = this.#guests.use(keyOf(tenant_id, module))?.guest;
    if (guest !== undefined) this.#last = { tenant_id, module, guest };
    return guest;
  }

  /** The units for making an instance, without its `init_units`; undefined if the module is not loaded. */
  price(module: number): number | undefined {
    return this.#modules.get(module)?.instance_units;
  }

  /** The most bytes of a value of each slot of a loaded module; empty if it keeps no state. */
  valueBytes(module: number): readonly number[] {
    return this.#modules.get(module)?.value_bytes ?? NO_SLOTS;
  }

  /** Makes the tenant's instance of a loaded module. Throws as instantiating throws. */
  make(tenant_id: string, module: number): Guest {
    const runnable = this.#modules.get(module);
    if (runnable === undefined) throw new TypeError(`module ${module} is not loaded`);
    const guest = instantiateGuest(runnable, this.#init_fuel);
    this.#last = undefined;
    this.#guests.set(keyOf(tenant_id, module), { guest, module });
    return guest;
  }

  drop(tenant_id: string, module: number): void {
    this.#last = undefined;
    this.#guests.delete(keyOf(tenant_id, module));
  }

  load(module: number, runnable: RunnableModule): void {
    this.#modules.set(module, runnable);
  }

  unload(module: number): void {
    this.#last = undefined;
    this.#modules.delete(module);
    for (const [name, entry] of this.#guests) {
      if (entry.module === module) this.#guests.delete(name);
    }
  }
}
