/** The batch capability of a Shield: many messages in one request. */
import type { Capability } from "../capability.ts";
import { HttpRates } from "../rates/http_rates.ts";
import { BATCH_SCHEMAS, batchRoute, PUBLISH_MANY } from "./batch.ts";

/** The capability, for a Shield's list. */
export const BATCH: Capability = {
  name: "batch",
  title: "many messages in one request",
  client: {
    described: [PUBLISH_MANY],
    schemas: BATCH_SCHEMAS,
    routes: ({ config: { limits, auth: { query_token } }, now, log }, parts) => {
      const { operations: { context }, stats, tenants } = parts;
      const rates = new HttpRates(parts.rates, now);
      return [batchRoute({ ...context, limits, stats, tenants, rates, query_token, log })];
    },
  },
};
