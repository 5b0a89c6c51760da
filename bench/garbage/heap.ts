/** Asks a process that has loaded `probe.ts` for its heap. */
import { TextLineStream } from "../measure/text_lines.ts";

/** The heap at a moment, in bytes. */
export interface HeapReading {
  /** Objects, those included that nobody holds any more. */
  readonly heap_bytes: number;
  /** Contents of array buffers, which are outside. */
  readonly contents_bytes: number;
  /** Set aside for objects since the start, whether or not it has been collected. */
  readonly ever_bytes: number;
}

/** The questions, a byte each. */
export const READ = 0x72;
/** After a full collection. */
export const COLLECT = 0x63;

/** A connection to the probe of one process. */
export interface Heap extends AsyncDisposable {
  read(): Promise<HeapReading>;
  collect(): Promise<HeapReading>;
}

/** Connects to the probe. */
export async function openHeap(port: number): Promise<Heap> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const lines = connection.readable.pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream()).values();
  const writer = connection.writable.getWriter();
  const ask = async (question: number): Promise<HeapReading> => {
    await writer.write(new Uint8Array([question]));
    const { value, done } = await lines.next();
    if (done || value === undefined) throw new Error("the process has ended");
    return JSON.parse(value);
  };
  return {
    read: () => ask(READ),
    collect: () => ask(COLLECT),
    async [Symbol.asyncDispose]() {
      await writer.close();
      await lines.return?.();
    },
  };
}
