/** The durable-rooms capability of a Shield: rooms whose messages are stored and can be read again. */
import type { Capability } from "../capability.ts";
import { FILTERS } from "../filter/capability.ts";
import { Filters } from "../filter/filters.ts";
import { HttpRates } from "../rates/http_rates.ts";
import { POSITION } from "../http/openapi_answers.ts";
import { BOOLEAN, inQuery, integer, list, object, ref, TEXT } from "../openapi/openapi_parts.ts";
import { createHistory, type History, type HistoryContext } from "./history/history.ts";
import { HISTORY_GET, isProtobufType, rangeOfParams } from "./history/history_query.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { FlushQueue } from "../connection/flush_queue.ts";
import type { DurableRooms } from "../fanout/hub.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { SYSTEM_CLOCK } from "./log/log_calls.ts";
import { LogWatch, TenantLogs } from "./log/logs.ts";
import { DurableChannel, type RoomEvents } from "./room/channel.ts";
import { RoomLog } from "./room/room_log.ts";
import { DurableStats, registerPendingLimit } from "./log/stats.ts";
import { TailCache } from "./log/tail_cache.ts";
import { answerWith } from "../../shared/http1/header_list.ts";
import { type ClientHandler, type DescribedRoute, httpCaller } from "../http/route.ts";
import { bump, type ShieldStats } from "../stats/stats.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { Connection } from "../connection/connection.ts";
import type { SubscribeContext } from "../connection/subscribe.ts";
import type { Subscriber } from "../fanout/channel.ts";
import type { Entry, Flow } from "../fanout/entry.ts";
import { frameBytes } from "../fanout/frame_bytes.ts";
import { entryFrame } from "../fanout/room_message.ts";
import type { MissedMessages } from "../filter/judges.ts";
import { LogFlow } from "./recovery/recovery.ts";

/** The parts of durable rooms for other capabilities; the history is available once it is started. */
interface OwnDurable extends Pick<StartedDurable, "stats"> {
  readonly history?: History;
}

/** The dependencies of `startDurable`. */
interface DurableStart extends Pick<Env, "spine" | "registry" | "log"> {
  readonly config: Pick<Config, "durable" | "limits">;
  readonly classes: RoomClasses;
  readonly flushes: Pick<FlushQueue, "confirmed">;
}

/** The durable rooms of a process. */
export interface StartedDurable {
  readonly logs: TenantLogs;
  readonly rooms: DurableRooms;
  readonly stats: DurableStats;
  /** Makes the history of the rooms; once. */
  history(context: Omit<HistoryContext, "logs" | "classes" | "stats">): History;
  /** Ends the watch. The hub closes the rooms, and the Spine the logs. */
  close(): void;
}

/** Assembles the parts; no log is opened before a room needs it. */
export function startDurable(start: DurableStart): StartedDurable {
  const { config, spine, classes, flushes, registry } = start;
  const { limits } = config;
  const logger = start.log.child({ part: "durable" });
  const clock = SYSTEM_CLOCK;
  const stats = new DurableStats(registry);
  registerPendingLimit(registry, limits.log_pending_bytes);
  const open_rooms = new Map<string, RoomLog>();
  const nameOf = (tenant_id: string, room_id: string) => `${tenant_id}/${room_id}`;
  const roomOf = (...ids: Parameters<typeof nameOf>) => open_rooms.get(nameOf(...ids));
  const logs = new TenantLogs({ spine, classes, stats, log: logger, roomOf });
  const cache = new TailCache({ limits, clock, stats });
  const { verify_ms } = config.durable;
  const watch = new LogWatch({ spine, clock, stats, logger, verify_ms });
  const open = async (tenant_id: string, room_id: string, events: RoomEvents) => {
    const [log] = await Promise.all([logs.of(tenant_id), flushes.confirmed()]);
    const class_of = () => classes.of(tenant_id, room_id);
    const shared = { log, limits, cache, stats, clock, logger };
    const room = new RoomLog({ tenant_id, room_id, class_of, ...shared, ...events });
    watch.add(room);
    open_rooms.set(nameOf(tenant_id, room_id), room);
    return room;
  };
  const release = (room: RoomLog) => {
    watch.remove(room);
    const name = nameOf(room.tenant_id, room.room_id);
    if (open_rooms.get(name) === room) open_rooms.delete(name);
    room.close();
  };
  const timeout_ms = limits.command_timeout_ms;
  const lag_bytes_max = limits.recovery_bytes + limits.unsent_bytes;
  return {
    logs,
    stats,
    history: (context) => createHistory({ ...context, logs, classes, stats }),
    rooms: {
      classes,
      room: (channel, hub) =>
        new DurableChannel({
          open: (events) => open(channel.tenant_id, channel.room_id, events),
          channel,
          hub,
          release,
          timeout_ms,
          lag_bytes_max,
        }),
    },
    close() {
      watch.close();
      logs.close();
    },
  };
}

const HISTORY_QUERY = [
  inQuery("after", "only messages after this offset", integer(0)),
  inQuery("before", "only messages before this offset", integer(0)),
  inQuery("limit", "how many", integer(1, 1_000, 100)),
  inQuery("reverse", "newest first", { type: "boolean" }),
  inQuery("filter", "only messages for which this is true, in CEL", TEXT),
];

/** The route and its description. */
export const HISTORY = {
  method: "GET",
  template: "/v1/rooms/{room}/messages",
  about: {
    id: "history",
    tag: "messages",
    summary: "The stored messages of a durable room",
    query: HISTORY_QUERY,
    answer: ref("History"),
    refusals: [409],
  },
} satisfies DescribedRoute;

/** The dependencies of `createHttpHistory`. */
interface HttpHistoryContext {
  readonly history: Pick<History, "answer" | "give" | "limits">;
  readonly stats: Pick<ShieldStats, "ingress_ops">;
  readonly rates: Pick<HttpRates, "take">;
  /** Whether a token may be in the URL. */
  readonly query_token: boolean;
}

/** Makes the handler, which answers 200 with the page and rejects with a refusal. */
export function createHttpHistory(context: HttpHistoryContext): ClientHandler {
  const { history, stats, rates, query_token } = context;
  const others = query_token ? ["access_token"] : [];
  return async ({ request, client, url: { searchParams }, names: { room = "" } }) => {
    const { identity } = client;
    bump(stats.ingress_ops, "http_history");
    rates.take(identity, request.url.length);
    const caller = httpCaller(client, request.headers);
    const ask = () => rangeOfParams(searchParams, history.limits, others);
    const answer = await history.answer(caller, room, ask);
    // Whoever does not name Protobuf gets JSON.
    const protobuf = (request.headers.get("accept") ?? "").split(",").some(isProtobufType);
    // Nobody reads the body of a HEAD.
    const body = request.method !== "HEAD"
      ? await history.give(caller, room, answer, protobuf)
      : await (protobuf ? answer.protobuf() : answer.json());
    const headers = {
      "content-type": protobuf ? "application/protobuf" : "application/json",
      "cache-control": "no-store",
      "vary": "accept",
    };
    return await answerWith(request, body, headers, identity.tenant_id);
  };
}

/** The number of messages that are skipped in one turn. */
const PASSED_A_TURN = 1_000;

/** Sends the missed messages, as fast as the connection reads; after that it is live. */
function sendMissed(
  filters: Pick<Filters, "missed">,
  context: SubscribeContext,
  connection: Connection,
  room_id: string,
  flow: Flow,
): void {
  if (!(flow instanceof LogFlow) || flow.is_sending || flow.is_live) return;
  flow.is_sending = true;
  // Messages for a later SUB follow its own ACK.
  const { rewinds } = flow;
  const { path, stats, hub, ledger } = context;
  const { tenant_id } = connection.identity;
  const channel = hub.find(tenant_id, room_id);
  const totals = channel?.tenant;
  const note = (passed: PassedOver, { mark }: Subscriber) => {
    if (channel?.noted && mark) ledger?.passedOver(channel.noted, mark, passed);
  };
  const judge = filters.missed(tenant_id, room_id);
  const goOn = () => {
    if (connection.ended || flow.rewinds !== rewinds) return;
    sendMissed(filters, context, connection, room_id, flow);
  };
  connection.sendLater(() => {
    if (flow.rewinds !== rewinds) return undefined;
    const subscriber = connection.subscriptions.get(room_id) ??
      hub.patterns?.of(connection)?.subscriber(room_id);
    let passed: PassedOver | undefined;
    for (let looked = 0; subscriber?.flow === flow; looked++) {
      if (looked === PASSED_A_TURN || judge.isOver()) {
        if (passed !== undefined) note(passed, subscriber);
        flow.is_sending = false;
        judge.later(goOn);
        return undefined;
      }
      const entry = flow.next();
      const room_class = path.classes.of(tenant_id, room_id);
      const why = entry && whyPassedOver(judge, connection, subscriber, room_class, entry);
      if (entry !== undefined && why !== undefined) {
        if (passed?.why === why) passed.to = entry.offset;
        else {
          if (passed !== undefined) note(passed, subscriber);
          passed = { from: entry.offset, to: entry.offset, why };
        }
        continue;
      }
      if (passed !== undefined) note(passed, subscriber);
      if (entry === undefined) break;
      const frame = entryFrame(entry, connection.text);
      const size_bytes = frameBytes(frame);
      stats.egress_messages++;
      if (totals !== undefined) totals.egress_messages++;
      stats.egress_bytes += size_bytes;
      subscriber.use?.caughtUp(room_class.pattern, size_bytes);
      return frame;
    }
    flow.is_sending = false;
    flow.noteLive(ledger?.position ?? 0);
    return undefined;
  });
}

/** Messages, by their offsets, that a subscription skips. */
interface PassedOver {
  readonly from: number;
  to: number;
  readonly why: "echo" | "filter";
}

/** Why the subscriber does not get the message; undefined: it does. */
function whyPassedOver(
  judge: MissedMessages,
  { id }: Pick<Connection, "id">,
  subscriber: Subscriber,
  room_class: RoomClass,
  { origin, envelope }: Entry,
): PassedOver["why"] | undefined {
  if (origin === id && (subscriber.no_echo || !room_class.echo)) return "echo";
  if (subscriber.filter === undefined && room_class.filter === undefined) return undefined;
  return judge.withholds(subscriber, room_class, envelope) ? "filter" : undefined;
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
