/**
 * A Brain's answers to operators, and their orders: its record, its logs, its drain; with those of its capabilities.
 * The Shields provide the admin API.
 */
import { Answerer } from "../shared/cluster/cluster_answerer.ts";
import type { AnswerHandlers } from "../shared/cluster/cluster_answerer.ts";
import { controlAnswers } from "../shared/cluster/cluster_control.ts";
import type { ControlOptions } from "../shared/cluster/cluster_control.ts";
import { eraseEntries } from "../shared/cluster/cluster_erase.ts";
import { LAG_METRIC, nodeOf, QuantileReader, totalOf } from "../shared/cluster/cluster_node.ts";
import type { ClusterNode } from "../shared/cluster/cluster_node.ts";
import { Sampler, startSampler } from "../shared/cluster/cluster_samples.ts";
import type { Env } from "../shared/env.ts";
import type { HealthReport } from "../shared/listeners/ops.ts";
import type { ClusterView } from "./cluster_view.ts";

/** Opens a reader of figures for operators; each reader reads values since its own previous read. */
export type OpenFigures = () => () => Promise<Partial<Pick<ClusterNode, "totals" | "gauges">>>;

/** The Brain's parts that the answers need. */
export interface InspectOptions extends ControlOptions, Pick<Env, "spine" | "registry" | "now"> {
  readonly view: Pick<ClusterView, "brain_id">;
  readonly version: string;
  /** Unix ms. */
  readonly started_ms: number;
  readonly checks: () => HealthReport["checks"];
  readonly isDraining: () => boolean;
  /** Each opens a reader of a capability's figures. */
  readonly figures: readonly OpenFigures[];
  readonly questions: AnswerHandlers;
}

function createNode(options: InspectOptions): () => Promise<ClusterNode> {
  const { registry, view, spine, now } = options;
  const lag = new QuantileReader(registry, LAG_METRIC, now);
  const readers = options.figures.map((open) => open());
  return async () => {
    const commands = await totalOf(registry, "brain_commands_total");
    const room_classes_hash = await totalOf(registry, "brain_room_classes_hash");
    const others = await Promise.all(readers.map((read) => read()));
    const reading = {
      kind: "brain",
      node_id: view.brain_id,
      version: options.version,
      started_ms: options.started_ms,
      now_ms: now(),
      draining: options.isDraining(),
      checks: options.checks(),
      spine: spine.status,
      totals: Object.assign({ commands }, ...others.map(({ totals }) => totals)),
      gauges: Object.assign({ room_classes_hash }, ...others.map(({ gauges }) => gauges)),
    } as const;
    return await nodeOf(reading, lag);
  };
}

/** Starts answering operators' requests; takes effect with the next flush. Throws `spine-unavailable`. */
export function startInspect(options: InspectOptions): { close(): void } {
  const { spine, view, now } = options;
  const log = options.log.child({ part: "admin" });
  // A separate reader: operators read values since their own previous read.
  const sampler = new Sampler({ node: createNode(options), monotonic_ms: now });
  const handlers: AnswerHandlers = {
    node: createNode(options),
    samples: () => sampler.tell() ?? null,
    erase_entries: (params) => eraseEntries(spine, params),
    ...controlAnswers({ ...options, log }),
    ...options.questions,
  };
  const named = { node_id: view.brain_id, kind: "brain" as const };
  const answerer = new Answerer({ spine, ...named, handlers, log, now });
  const stop = startSampler(sampler, (error) => log.warn("no sample was taken", { error }));
  return {
    close() {
      stop();
      answerer.close();
    },
  };
}
