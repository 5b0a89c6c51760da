/** The presence capability of a Shield: the members of rooms. */
import { scrapedCounter } from "../../shared/metrics/metrics_plain.ts";
import type { Capability, Given, ShieldOptions } from "../capability.ts";
import { PAGE } from "../http/members.ts";
import { COUNT, list, object, TEXT, UNIX_MS } from "../openapi/openapi_parts.ts";
import { ConfirmAnswer } from "./handover.ts";
import { type PresenceService, startPresence } from "./service.ts";
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import type { RequestOptions, Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { processSubject, type Subject } from "../../shared/subjects/subject.ts";

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

// A Brain that is killed or disconnected loses the answers it owes: if commands wait for long, this finds out whether
// a Brain is down, and retries commands with an id, which the room's owner applies once.

interface CommandsUnderWayOptions extends Pick<Env, "monotonic_ms"> {
  /** The message that probes whether a Brain receives messages. */
  readonly hello: () => Uint8Array;
  readonly spine: Pick<Spine, "request">;
  /** The serving Brains, as far as this Shield knows. */
  readonly brains: () => readonly string[];
  readonly onGone: (brain_id: string) => void;
  /** Called for each retried command. */
  readonly onAgain: () => void;
}

/** How long an answer may take before Brains are probed, in ms; also the interval of the probes. */
const LATE_MS = 250;
/** How long a Brain is probed after it was last known to serve, in ms. */
const REMEMBERED_MS = 10_000;
/** The most retries of one command: each time another Brain is down. */
const AGAIN_MAX = 3;

interface Waiting {
  /** The time when it was last sent. */
  asked_ms: number;
  readonly again: () => void;
}

/** The pending commands of one Shield. */
export class CommandsUnderWay {
  readonly #options: CommandsUnderWayOptions;
  /** Commands that may be retried, oldest first. */
  readonly #waiting = new Set<Waiting>();
  /** Brains, and the time when they were last known to serve. */
  readonly #brains = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: CommandsUnderWayOptions) {
    this.#options = options;
  }

  /** Sends a command; with `has_id` it may be retried, and the first answer counts. Rejects as `Spine.request`. */
  async request(
    subject: Subject,
    payload: Uint8Array,
    options: RequestOptions,
    has_id: boolean,
  ): Promise<SpineMessage> {
    const { spine, monotonic_ms, onAgain } = this.#options;
    if (!has_id) return await spine.request(subject, payload, options);
    const deadline_ms = monotonic_ms() + options.timeout_ms;
    const { promise, resolve, reject } = Promise.withResolvers<SpineMessage>();
    let requested = 0;
    let open = 0;
    const ask = () => {
      requested++;
      open++;
      const timeout_ms = Math.max(1, deadline_ms - monotonic_ms());
      spine.request(subject, payload, { ...options, timeout_ms }).then(resolve, (error) => {
        // Another Brain may still answer.
        if (--open === 0) reject(error);
      });
    };
    const waiting: Waiting = {
      asked_ms: monotonic_ms(),
      again: () => {
        if (requested > AGAIN_MAX) return;
        waiting.asked_ms = monotonic_ms();
        onAgain();
        ask();
      },
    };
    ask();
    this.#waiting.add(waiting);
    this.#timer ??= setTimeout(() => this.#look(), LATE_MS);
    try {
      return await promise;
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  #look(): void {
    this.#timer = undefined;
    const [oldest] = this.#waiting;
    if (oldest === undefined) return;
    this.#timer = setTimeout(() => this.#look(), LATE_MS);
    const now_ms = this.#options.monotonic_ms();
    for (const brain of this.#options.brains()) this.#brains.set(brain, now_ms);
    for (const [brain, seen_ms] of this.#brains) {
      if (now_ms - seen_ms > REMEMBERED_MS) this.#brains.delete(brain);
    }
    if (now_ms - oldest.asked_ms < LATE_MS) return;
    for (const brain of this.#brains.keys()) void this.#knock(brain, now_ms);
  }

  /** A hello has no answer: the probe only shows whether there is a subscriber. */
  async #knock(brain: string, now_ms: number): Promise<void> {
    const { spine, hello, onGone } = this.#options;
    try {
      await spine.request(processSubject("direct", brain), hello(), { timeout_ms: LATE_MS });
    } catch (error) {
      const is_gone = error instanceof ArqonError && error.reason === "brain-unavailable";
      if (!is_gone || !this.#brains.delete(brain)) return;
      onGone(brain);
      for (const waiting of this.#waiting) if (waiting.asked_ms <= now_ms) waiting.again();
    }
  }
}
