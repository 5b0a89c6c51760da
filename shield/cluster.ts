/**
 * Questions between the processes of a bus, on this Shield: it asks all processes, and answers with its capabilities.
 */
import { Answerer, type AnswerHandlers } from "../shared/cluster/cluster_answerer.ts";
import { ClusterAsker } from "../shared/cluster/cluster_asker.ts";
import type { Env } from "../shared/env.ts";
import { type OwnLife, readRegistered } from "../shared/lives/own_life.ts";
import { scraped } from "../shared/metrics/metrics.ts";
import type { DeliveryNotes } from "./fanout/delivery_notes.ts";

/** The questions of one Shield; none is asked before `start`. */
export class Cluster {
  readonly asker: ClusterAsker;
  readonly #start: (handlers: AnswerHandlers) => Answerer;
  #answerer!: Answerer;
  #stopEvents!: () => void;

  /** Subscribes to answers, with effect from the next flush. Throws `spine-unavailable`. */
  constructor(
    options: Pick<Env, "config" | "spine" | "registry" | "log" | "now" | "random">,
    { node_id, life }: { readonly node_id: string; readonly life: OwnLife },
    ledger: Pick<DeliveryNotes, "now_ms"> | undefined,
  ) {
    const { config, spine, registry, random, now } = options;
    const log = options.log.child({ part: "admin" });
    const common = { spine, node_id, kind: "shield" as const, log };
    const asker = new ClusterAsker({
      ...common,
      // With an embedded Spine there is no other Shield.
      ...config.nats && { registered: () => readRegistered(life, now) },
      // Other clocks are compared with the ledger's clock, as its times are reported.
      now: () => ledger?.now_ms ?? now(),
      random,
      answerer: { own: (...args) => this.#answerer.own(...args) },
    });
    this.asker = asker;
    this.#start = (handlers) => {
      this.#stopEvents = spine.onEvent((event) => {
        if (event.type === "state" && event.status.state === "connected") this.hello();
      });
      const answerer = new Answerer({
        ...common,
        now,
        handlers,
        onAsker: (who) => asker.onAsker(who),
      });
      registerQuestions(registry, asker, answerer);
      return answerer;
    };
  }

  /** Starts to answer, with effect from the next flush. */
  start(handlers: AnswerHandlers): void {
    this.#answerer = this.#start(handlers);
  }

  /** Asks which processes exist, once the Spine has the subscriptions. */
  hello(): void {
    // Processes that miss it are found by their heartbeats.
    void this.asker.hello().catch(() => {});
  }

  /** Notifies the others that the process ends, and stops answering. */
  close(): void {
    this.#stopEvents();
    this.#answerer.close();
    this.asker.close();
  }
}

function registerQuestions(
  registry: Env["registry"],
  asker: ClusterAsker,
  answerer: Answerer,
): void {
  scraped(registry, {
    "shield_admin_questions": ["Pending questions to the cluster.", () => asker.pending],
    "shield_admin_answers": [
      "Questions of other processes that are being answered.",
      () => answerer.pending,
    ],
    "shield_admin_questions_total": [
      "Questions to the cluster: asked, refused (too many), nodes silent, messages malformed.",
      "outcome",
      () => ({ ...asker.counts }),
    ],
    "shield_admin_answers_total": [
      "Questions of other processes, by outcome.",
      "outcome",
      () => ({ ...answerer.counts }),
    ],
  });
}
