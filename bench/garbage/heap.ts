/** Asks a process that has loaded `probe.ts` about its heap. */
import { TextLineStream } from "../measure/text_lines.ts";

/** The heap at one moment, in bytes. */
export interface HeapReading {
  /** Bytes of objects, with those that nothing holds any more. */
  readonly heap_bytes: number;
  /** Bytes of the contents of array buffers, which are outside of the heap. */
  readonly contents_bytes: number;
  /** Bytes set aside for objects since the start, whether collected or not. */
  readonly ever_bytes: number;
}

/** The question for the heap as it is: one byte. */
export const READ = 0x72;
/** The question for the heap after a full collection: one byte. */
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
