/**
 * The instances of one worker: one for each tenant and module, made on first use, the one used
 * longest ago dropped when there are too many. An instance's memory is the policy's state.
 */
import { type Guest, instantiateGuest } from "./host_abi.ts";

/** Instances by tenant and module. */
export interface Instances {
  /**
   * The tenant's instance. Undefined when the module is not loaded. Throws what instantiating throws.
   */
  get(tenant_id: string, module: number): Guest | undefined;
  /** Throws an instance away. */
  drop(tenant_id: string, module: number): void;
  load(module: number, compiled: WebAssembly.Module): void;
  /** Forgets a module and its instances. */
  unload(module: number): void;
  readonly size: number;
}

/** At most `max` instances. */
export function createInstances(max: number): Instances {
  const modules = new Map<number, WebAssembly.Module>();
  // In the order of use.
  const guests = new Map<string, { guest: Guest; module: number }>();
  const key = (tenant_id: string, module: number) => `${module} ${tenant_id}`;

  return {
    get(tenant_id, module) {
      const compiled = modules.get(module);
      if (compiled === undefined) return undefined;
      const name = key(tenant_id, module);
      const entry = guests.get(name) ?? { guest: instantiateGuest(compiled), module };
      guests.delete(name);
      if (guests.size >= max) {
        for (const oldest of guests.keys()) {
          guests.delete(oldest);
          break;
        }
      }
      guests.set(name, entry);
      return entry.guest;
    },
    drop: (tenant_id, module) => void guests.delete(key(tenant_id, module)),
    load: (module, compiled) => void modules.set(module, compiled),
    unload(module) {
      modules.delete(module);
      for (const [name, entry] of guests) if (entry.module === module) guests.delete(name);
    },
    get size() {
      return guests.size;
    },
  };
}
