/** A server that accepts connections and sends nothing; `received` resolves at the first one. */
export function silentServer() {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const received = Promise.withResolvers<void>();
  const open: Deno.Conn[] = [];
  (async () => {
    for await (const connection of listener) {
      open.push(connection);
      received.resolve();
    }
  })();
  const close = () => {
    listener.close();
    for (const connection of open) connection.close();
  };
  return { port: listener.addr.port, received: received.promise, [Symbol.dispose]: close };
}
