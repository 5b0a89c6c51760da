/**
 * A module that a server's process loads before its program (`deno run --preload`), so that somebody
 * outside can ask for its heap: prints `{"probe": PORT}`, listens there for one connection, and answers
 * each byte with a line of JSON, after a full collection when the byte is `COLLECT`. The inspector would
 * not do: with `--inspect` Deno reports each WebSocket frame to it, which is garbage of its own.
 */
import { getHeapStatistics } from "node:v8";
import { COLLECT, type HeapReading } from "./heap.ts";

/** With `--expose-gc`. */
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
    // Contents of arrays are given back on another thread, until the next collection at the latest.
    if (question[0] === COLLECT) gc(), gc();
    await connection.write(new TextEncoder().encode(`${JSON.stringify(reading())}\n`));
  }
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
// The program begins when nothing holds up this module any more.
listener.unref();
console.log(JSON.stringify({ probe: listener.addr.port }));
// It ends with the connection, or with the process.
answer(listener).catch(() => {});
