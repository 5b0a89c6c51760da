/**
 * A TCP proxy that stops reading from the server when it is told to, as a client does that is too
 * busy, and goes on later. Nothing is lost on it.
 */

const CHUNK_BYTES = 65_536;

/** For one server; ends its connections with the scope. */
export interface PausingProxy extends AsyncDisposable {
  readonly port: number;
  pause(): void;
  resume(): void;
}

/** Starts one on a free port of the loopback interface, to `target_port` there. */
export function startPausingProxy(target_port: number): PausingProxy {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connections = new Set<Deno.TcpConn>();
  let gate: PromiseWithResolvers<void> | undefined;

  const pass = async (from: Deno.TcpConn, to: Deno.TcpConn, slow: boolean) => {
    const buffer = new Uint8Array(CHUNK_BYTES);
    try {
      for (;;) {
        if (slow) await gate?.promise;
        const size_bytes = await from.read(buffer);
        if (size_bytes === null) break;
        for (let at = 0; at < size_bytes;) at += await to.write(buffer.subarray(at, size_bytes));
      }
    } catch {
      // A side that is gone ends the pair, whatever its last words were.
    }
    for (const one of [from, to]) if (connections.delete(one)) one.close();
  };
  const join = async (client: Deno.TcpConn) => {
    const server = await Deno.connect({ hostname: "127.0.0.1", port: target_port });
    for (const one of [client, server]) connections.add(one);
    await Promise.all([pass(client, server, false), pass(server, client, true)]);
  };
  const running: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const client of listener) running.push(join(client));
  })().catch(() => {});
  return {
    port: listener.addr.port,
    pause() {
      gate ??= Promise.withResolvers<void>();
    },
    resume() {
      gate?.resolve();
      gate = undefined;
    },
    async [Symbol.asyncDispose]() {
      listener.close();
      gate?.resolve();
      gate = undefined;
      for (const one of connections) one.close();
      connections.clear();
      await Promise.all([accepting, ...running]);
    },
  };
}
