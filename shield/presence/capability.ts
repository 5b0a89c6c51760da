/** The presence capability of a Shield: the members of rooms. */
import { scrapedCounter } from "../../shared/metrics/metrics_plain.ts";
import type { Capability, Given, ShieldOptions } from "../capability.ts";
import { PAGE } from "../http/members.ts";
import { COUNT, list, object, TEXT, UNIX_MS } from "../openapi/openapi_parts.ts";
import { CommandsUnderWay } from "./commands_under_way.ts";
import { ConfirmAnswer } from "./handover.ts";
import { type PresenceService, startPresence } from "./service.ts";

const ROOM = "/v1/rooms/{room}";
const MEMBER = object({ connection_id: TEXT, user_id: TEXT, meta: {}, joined_ms: UNIX_MS });
const COUNTS = { connections: COUNT, users: COUNT };

/** Commands that wait for Brains; undefined with an embedded Spine, where no Brain ends alone. */
function commandsOf(
  { config, registry, monotonic_ms }: ShieldOptions,
  { hello, presence }: PresenceService,
): Given["commands"] {
  if (config.nats === undefined) return undefined;
  let again = 0;
  scrapedCounter(
    registry,
    "shield_commands_again_total",
    "Commands that were retried because a Brain ended while they waited.",
    () => again,
  );
  return (spine) =>
    new CommandsUnderWay({
      spine,
      monotonic_ms,
      hello: () => hello,
      brains: () => presence.brains(),
      onGone: (brain_id) => presence.suspect(brain_id),
      onAgain: () => void again++,
    });
}

/** The capability, for a Shield's list. */
export const PRESENCE: Capability = {
  name: "presence",
  title: "the members of rooms",
  config: ["presence"],
  room_class: ["presence", "max_members", "membership"],
  stores: ["ARQON_MEMBERS"],
  actions: { "presence.list": "presence", "presence.count": "presence" },
  client: {
    commands: [
      {
        method: "GET",
        template: `${ROOM}/presence`,
        id: "listMembers",
        tag: "presence",
        summary: "Lists a room's members, page by page",
        command: "presence.list",
        members: PAGE,
        result: "Members",
      },
      {
        method: "GET",
        template: `${ROOM}/presence/count`,
        id: "countMembers",
        tag: "presence",
        summary: "Counts a room's members",
        command: "presence.count",
        members: [],
        result: "Count",
      },
    ],
    tags: { presence: "presence in a room" },
    schemas: {
      Members: object({ members: list(MEMBER), ...COUNTS, next: TEXT }, ["next"]),
      Count: object(COUNTS),
    },
  },
  open(env, { node_id, rooms: { classes } }) {
    const service = startPresence({ ...env, classes, node_id });
    const { presence, moving, stats } = service;
    return {
      gives: {
        presence: {
          announce: () => presence.announce(),
          endGrace: (...removed) => presence.endGrace(...removed),
          keep: (connection_id, identity) => moving.keep(connection_id, identity),
          known: () => moving.known(),
          move(connections, at_most_ms) {
            presence.beginMove();
            return moving.tell([...connections].filter(service.isMember), at_most_ms);
          },
          // An embedded bus has no other Shield to return to, and its lists of members end with it.
          holds: () => env.config.nats !== undefined && stats.held_members > 0,
          attending: service.attending,
        },
        commands: commandsOf(env, service),
      },
      start({ cluster: { asker } }) {
        moving.askBy(async (params, timeout_ms) => {
          const options = { params, timeout_ms, of: "shield" } as const;
          const { answers, nodes } = await asker.ask("moving", ConfirmAnswer, options);
          return nodes.silent.length + answers.filter(({ value }) => !value.heard).length;
        });
        return {
          questions: { moving: (params) => moving.confirm(params) },
          clientsGone: () => Promise.resolve(presence.drain()),
        };
      },
      close: () => service.close(),
    };
  },
};
