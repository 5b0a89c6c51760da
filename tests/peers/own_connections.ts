/**
 * A new connection for each request. A Shield that was killed, or whose keep-alive timeout passed, may have closed a
 * pooled one just when it is reused; the runtime retries on a second one, which may be closed, too.
 */
export const OWN_CONNECTIONS: Deno.HttpClient = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });

/** Sends a request with a token, on its own connection. `body` is sent as JSON, text and bytes as they are. */
export function send(
  url: string,
  token: string,
  method: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  const is_plain = typeof body === "string" || body instanceof Uint8Array;
  return fetch(url, {
    client: OWN_CONNECTIONS,
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    body: body === undefined ? null : is_plain ? body as BodyInit : JSON.stringify(body),
    redirect: "manual",
  });
}
