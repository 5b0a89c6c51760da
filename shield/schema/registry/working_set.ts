/**
 * Which mapped messages are compiled at the moment: those of lately, within a bound on memory. The
 * others are put away: of them there is only the gzipped set, from which the next event brings them
 * back without asking anybody. Bringing back has a bound of its own, for nothing else happens
 * meanwhile. What is mapped, and which version counts, is `entry.ts`.
 */
import type { FileRegistry } from "@bufbuild/protobuf";
import { readDescriptorSet } from "../../../shared/schema/descriptors/descriptor_set.ts";
import type { DescriptorSet } from "../../../shared/schema/descriptors/descriptor_set.ts";
import { createBucket, refill, withdraw } from "../../rates/token_bucket.ts";
import type { TokenBucket } from "../../rates/token_bucket.ts";
import { compileMessage } from "../validation/message_schema.ts";
import type { MessageSchema } from "../validation/message_schema.ts";

/** One version of a schema as it is stored and, while a message of it is compiled, unpacked. */
export class SchemaSource {
  readonly version: number;
  /** The sha256 of the descriptor set: a schema that was deleted begins at version 1 again. */
  readonly sha256: string;
  /** The number of its messages that are compiled. */
  users = 0;
  readonly #gzipped: Uint8Array;
  #set: DescriptorSet | undefined;

  constructor(version: number, sha256: string, gzipped: Uint8Array) {
    this.version = version;
    this.sha256 = sha256;
    // What came over the wire may be a view of a larger buffer, which would be held with it.
    this.#gzipped = gzipped.slice();
  }

  /** Opens the set's types. Throws `SchemaError` when it is no descriptor set. */
  open(): FileRegistry {
    this.#set ??= readDescriptorSet(this.#gzipped);
    return this.#set.registry;
  }

  /** Forgets what `open` made. */
  close(): void {
    this.#set = undefined;
  }

  get packed_bytes(): number {
    return this.#gzipped.length;
  }

  /** About what it takes while it is open. */
  get open_bytes(): number {
    return this.#set?.heap_bytes ?? 0;
  }
}

/** A message of a version that was compiled once, and can be again. */
export class CompiledSchema {
  readonly source: SchemaSource;
  readonly type_name: string;
  /** Undefined while it is put away: see `WorkingSet.use`. */
  message: MessageSchema | undefined;
  /** What of the working set it takes. */
  heap_bytes = 0;
  /** The larger, the later it was used. */
  used = 0;

  constructor(source: SchemaSource, type_name: string) {
    this.source = source;
    this.type_name = type_name;
  }

  get version(): number {
    return this.source.version;
  }

  get sha256(): string {
    return this.source.sha256;
  }
}

/** Bounds of a working set. */
export interface WorkingSetOptions {
  /** `[platform.registry] compiled_bytes`. One message is always held, whatever its size. */
  readonly compiled_bytes: number;
  /** `[platform.registry] restore_ms`: of each second. */
  readonly restore_ms: number;
  /** Unix ms. */
  readonly now: () => number;
}

/** The compiled messages. */
export class WorkingSet {
  /** Since the start of the process. */
  readonly totals = { put_away: 0, restored: 0, refused: 0 };
  readonly #options: WorkingSetOptions;
  readonly #compiled = new Set<CompiledSchema>();
  readonly #budget: TokenBucket;
  #heap_bytes = 0;
  #uses = 0;

  constructor(options: WorkingSetOptions) {
    this.#options = options;
    this.#budget = createBucket(options.restore_ms, options.now());
  }

  /** About what all that is compiled takes in memory. */
  get heap_bytes(): number {
    return this.#heap_bytes;
  }

  /** Messages that are compiled. */
  get size(): number {
    return this.#compiled.size;
  }

  /** Compiles a message; others may be put away for it. Throws `SchemaError` when it cannot be. */
  compile(source: SchemaSource, type_name: string): CompiledSchema {
    const compiled = new CompiledSchema(source, type_name);
    this.#make(compiled);
    return compiled;
  }

  /** The message, brought back if need be; undefined when too much was brought back just now. */
  use(compiled: CompiledSchema): MessageSchema | undefined {
    if (compiled.message === undefined && !this.#restore(compiled)) return undefined;
    compiled.used = ++this.#uses;
    return compiled.message;
  }

  /** Nobody asks for it any more. */
  drop(compiled: CompiledSchema | undefined): void {
    if (compiled !== undefined) this.#putAway(compiled);
  }

  /** Closes a version of which nothing could be compiled. */
  closeUnused(source: SchemaSource): void {
    if (source.users > 0) return;
    source.close();
  }

  #restore(compiled: CompiledSchema): boolean {
    const { now } = this.#options;
    const began_ms = now();
    refill(this.#budget, began_ms);
    if (this.#budget.thousandths <= 0) {
      this.totals.refused++;
      return false;
    }
    this.#make(compiled);
    // Known only afterwards; the debt is paid before the next one.
    withdraw(this.#budget, Math.max(now() - began_ms, 0));
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
    // Rules may have descriptors of their own, in which their loops are counted.
    compiled.heap_bytes = message.heap_bytes + (message.has_rules ? source.open_bytes : 0);
    compiled.used = ++this.#uses;
    this.#heap_bytes += compiled.heap_bytes;
    this.#compiled.add(compiled);
    this.#shrink();
  }

  #shrink(): void {
    while (this.#heap_bytes > this.#options.compiled_bytes && this.#compiled.size > 1) {
      let oldest: CompiledSchema | undefined;
      for (const one of this.#compiled) {
        if (oldest === undefined || one.used < oldest.used) oldest = one;
      }
      if (oldest === undefined) return;
      this.#putAway(oldest);
      this.totals.put_away++;
    }
  }

  #putAway(compiled: CompiledSchema): void {
    if (!this.#compiled.delete(compiled)) return;
    const { source } = compiled;
    compiled.message = undefined;
    this.#heap_bytes -= compiled.heap_bytes;
    if (--source.users > 0) return;
    this.#heap_bytes -= source.open_bytes;
    source.close();
  }
}
