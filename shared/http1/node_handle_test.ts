/** Handles below `node:net`: what is told of connections that could not be accepted. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { until } from "../testing/until.ts";
import { acceptHandles, handleOf } from "./node_handle.ts";
import type { TcpHandle } from "./node_handle.ts";

Deno.test("a connection that could not be accepted is told, and the next one is accepted", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted: TcpHandle[] = [];
  let failures = 0;
  acceptHandles(server, (handle) => accepted.push(handle), () => failures++);
  const listening = handleOf(server) as unknown as {
    onconnection(problem: number): void;
    accept(handle: TcpHandle): number;
  };
  const { accept } = listening;
  // No memory, as the runtime says it.
  listening.onconnection(-12);
  assert.deepEqual([accepted.length, failures], [0, 1]);
  listening.accept = () => -103;
  const { port } = server.address() as { port: number };
  using _aborted = await Deno.connect({ hostname: "127.0.0.1", port });
  await until("the failure is told", () => failures === 2);
  listening.accept = accept;
  using _client = await Deno.connect({ hostname: "127.0.0.1", port });
  await until("it is accepted", () => accepted.length > 0);
  assert.equal(failures, 2);
  for (const handle of accepted) handle.close();
  server.close();
  await once(server, "close");
});
