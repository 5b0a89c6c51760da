/**
 * Compiles modules in a worker of their own, so that rooms do not wait: one at a time, tenants in turns, each module
 * once.
 */
import { ArqonError } from "@arqon/proto";
import { createTurns, UNBOUNDED } from "../../../shared/turns/tenant_turns.ts";
import type { MeteredModule } from "../../../wasm/metering/meter.ts";
import type { RunnableProgram } from "../log/program.ts";
import { compileUnits, UNITS_PER_MS } from "./thread_price.ts";
import type { CompileReply, CompileRequest } from "./compile_thread.ts";

/** A metered and compiled module. */
export interface CompiledProgram {
  readonly compiled: WebAssembly.Module;
  readonly metered: Pick<MeteredModule, "cost" | "renewal">;
}

type Made = Extract<CompileReply, { metered: unknown }>;
type Asked = Pick<RunnableProgram, "id" | "bytes" | "memory_limit_pages" | "price_version">;

interface Waiting extends PromiseWithResolvers<Made> {
  readonly tenant_id: string;
  readonly request: CompileRequest;
}

const unavailable = (detail: string) =>
  new ArqonError("brain-unavailable", "", { cause: new Error(detail) });

/** The worker, which starts with the first module; if it dies, the next module starts another. */
export class Compiling {
  #thread: Worker | undefined;
  readonly #waiting = new Map<number, Waiting>();
  /** The queue: at most one module for each class of rooms, and for each room being read. */
  readonly #turns = createTurns<Waiting>(UNBOUNDED);
  #is_busy = false;
  /** Programs that are being compiled: many rooms may need one at once. */
  readonly #programs = new Map<string, Promise<CompiledProgram>>();
  #last_id = 0;

  /** Rejects with `brain-unavailable`, with the fault as its cause. */
  compile(program: Asked, tenant_id: string): Promise<CompiledProgram> {
    const known = this.#programs.get(program.id);
    if (known !== undefined) return known;
    const making = this.#ask(program, true, tenant_id).then(
      ({ compiled, metered: { cost, renewal } }) => {
        return { compiled: compiled!, metered: { cost, renewal } };
      },
    ).finally(() => this.#programs.delete(program.id));
    this.#programs.set(program.id, making);
    return making;
  }

  /** The metered bytes of a program. Rejects as `compile`. */
  async metered(program: Asked, tenant_id: string): Promise<Uint8Array> {
    return (await this.#ask(program, false, tenant_id)).metered.bytes;
  }

  /** Ends the worker; running compilations are rejected. */
  end(detail: string): void {
    this.#thread?.terminate();
    this.#thread = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#turns.drain();
    this.#is_busy = false;
    for (const { reject } of waiting) reject(unavailable(detail));
  }

  #ask(
    { bytes, memory_limit_pages, price_version }: Asked,
    compiles: boolean,
    tenant_id: string,
  ): Promise<Made> {
    const id = ++this.#last_id;
    const request: CompileRequest = { id, bytes, memory_limit_pages, price_version, compiles };
    const waiting = { ...Promise.withResolvers<Made>(), tenant_id, request };
    this.#waiting.set(id, waiting);
    this.#turns.push(tenant_id, waiting, 0);
    this.#send();
    return waiting.promise;
  }

  #send(): void {
    const next = this.#is_busy ? undefined : this.#turns.take();
    if (next === undefined) return;
    this.#is_busy = true;
    this.#turns.charge(next.tenant_id, compileUnits(next.request) / UNITS_PER_MS);
    this.#thread ??= this.#start();
    this.#thread.postMessage(next.request);
  }

  #start(): Worker {
    const url = new URL("./compile_thread.ts", import.meta.url);
    const thread = new Worker(url, { type: "module", name: "reducer-compiling" });
    thread.onmessage = ({ data }: MessageEvent<CompileReply>) => {
      if (this.#thread !== thread) return;
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      this.#is_busy = false;
      this.#send();
      if ("metered" in data) waiting?.resolve(data);
      else waiting?.reject(unavailable(data.failed));
    };
    thread.onerror = (event) => {
      event.preventDefault();
      if (this.#thread === thread) this.end(event.message);
    };
    return thread;
  }
}
