/**
 * The routes of the client listener that are not single commands, with their descriptions. `start.ts` has the handlers;
 * `shield/rooms/` the routes of commands.
 */
import { ackOf, COMMAND, MESSAGE, RECEIPT } from "./openapi_answers.ts";
import type { DescribedRoute } from "./route.ts";

/** The routes of the client API's table, without commands. */
export const OWN_ROUTES = {
  publish: {
    method: "POST",
    template: "/v1/rooms/{room}/messages",
    about: {
      id: "publish",
      tag: "messages",
      summary: "Publishes one message",
      body: { schema: MESSAGE },
      answer: ackOf(RECEIPT, "result"),
      refusals: [408, 409],
    },
  },
  command: {
    method: "POST",
    template: "/v1/rooms/{room}/commands",
    about: {
      id: "command",
      tag: "commands",
      summary: "Runs any command, as over a socket",
      body: { schema: COMMAND },
      answer: ackOf({ type: "object" }),
      refusals: [408, 409],
    },
  },
} as const satisfies Readonly<Record<string, DescribedRoute>>;
