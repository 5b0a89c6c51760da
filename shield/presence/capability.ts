/** The presence capability of a Shield: the members of rooms. */
import type { Capability } from "../capability.ts";
import { HeardAnswer } from "./moving.ts";
import { startPresence } from "./service.ts";

/** The capability, for a Shield's list. */
export const PRESENCE: Capability = {
  name: "presence",
  title: "the members of rooms",
  open(env, { node_id, rooms: { classes } }) {
    const service = startPresence({ ...env, classes, node_id });
    return {
      gives: { presence: service },
      start({ cluster: { asker } }) {
        service.moving.askBy(async (params, timeout_ms) => {
          const options = { params, timeout_ms, of: "shield" } as const;
          const { answers, nodes } = await asker.ask("moving", HeardAnswer, options);
          return nodes.silent.length + answers.filter(({ value }) => !value.heard).length;
        });
        return { questions: { moving: (params) => service.moving.heard(params) } };
      },
      close: () => service.close(),
    };
  },
};
