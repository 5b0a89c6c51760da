/**
 * The instances of one worker: one for each tenant and module, made on first use; the one used longest ago is dropped
 * when there are too many. The memory of an instance of version 1 is the policy's state; one of version 2 starts each
 * call with its first state (`host_abi.ts`). Making one has a price, which the call that needs it pays.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import { type Guest, INIT_FUEL, instantiateGuest } from "../abi/host_abi.ts";
import type { RunnableModule } from "../ring/worker_protocol.ts";

/** The instances by tenant and module. */
export interface Instances {
  /** The tenant's instance of a module; undefined if there is none. */
  find(tenant_id: string, module: number): Guest | undefined;
  /** The units for making an instance, without its `init_units`; undefined if the module is not loaded. */
  price(module: number): number | undefined;
  /** The most bytes of a value of each slot of a loaded module; empty if it keeps no state. */
  valueBytes(module: number): readonly number[];
  /** Makes the tenant's instance of a loaded module. Throws as instantiating throws. */
  make(tenant_id: string, module: number): Guest;
  drop(tenant_id: string, module: number): void;
  load(module: number, runnable: RunnableModule): void;
  unload(module: number): void;
  readonly size: number;
}

const NO_SLOTS: readonly number[] = [];

/** Makes an empty set of at most `max` instances, whose initialisation takes at most `init_fuel`. */
export function createInstances(max: number, init_fuel: number = INIT_FUEL): Instances {
  const modules = new Map<number, RunnableModule>();
  // The map is in the order of use.
  const guests = new BoundedMap<string, { guest: Guest; module: number }>(max);
  const key = (tenant_id: string, module: number) => `${module} ${tenant_id}`;
  /** The most recently used instance, which is the newest in the order: mostly it is also the next one. */
  let last: { tenant_id: string; module: number; guest: Guest } | undefined;

  function use(tenant_id: string, module: number): Guest | undefined {
    if (last?.module === module && last.tenant_id === tenant_id) return last.guest;
    const guest = guests.use(key(tenant_id, module))?.guest;
    if (guest !== undefined) last = { tenant_id, module, guest };
    return guest;
  }

  return {
    find: use,
    valueBytes: (module) => modules.get(module)?.value_bytes ?? NO_SLOTS,
    price: (module) => modules.get(module)?.instance_units,
    make(tenant_id, module) {
      const runnable = modules.get(module);
      if (runnable === undefined) throw new TypeError(`module ${module} is not loaded`);
      const guest = instantiateGuest(runnable, init_fuel);
      last = undefined;
      guests.set(key(tenant_id, module), { guest, module });
      return guest;
    },
    drop(tenant_id, module) {
      last = undefined;
      guests.delete(key(tenant_id, module));
    },
    load: (module, runnable) => void modules.set(module, runnable),
    unload(module) {
      last = undefined;
      modules.delete(module);
      for (const [name, entry] of guests) if (entry.module === module) guests.delete(name);
    },
    get size() {
      return guests.size;
    },
  };
}
