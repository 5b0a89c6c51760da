/**
 * Puts together what a Shield shows of the cluster and reports about itself: it answers others' questions,
 * asks its own for the admin API, and keeps the tails of rooms.
 */
import { startAnswerer } from "../../../shared/cluster/cluster_answerer.ts";
import type { AnswerHandlers } from "../../../shared/cluster/cluster_answerer.ts";
import { ClusterAsker } from "../../../shared/cluster/cluster_asker.ts";
import { controlAnswers } from "../../../shared/cluster/cluster_control.ts";
import { Sampler, startSampler } from "../../../shared/cluster/cluster_samples.ts";
import { scrapedGauge } from "../../../shared/metrics/metrics.ts";
import type { Registry } from "../../../shared/metrics/metrics.ts";
import { scrapedFamily } from "../../../shared/metrics/metrics_plain.ts";
import type { ConfigReloading } from "../../../shared/config/live/reload.ts";
import type { Config } from "../../../shared/config/schema.ts";
import type { Random } from "../../../shared/ids.ts";
import type { Logger } from "../../../shared/logs/log.ts";
import type { Logging } from "../../../shared/logs/logging.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { z } from "zod";
import { HttpRates } from "../../rates/http_rates.ts";
import { readingOf } from "../../journal/admin/read.ts";
import { readRegistered } from "../../../shared/lives/registered.ts";
import { DURABLE } from "../../durable/capability.ts";
import { JOURNAL } from "../../journal/capability.ts";
import { WHY } from "../../ledger/capability.ts";
import type { Parts } from "../../parts.ts";
import { PRESENCE } from "../../presence/capability.ts";
import { HeardAnswer } from "../../presence/moving.ts";
import type { AskHeard } from "../../presence/moving.ts";
import { shieldAnswers } from "./answers.ts";
import type { InspectContext } from "./api.ts";
import { createShieldNode } from "./node.ts";
import { Id } from "../routing/query.ts";
import { Tails } from "./tail.ts";
import { noteTime, whyAnswers } from "./why.ts";

/** What the admin API over the cluster needs of the process. */
export interface InspectStart {
  readonly config: Config;
  readonly spine: Spine;
  readonly registry: Registry;
  readonly log: Logger;
  readonly version: string;
  /** Unix ms. */
  readonly now: () => number;
  readonly random: Random;
  /** Monotonic ms. */
  readonly monotonic_ms: () => number;
  readonly logging?: Pick<Logging, "levels" | "setLevel"> | undefined;
  readonly reloading?: ConfigReloading | undefined;
  readonly onDrain?: ((by: string) => void) | undefined;
}

/** The running admin API over the cluster. */
export interface StartedInspect {
  /** What the admin API over the cluster acts on. */
  readonly admin: InspectContext;
  /** Asks all Shields whether they know who moves; those that do not answer count as one that does not. */
  readonly askHeard: AskHeard;
  /** Asks which processes are there, and begins to store; to be called when the Spine has the subscriptions. */
  begin(): void;
  /** Ends all tails, since the process drains. */
  drain(): void;
  /** Tells the others that the process ends, and answers nothing any longer. */
  close(): void;
}

const DisconnectParams = z.strictObject({
  connection_id: Id,
  by: z.string().max(256),
  /** The only tenant that the asking admin may act on. */
  tenant: Id.optional(),
});

/** Ends a connection of this Shield, and says who wanted it. */
function disconnectAnswer(parts: Parts, log: Logger): AnswerHandlers {
  return {
    disconnect(params) {
      const { connection_id, by, tenant } = DisconnectParams.parse(params);
      const identity = parts.connections.get(connection_id)?.identity;
      if (tenant !== undefined && identity?.tenant_id !== tenant) return { done: false };
      const done = parts.signals.disconnect(connection_id);
      if (done) {
        const { tenant_id, user_id } = identity ?? {};
        const whose = { connection: connection_id, tenant_id, user: user_id };
        log.info("an operator ended a connection", { ...whose, by });
      }
      return { done };
    },
  };
}

/** Begins to answer, with effect from the next flush. Throws `spine-unavailable`. */
export function startInspect(start: InspectStart, parts: Parts): StartedInspect {
  const { config, spine, registry, now, random } = start;
  const { node_id, running } = parts;
  const log = start.log.child({ part: "admin" });
  const own = { ...start, checks: parts.checks, parts };
  const node = createShieldNode(own);
  // The reader is one of its own, so that what operators read is counted from their own last reading.
  const sampler = new Sampler({ ...start, node: createShieldNode(own) });
  const handlers = {
    node,
    samples: () => sampler.tell() ?? null,
    ...shieldAnswers(parts),
    ...whyAnswers(parts, now),
    ...controlAnswers({ ...start, log }),
    ...disconnectAnswer(parts, log),
    moving: (params: unknown) => running.of(PRESENCE)?.moving.heard(params) ?? { heard: false },
  };
  const common = { spine, node_id, kind: "shield" as const, log, now };
  const answerer = startAnswerer({ ...common, handlers, onAsker: (who) => asker.onAsker(who) });
  // Beside an embedded Spine there is no other Shield.
  const registered = config.nats === undefined
    ? {}
    : { registered: () => readRegistered(parts.life, now) };
  // Other clocks are compared with that of the ledger, whose times are reported.
  const asked = { ...common, ...registered, now: noteTime(parts, now) };
  const asker = new ClusterAsker({ ...asked, answerer, random });
  const tails = new Tails({ spine, log, now });
  const { classes } = parts.rooms;
  const { stats, tenants, operations: { context: { path, flushes } } } = parts;
  const rates = new HttpRates(parts.rates, now);
  const publishing = {
    path,
    flushes,
    rates,
    stats,
    tenants,
    history: running.of(DURABLE)?.history,
  };
  const place = running.of(JOURNAL)?.admin.place;
  const former = running.of(WHY)?.store?.former;
  const known = { spine, journal: place && readingOf(place), former, logs: parts.logs };
  const context = { asker, now, node_id, classes, config, tails, log, ...known, ...publishing };
  // Who is not asked now says so with its own beat.
  const hello = () => void asker.hello().catch(() => {});
  const stopEvents = spine.onEvent((event) => {
    if (event.type === "state" && event.status.state === "connected") hello();
  });
  registerInspect(registry, { answerer, asker, tails });
  const stopSamples = startSampler(sampler, (error) => log.warn("no sample was taken", { error }));
  return {
    admin: context,
    async askHeard(params, timeout_ms) {
      const { answers, nodes } = await asker.ask("moving", HeardAnswer, {
        ...{ params, timeout_ms, of: "shield" },
      });
      return nodes.silent.length + answers.filter(({ value }) => !value.heard).length;
    },
    begin: hello,
    drain: () => tails.close(),
    close() {
      stopSamples();
      stopEvents();
      tails.close();
      answerer.close();
      asker.close();
    },
  };
}

interface Inspected {
  readonly answerer: Pick<ReturnType<typeof startAnswerer>, "counts" | "pending">;
  readonly asker: Pick<ClusterAsker, "counts" | "pending">;
  readonly tails: Tails;
}

function registerInspect(registry: Registry, { answerer, asker, tails }: Inspected): void {
  const gauge = (name: string, help: string, read: () => number) =>
    scrapedGauge(registry, name, help, read);
  const counter = (name: string, help: string, read: () => Readonly<Record<string, number>>) =>
    scrapedFamily(registry, name, help, "outcome", read);
  gauge("shield_admin_questions", "Questions to the cluster under way.", () => asker.pending);
  gauge("shield_admin_answers", "Questions of others being answered.", () => answerer.pending);
  gauge("shield_admin_tails", "Rooms that operators read.", () => tails.size);
  counter(
    "shield_admin_questions_total",
    "Questions to the cluster: asked, refused (too many), nodes silent, messages malformed.",
    () => ({ ...asker.counts }),
  );
  counter(
    "shield_admin_answers_total",
    "Questions of other processes, by outcome.",
    () => ({ ...answerer.counts }),
  );
  counter(
    "shield_admin_tail_messages_total",
    "Messages for operators who read a room: shown, or dropped because they read too slowly.",
    () => ({ ...tails.counts }),
  );
}
