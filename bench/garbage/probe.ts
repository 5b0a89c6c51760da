/**
 * A module that a server's process loads before its program (`deno run --preload`), so that another process
 * can ask about its heap. It prints `{"probe": PORT}`, listens there for one connection, and answers each
 * byte with a line of JSON, after a full collection when the byte is `COLLECT`. The inspector is no way to
 * ask: with `--inspect` Deno reports each WebSocket frame to it, which makes garbage of its own.
 */
import { getHeapStatistics } from "node:v8";
import { COLLECT, type HeapReading } from "./heap.ts";

/** Exists with `--expose-gc`. */
declare const gc: () => void;

function reading(): HeapReading {
  const statistics = getHeapStatistics() as unknown as Record<string, number>;
  return {
    heap_bytes: statistics["used_heap_size"]!,
    contents_bytes: statistics["external_memory"]!,
    ever_bytes: statistics["total_allocated_bytes"]!,
  };
}

async function answer(listener: Deno.TcpListener): Promise<void> {
  const connection = await listener.accept();
  const question = new Uint8Array(1);
  while (await connection.read(question) !== null) {
    // Contents of arrays are freed on another thread, at the latest before the next collection.
    if (question[0] === COLLECT) gc(), gc();
    await connection.write(new TextEncoder().encode(`${JSON.stringify(reading())}\n`));
  }
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
// The listener must not hold up the program, which begins after this module.
listener.unref();
console.log(JSON.stringify({ probe: listener.addr.port }));
// The probe ends with the connection or with the process.
answer(listener).catch(() => {});
