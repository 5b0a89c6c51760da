/** A process that starts on a NATS server that answers late becomes ready: it asks again, and does not end. */
import { pace } from "../shared/testing/pace.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { type NatsServer, startNats } from "./harness/nats_server.ts";

const BUILD = new URL("../policies/build/", import.meta.url).pathname;
const REQUEST_TIMEOUT_MS = 300;
const CONFIG = `
[[reducers]]
name = "counter"
file = "${BUILD}reducers/counter.wasm"
[[rooms]]
room = "count-*"
durable = true
reducer = "counter"
`;

/** Freezes the server again and again, longer than a request may take, until it is disposed. */
function stutter(nats: NatsServer): AsyncDisposable {
  let ended = false;
  const ending = (async () => {
    while (!ended) {
      await nats.freeze();
      await pace(2.5 * REQUEST_TIMEOUT_MS);
      nats.resume();
      await pace(REQUEST_TIMEOUT_MS / 2);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      ended = true;
      await ending;
    },
  };
}

for (const part of ["shield", "brain"] as const) {
  Deno.test(`a ${part} starts on a NATS server that answers late`, async () => {
    await using nats = await startNats({ jetstream: true });
    await using issuer = await createIssuer();
    await using _slow = stutter(nats);
    const urls = `[nats]\nurls = ["${nats.url}"]\nrequest_timeout_ms = ${REQUEST_TIMEOUT_MS}\n`;
    await using _server = await startServer(part, `${urls}${issuer.config}${CONFIG}`, issuer.dir);
  });
}
