/** How soon sockets have their turn while work never ends. */

/** The turns of endless work until a message has made a round trip; `turn` runs its job in a later one. */
export async function turnsOfAnEcho(turn: (job: () => void) => void): Promise<number> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const [server, client] = await Promise.all([
    listener.accept(),
    Deno.connect({ hostname: "127.0.0.1", port }),
  ]);
  let turns = 0;
  let busy = true;
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const go = () => {
    turns++;
    if (busy) turn(go);
    else resolve();
  };
  go();
  const byte = new Uint8Array(1);
  await client.write(byte);
  await server.read(byte);
  await server.write(byte);
  await client.read(byte);
  const needed = turns;
  busy = false;
  await over;
  server.close();
  client.close();
  return needed;
}
