/** A server of HTTP on a free port of this machine, which ends with its scope. */

/** Answers requests; its address is `http://127.0.0.1:port`. */
export function serving(
  answer: (request: Request) => Response | Promise<Response>,
): { readonly url: string } & AsyncDisposable {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, answer);
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
