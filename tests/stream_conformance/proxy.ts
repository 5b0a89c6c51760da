/** The proxy between the conformance package and the bus: it only adds a token and the prefix. */

/** Maps `/v1/stream/…` of the package to `/v1/streams/…` of the Shields, in turn. */
export function startProxy(shields: readonly string[], token: string): Deno.HttpServer {
  let requests = 0;
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname, search, origin } = new URL(request.url);
    const shield = shields[requests++ % shields.length];
    const { method, body } = request;
    const headers = new Headers(request.headers);
    headers.set("authorization", `Bearer ${token}`);
    const url = shield + pathname.replace("/v1/stream/", "/v1/streams/") + search;
    const answer = await fetch(url, { method, headers, body, redirect: "manual" });
    const location = answer.headers.get("location");
    if (location === null) return answer;
    const back = new Headers(answer.headers);
    back.set("location", origin + new URL(location).pathname.replace("/streams/", "/stream/"));
    return new Response(answer.body, { status: answer.status, headers: back });
  });
}
