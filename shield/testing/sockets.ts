/** Real sockets for tests of what a connection sends: a server that upgrades every request. Tests only. */

/** A server that returns the open sockets that it upgraded; it ends with its scope. */
export interface UpgradeServer extends AsyncDisposable {
  readonly port: number;
  /** The next socket that opens; must be called before its client connects. */
  next(): Promise<WebSocket>;
}

/** On a free port of the loopback address. */
export function upgradeServer(): UpgradeServer {
  const opened: ((socket: WebSocket) => void)[] = [];
  const abort = new AbortController();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {}, signal: abort.signal },
    (request) => {
      const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
      socket.onopen = () => opened.shift()?.(socket);
      return response;
    },
  );
  return {
    port: server.addr.port,
    next: () => new Promise<WebSocket>((resolve) => void opened.push(resolve)),
    async [Symbol.asyncDispose]() {
      abort.abort();
      await server.finished;
    },
  };
}
