/** The durable-rooms capability of a Shield: rooms whose messages are stored and can be read again. */
import type { Capability } from "../capability.ts";
import { FILTERS } from "../filter/capability.ts";
import { Filters } from "../filter/filters.ts";
import { HttpRates } from "../rates/http_rates.ts";
import { POSITION } from "../http/openapi_answers.ts";
import { BOOLEAN, list, object, TEXT } from "../openapi/openapi_parts.ts";
import type { History } from "./history/history.ts";
import { HISTORY_GET } from "./history/history_query.ts";
import { createHttpHistory, HISTORY } from "./http/http_history.ts";
import { sendMissed } from "./send_missed.ts";
import { startDurable } from "./start.ts";
import type { StartedDurable } from "./start.ts";

/** The parts of durable rooms for other capabilities; the history is available once it is started. */
interface OwnDurable extends Pick<StartedDurable, "stats"> {
  readonly history?: History;
}

/** The capability, for a Shield's list. */
export const DURABLE: Capability<OwnDurable> = {
  name: "durable",
  title: "rooms whose messages are stored and can be read again",
  config: ["durable"],
  room_class: ["durable", "history_size", "history_ttl_seconds", "replicas", "cache_last"],
  actions: { [HISTORY_GET]: "subscribe" },
  client: {
    described: [HISTORY],
    schemas: {
      History: object({
        messages: list({ type: "object" }),
        offset: POSITION,
        epoch: TEXT,
        more: BOOLEAN,
      }),
    },
    routes: ({ config: { auth: { query_token } }, now }, { running, stats, rates }) => {
      const context = { stats, rates: new HttpRates(rates, now), query_token };
      let answer: ReturnType<typeof createHttpHistory> | undefined;
      return [{
        ...HISTORY,
        answer(call) {
          // The history is started before the first client comes.
          const history = running.of(DURABLE)!.history!;
          return (answer ??= createHttpHistory({ ...context, history }))(call);
        },
      }];
    },
  },
  open(env, ground) {
    const { rooms: { classes }, flushes, running } = ground;
    const durable = startDurable({ ...env, classes, flushes });
    const { logs, rooms, stats } = durable;
    // They are opened later.
    let opened: Filters | undefined;
    const filters = () => opened ??= running.of(FILTERS) ?? new Filters(env.config.filters);
    return {
      gives: { logs, durable: rooms, sendMissed: (...missed) => sendMissed(filters(), ...missed) },
      own: { stats },
      start({ operations: { context: { path, overseer, limits } } }) {
        const { noteRead, reads } = running.given;
        const read = { overseer, limits, filters: filters(), noteRead, reads };
        const history = durable.history({ ...path, ...read });
        return { own: { stats, history }, commands: history.own };
      },
      close: durable.close,
    };
  },
};
