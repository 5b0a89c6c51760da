/** Handles below `node:net`: failures to accept, and moved connections. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { until } from "../testing/until.ts";
import { HandleStream } from "./handle_stream.ts";
import { acceptHandles, handleOf, moved, type TcpHandle } from "./node_handle.ts";

Deno.test("a runtime without a needed handle method is refused at the start, with its name", () => {
  class Handle {
    readonly accept = () => 0;
    readonly listen = () => 0;
    readonly readStart = () => 0;
  }
  const server = { _handle: new Handle() } as unknown as Server;
  assert.throws(
    () => acceptHandles(server, () => {}, () => {}),
    /^Error: Deno \d.* have no readStop, writeBuffer, useUserBuffer, .*It was made for Deno \d/,
  );
});

Deno.test("a failed accept is reported, and the next connection is accepted", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted: TcpHandle[] = [];
  let failures = 0;
  acceptHandles(server, (handles) => accepted.push(...handles), () => failures++);
  const listening = handleOf(server) as unknown as {
    onconnection(problem: number): void;
    accept(handle: TcpHandle): number;
  };
  const { accept } = listening;
  // Out of memory, as the runtime reports it.
  listening.onconnection(-12);
  assert.deepEqual([accepted.length, failures], [0, 1]);
  listening.accept = () => -103;
  const { port } = server.address() as { port: number };
  using _aborted = await Deno.connect({ hostname: "127.0.0.1", port });
  await until("the failure is reported", () => failures === 2);
  listening.accept = accept;
  using _client = await Deno.connect({ hostname: "127.0.0.1", port });
  await until("it is accepted", () => accepted.length > 0);
  assert.equal(failures, 2);
  for (const handle of accepted) handle.close();
  server.close();
  await once(server, "close");
});

Deno.test("a connection that is moved to a lower descriptor reads and writes on; its peer notices nothing", async () => {
  // More than parallel tests, in threads of the same process, can take meanwhile.
  const holes = Array.from({ length: 32 }, () => openSync("/dev/null", "r"));
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted: TcpHandle[] = [];
  acceptHandles(server, (handles) => accepted.push(...handles), () => {});
  const { port } = server.address() as { port: number };
  using client = await Deno.connect({ hostname: "127.0.0.1", port });
  await until("it is accepted", () => accepted.length > 0);
  const [handle] = accepted as [TcpHandle];
  for (const hole of holes) closeSync(hole);
  const offered: number[] = [];
  const offer = (keeps: boolean) => (number: number) => (offered.push(number), keeps);
  assert.equal(moved(handle, offer(false)), undefined);
  const stream = new HandleStream(moved(handle, offer(true)) as TcpHandle);
  const highest = Math.max(...holes);
  assert.deepEqual(offered.map((number) => number <= highest), [true, true], offered.join());
  await client.write(new Uint8Array([1, 2, 3]));
  assert.equal(await stream.read(new Uint8Array(10)), 3);
  await stream.write(new Uint8Array([4]));
  assert.equal(await client.read(new Uint8Array(10)), 1);
  stream.close();
  assert.equal(await client.read(new Uint8Array(10)), null);
  server.close();
  await once(server, "close");
});
