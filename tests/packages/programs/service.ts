/** The tour in a service worker, over HTTP: it can load nothing on demand. */
import { connect } from "@arqon/sdk/http";
import { tour } from "./tour.ts";

addEventListener("message", async (event) => {
  const { data: { url, token, name }, source } = event as MessageEvent;
  const seen = tour(url, token, name, (options) => connect({ ...options, transport: "http" }));
  (source as MessagePort | null)?.postMessage(
    await seen.then((seen) => ({ seen }), (error) => ({ error: String(error) })),
  );
});
