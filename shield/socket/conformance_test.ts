/** All implementations of client sockets, one suite. */
import { SOCKET_CASES } from "./testing/conformance.ts";
import { startHost } from "./testing/host.ts";
import { FAIR_CASES } from "./testing/conformance_fair.ts";
import { HTTP_CASES } from "./testing/conformance_http.ts";

for (const websocket of ["native", "own"] as const) {
  for (const { behaviour, options = {}, run } of [...SOCKET_CASES, ...FAIR_CASES, ...HTTP_CASES]) {
    // Sockets of peers that were disposed of end after the test.
    const settings = { sanitizeOps: false, sanitizeResources: false };
    Deno.test({
      name: `${websocket}: ${behaviour}`,
      ...settings,
      async fn() {
        await using host = await startHost(websocket, options);
        await run(host);
      },
    });
  }
}
