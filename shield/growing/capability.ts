/** The growing-messages capability of a Shield. */
import type { Capability } from "../capability.ts";
import { HttpRates } from "../rates/http_rates.ts";
import { GROW, growingRoute } from "./http/route.ts";
import { type StartedGrowing, startGrowing } from "./start.ts";

/** Messages that grow while they are written. */
export const GROWING: Capability<StartedGrowing> = {
  name: "growing",
  title: "messages that grow while they are written",
  config: ["growing"],
  stores: ["ARQON_GROWING"],
  actions: {
    "growing.start": "publish",
    "growing.append": "publish",
    "growing.finish": "publish",
    "growing.abort": "publish",
    "growing.outcome": "publish",
    "growing.list": "subscribe",
    "growing.get": "subscribe",
  },
  client: {
    described: [GROW],
    routes: ({ config: { auth, limits }, spine, now }, { running, stats, tenants, ...parts }) => {
      const { path, requireNotRevoked } = parts.operations.context;
      const rates = new HttpRates(parts.rates, now);
      const { query_token } = auth;
      // It is started before the first client connects.
      const answer: StartedGrowing["answer"] = (...args) => running.of(GROWING)!.answer(...args);
      const growing = { answer };
      const own = { growing, path, spine, limits, stats, tenants, rates, query_token, now };
      return [growingRoute({ ...own, requireNotRevoked })];
    },
  },
  start(env, { operations: { context: { path } }, policies, logs, rooms }) {
    const growing = startGrowing(env, path, policies, logs, rooms.classes);
    return { own: growing, commands: growing.own, clientsGone: () => growing.close() };
  },
};
