/** An endless chain of jobs lets the sockets in between its turns. */
import assert from "node:assert/strict";
import { lookAtSockets, turn } from "../../turns/next_turn.ts";
import { JobQueue } from "./job_queue.ts";

/** The number of jobs that run until a byte has been sent and echoed, each pushed after the previous one has run. */
async function jobsOfAnEcho(turns: JobQueue): Promise<number> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const [server, client] = await Promise.all([
    listener.accept(),
    Deno.connect({ hostname: "127.0.0.1", port }),
  ]);
  let jobs = 0;
  let busy = true;
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const run = () => {
    jobs++;
    if (busy) queueMicrotask(() => turns.push({ run }));
    else resolve();
  };
  turns.push({ run });
  const byte = new Uint8Array(1);
  await client.write(byte);
  await server.read(byte);
  await server.write(byte);
  await client.read(byte);
  const needed = jobs;
  busy = false;
  await over;
  server.close();
  client.close();
  return needed;
}

Deno.test("jobs that trigger each other forever let the sockets run every few turns", async () => {
  const end = lookAtSockets();
  // The clock does not advance: no job is later than necessary.
  const turns = new JobQueue(() => 0);
  // Only now there is a connection for it.
  await jobsOfAnEcho(turns);
  await turn();
  const counts: number[] = [];
  for (let i = 0; i < 10; i++) counts.push(await jobsOfAnEcho(turns));
  end();
  assert(Math.max(...counts) <= 100, `an echo took ${counts.join(", ")} jobs`);
});
