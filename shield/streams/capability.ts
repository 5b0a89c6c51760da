/** The streams capability of a Shield. */
import type { Capability } from "../capability.ts";
import { startStreams } from "./start.ts";
import { STREAM_REQUEST_HEADERS, STREAM_ROUTES } from "./stream_paths.ts";

/** Durable rooms over the Durable Streams protocol. */
export const STREAMS: Capability = {
  name: "streams",
  title: "durable rooms over the Durable Streams protocol",
  config: ["streams"],
  room_class: ["http_cache"],
  stores: ["ARQON_STREAMS"],
  client: {
    described: Object.values(STREAM_ROUTES),
    tags: { streams: "durable rooms over the Durable Streams protocol" },
    headers: STREAM_REQUEST_HEADERS,
    routes: startStreams,
  },
};
