/** Compiling beside the rooms: modules go to a thread of their own, one after the other, each once at a time. */
import { ArqonError } from "@arqon/proto";
import type { MeteredModule } from "../../../wasm/metering/meter.ts";
import type { RunnableProgram } from "../log/program.ts";
import type { CompileReply, CompileRequest } from "./compile_thread.ts";

/** A module that can run. */
export interface CompiledProgram {
  readonly compiled: WebAssembly.Module;
  readonly metered: Pick<MeteredModule, "cost" | "renewal">;
}

type Made = Extract<CompileReply, { metered: unknown }>;
type Asked = Pick<RunnableProgram, "id" | "bytes" | "memory_limit_pages" | "price_version">;

const unavailable = (detail: string) =>
  new ArqonError("brain-unavailable", "", { cause: new Error(detail) });

/** The thread, which starts with the first module; when it dies, the next module starts another. */
export class Compiling {
  #thread: Worker | undefined;
  readonly #waiting = new Map<number, PromiseWithResolvers<Made>>();
  /** Programs under way: many rooms may need one at once. */
  readonly #programs = new Map<string, Promise<CompiledProgram>>();
  #last_id = 0;

  /** Rejects with `brain-unavailable`, with what is wrong as its cause. */
  compile(program: Asked): Promise<CompiledProgram> {
    const known = this.#programs.get(program.id);
    if (known !== undefined) return known;
    const making = this.#ask(program, true).then(({ compiled, metered: { cost, renewal } }) => {
      return { compiled: compiled!, metered: { cost, renewal } };
    }).finally(() => this.#programs.delete(program.id));
    this.#programs.set(program.id, making);
    return making;
  }

  /** The bytes of a program as it is run. Rejects as `compile`. */
  async metered(program: Asked): Promise<Uint8Array> {
    return (await this.#ask(program, false)).metered.bytes;
  }

  /** Ends the thread; what is under way is rejected. */
  end(detail: string): void {
    this.#thread?.terminate();
    this.#thread = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(unavailable(detail));
  }

  #ask({ bytes, memory_limit_pages, price_version }: Asked, compiles: boolean): Promise<Made> {
    const id = ++this.#last_id;
    const waiting = Promise.withResolvers<Made>();
    this.#waiting.set(id, waiting);
    this.#thread ??= this.#start();
    const request: CompileRequest = { id, bytes, memory_limit_pages, price_version, compiles };
    this.#thread.postMessage(request);
    return waiting.promise;
  }

  #start(): Worker {
    const url = new URL("./compile_thread.ts", import.meta.url);
    const thread = new Worker(url, { type: "module", name: "reducer-compiling" });
    thread.onmessage = ({ data }: MessageEvent<CompileReply>) => {
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
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
