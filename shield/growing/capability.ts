/** What growing messages bring to a Shield. */
import type { Capability } from "../capability.ts";
import { HttpRates } from "../rates/http_rates.ts";
import { GROW, growingRoute } from "./http/route.ts";

/** Messages that grow while they are written. */
export const GROWING: Capability = {
  name: "growing",
  title: "messages that grow while they are written",
  client: {
    described: [GROW],
    routes: ({ config: { auth, limits }, spine, now }, { growing, stats, tenants, ...parts }) => {
      const rates = new HttpRates(parts.rates, now);
      const { query_token } = auth;
      return [growingRoute({ growing, spine, limits, stats, tenants, rates, query_token, now })];
    },
  },
};
