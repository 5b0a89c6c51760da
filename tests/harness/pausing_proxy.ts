/**
 * A TCP proxy that can pause what the server sends, as for a client that is too busy, or what its clients send, and
 * resume later. It loses nothing.
 */

const CHUNK_BYTES = 65_536;

/** A proxy for one server; ends its connections with the scope. */
export interface PausingProxy extends AsyncDisposable {
  readonly port: number;
  /** Pauses one direction; by default what the server sends. */
  pause(what?: "answers" | "requests"): void;
  /** As `pause` for requests, but not for later connections. */
  pausePresent(): void;
  resume(): void;
}

/** Starts one on a free port of the loopback interface, to `target_port` there. */
export function startPausingProxy(target_port: number): PausingProxy {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connections = new Set<Deno.TcpConn>();
  const gates: { answers?: PromiseWithResolvers<void>; requests?: PromiseWithResolvers<void> } = {};

  /** Connections with paused requests. */
  const held = new Map<Deno.TcpConn, Promise<void>>();
  const mayPass = (from: Deno.TcpConn, what: "answers" | "requests") =>
    gates[what]?.promise ?? (what === "requests" ? held.get(from) : undefined);

  const pass = async (from: Deno.TcpConn, to: Deno.TcpConn, what: "answers" | "requests") => {
    const buffer = new Uint8Array(CHUNK_BYTES);
    try {
      for (;;) {
        await mayPass(from, what);
        const size_bytes = await from.read(buffer);
        if (size_bytes === null) break;
        // Closed while it was being read: that waits, too.
        await mayPass(from, what);
        for (let at = 0; at < size_bytes;) at += await to.write(buffer.subarray(at, size_bytes));
      }
    } catch {
      // A side that has closed ends the pair, whatever it sent last.
    }
    // The client has closed, and what it has sent is still to be passed on.
    if (what === "answers" && held.has(to)) return;
    for (const one of [from, to]) if (connections.delete(one)) one.close();
  };
  const join = async (client: Deno.TcpConn) => {
    const at = { hostname: "127.0.0.1", port: target_port };
    const server = await Deno.connect(at).catch(() => undefined);
    // When the server closes, its clients are disconnected, too.
    if (server === undefined) return client.close();
    for (const one of [client, server]) connections.add(one);
    await Promise.all([pass(client, server, "requests"), pass(server, client, "answers")]);
  };
  const running: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const client of listener) running.push(join(client));
  })().catch(() => {});
  let release = () => {};
  const resume = () => {
    held.clear();
    release();
    for (const what of ["answers", "requests"] as const) {
      gates[what]?.resolve();
      delete gates[what];
    }
  };
  return {
    port: listener.addr.port,
    pause(what = "answers") {
      gates[what] ??= Promise.withResolvers<void>();
    },
    pausePresent() {
      const { promise, resolve } = Promise.withResolvers<void>();
      release = resolve;
      for (const one of connections) held.set(one, promise);
    },
    resume,
    async [Symbol.asyncDispose]() {
      listener.close();
      resume();
      for (const one of connections) one.close();
      connections.clear();
      await Promise.all([accepting, ...running]);
    },
  };
}
