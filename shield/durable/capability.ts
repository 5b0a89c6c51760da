/** What durable rooms bring to a Shield. */
import type { Capability } from "../capability.ts";
import { HttpRates } from "../rates/http_rates.ts";
import { createHttpHistory, HISTORY } from "./http/http_history.ts";

/** Rooms whose messages are kept and can be read again. */
export const DURABLE: Capability = {
  name: "durable",
  title: "rooms whose messages are kept and can be read again",
  client: {
    described: [HISTORY],
    routes: ({ config: { auth: { query_token } }, now }, { history, stats, rates }) => {
      const context = { history, stats, rates: new HttpRates(rates, now), query_token };
      return [{ ...HISTORY, answer: createHttpHistory(context) }];
    },
  },
};
