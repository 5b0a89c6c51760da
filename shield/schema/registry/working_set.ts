/**
 * Which mapped messages are compiled: the recently used ones, within a limit of memory. The others are evicted: only
 * the gzipped set of each stays, from which the next event compiles it again. Compiling again has a limit of its own,
 * since nothing else runs meanwhile. Tenants share both limits. `cache.ts` decides what is mapped, and which version is
 * used.
 */
import type { FileRegistry } from "@bufbuild/protobuf";
import type { Env } from "../../../shared/env.ts";
import { readDescriptorSet } from "../../../shared/schema/descriptors/descriptor_set.ts";
import type { DescriptorSet } from "../../../shared/schema/descriptors/descriptor_set.ts";
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import { createPortion, createSharedRate, waitForShare, withdrawShare } from "../../rates/rates.ts";
import { compileMessage, type MessageSchema } from "../validation/message_schema.ts";

/** One stored version of a schema, unpacked while a message of it is compiled. */
export class SchemaSource {
  readonly version: number;
  /** The sha256 of the descriptor set. A version number is not unique, as a deleted schema may be registered again. */
  readonly sha256: string;
  users = 0;
  readonly #gzipped: Uint8Array;
  #set: DescriptorSet | undefined;

  constructor(version: number, sha256: string, gzipped: Uint8Array) {
    this.version = version;
    this.sha256 = sha256;
    // Bytes from the wire may be a view of a larger buffer, which would stay in memory with them.
    this.#gzipped = gzipped.slice();
  }

  /** Opens the set's types. Throws `SchemaError` if it is not a descriptor set. */
  open(): FileRegistry {
    this.#set ??= readDescriptorSet(this.#gzipped);
    return this.#set.registry;
  }

  /** Drops the types that `open` made. */
  close(): void {
    this.#set = undefined;
  }

  get packed_bytes(): number {
    return this.#gzipped.length;
  }

  /** The estimated bytes of the types while they are open. */
  get open_bytes(): number {
    return this.#set?.heap_bytes ?? 0;
  }
}

/** A message of a version that was compiled and can be compiled again. */
export interface CompiledSchema extends Pick<SchemaSource, "version" | "sha256"> {
  readonly source: SchemaSource;
  readonly type_name: string;
  /** The compiled message; undefined while it is evicted: see `WorkingSet.use`. */
  message: MessageSchema | undefined;
  heap_bytes: number;
  /** The tenant that used it last; "": none did. */
  tenant_id: string;
  /** The order of use; larger is later. */
  used: number;
}

interface WorkingSetOptions extends Pick<Env, "monotonic_ms"> {
  /** `platform.registry.compiled_bytes`. One message is always held, whatever its size. */
  readonly compiled_bytes: number;
  /** The time for recompiling in each second: `platform.registry.restore_ms`. */
  readonly restore_ms: number;
}

/** The most tenants whose portions are remembered. */
const PORTIONS_MAX = 10_000;

/** The compiled messages of a process. */
export class WorkingSet {
  /** Totals since the start of the process. */
  readonly totals = { put_away: 0, restored: 0, refused: 0 };
  readonly #options: WorkingSetOptions;
  readonly #compiled = new Set<CompiledSchema>();
  /** The time for recompiling, and the portions of tenants that needed some lately. */
  readonly #time: ReturnType<typeof createSharedRate>;
  readonly #portions = new BoundedMap<string, ReturnType<typeof createPortion>>(PORTIONS_MAX);
  #heap_bytes = 0;
  #uses = 0;

  constructor(options: WorkingSetOptions) {
    this.#options = options;
    this.#time = createSharedRate(options.restore_ms, options.monotonic_ms());
  }

  /** The estimated bytes of everything that is compiled. */
  get heap_bytes(): number {
    return this.#heap_bytes;
  }

  get size(): number {
    return this.#compiled.size;
  }

  /** Compiles a message; others may be evicted for it. Throws `SchemaError` if it cannot be compiled. */
  compile(source: SchemaSource, type_name: string): CompiledSchema {
    const { version, sha256 } = source;
    const compiled = {
      source,
      type_name,
      version,
      sha256,
      message: undefined,
      heap_bytes: 0,
      tenant_id: "",
      used: 0,
    };
    this.#make(compiled);
    return compiled;
  }

  /** The message, compiled again if necessary; undefined if the tenant's recompilation budget is used up. */
  use(compiled: CompiledSchema, tenant_id: string): MessageSchema | undefined {
    compiled.tenant_id = tenant_id;
    if (compiled.message === undefined && !this.#restore(compiled)) return undefined;
    compiled.used = ++this.#uses;
    return compiled.message;
  }

  /** Drops a message that is not wanted any longer. */
  drop(compiled: CompiledSchema | undefined): void {
    if (compiled === undefined || !this.#compiled.delete(compiled)) return;
    const { source } = compiled;
    compiled.message = undefined;
    this.#heap_bytes -= compiled.heap_bytes;
    if (--source.users > 0) return;
    this.#heap_bytes -= source.open_bytes;
    source.close();
  }

  /** Closes a version without compiled messages. */
  closeUnused(source: SchemaSource): void {
    if (source.users === 0) source.close();
  }

  #restore(compiled: CompiledSchema): boolean {
    const { monotonic_ms } = this.#options;
    const began_ms = monotonic_ms();
    const { tenant_id } = compiled;
    const portion = this.#portions.get(tenant_id) ?? createPortion(began_ms);
    this.#portions.renew(tenant_id, portion);
    if (waitForShare(this.#time, portion, 1, began_ms) > 0) {
      this.totals.refused++;
      return false;
    }
    this.#make(compiled);
    // The time is known only afterwards; the debt is repaid before the next one is compiled.
    withdrawShare(this.#time, portion, Math.max(monotonic_ms() - began_ms, 0));
    this.totals.restored++;
    return true;
  }

  #make(compiled: CompiledSchema): void {
    const { source, type_name } = compiled;
    let message: MessageSchema;
    try {
      message = compileMessage(source.open(), type_name);
    } catch (error) {
      this.closeUnused(source);
      throw error;
    }
    if (source.users++ === 0) this.#heap_bytes += source.open_bytes;
    compiled.message = message;
    // Rules may have their own descriptors, in which their loops are counted.
    compiled.heap_bytes = message.heap_bytes + (message.has_rules ? source.open_bytes : 0);
    compiled.used = ++this.#uses;
    this.#heap_bytes += compiled.heap_bytes;
    this.#compiled.add(compiled);
    this.#shrink(compiled);
  }

  /** Evicts messages, never the new one: of the tenant with most bytes, the least recently used. */
  #shrink(made: CompiledSchema): void {
    if (this.#heap_bytes <= this.#options.compiled_bytes) return;
    const bytes = new Map<string, number>();
    const bytesOf = ({ tenant_id }: CompiledSchema) => bytes.get(tenant_id) ?? 0;
    for (const one of this.#compiled) bytes.set(one.tenant_id, bytesOf(one) + one.heap_bytes);
    while (this.#heap_bytes > this.#options.compiled_bytes) {
      let first: CompiledSchema | undefined;
      for (const one of this.#compiled) {
        if (one === made) continue;
        const order = first === undefined ? 1 : bytesOf(one) - bytesOf(first);
        if (order > 0 || order === 0 && one.used < first!.used) first = one;
      }
      if (first === undefined) return;
      bytes.set(first.tenant_id, bytesOf(first) - first.heap_bytes);
      this.drop(first);
      this.totals.put_away++;
    }
  }
}
