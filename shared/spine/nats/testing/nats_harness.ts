/** Shared by the tests of the NATS engine: configuration, recorded log lines, waiting for states. Tests only. */
import { configFrom } from "../../../config/load.ts";
import { keptLog } from "../../../testing/logs.ts";
import { Collected } from "../../testing/conformance.ts";
import type { NatsConfig } from "../connection/nats_connect.ts";
import { openSpine, type OpenSpineOptions } from "../../open.ts";
import type { Spine, SpineEvent, SpineState } from "../../contract/spine.ts";

/** An engine with all its events so far. */
export interface Watched extends AsyncDisposable {
  readonly spine: Spine;
  readonly events: Collected<SpineEvent>;
  /** Every line logged so far. */
  readonly lines: readonly string[];
  reached(state: SpineState, count?: number): Promise<void>;
  /** Resolves after `count` gap events. */
  gaps(count: number): Promise<void>;
}

/** A checked `[nats]` table with its defaults. */
export function natsConfig(table: Record<string, unknown>): NatsConfig {
  const { nats } = configFrom({ nats: table });
  if (nats === undefined) throw new TypeError("the table is there");
  return nats;
}

/** Opens the NATS engine on loopback `port`; `more` are further keys of `[nats]`. */
export async function watched(
  port: number,
  more: Record<string, unknown> = {},
  options: Partial<OpenSpineOptions> = {},
): Promise<Watched> {
  const { log, lines } = keptLog({ level: "info" });
  const nats = natsConfig({ urls: [`nats://127.0.0.1:${port}`], ...more });
  return watching(
    await openSpine({ ...configFrom({}), nats }, { log, now: Date.now, ...options }),
    lines,
  );
}

/** An engine that was opened with a log of these lines. */
export function watching(spine: Spine, lines: readonly string[]): Watched {
  const events = new Collected<SpineEvent>();
  spine.onEvent(events.add);
  const isState = (event: SpineEvent, state: SpineState) =>
    event.type === "state" && event.status.state === state;
  return {
    spine,
    events,
    lines,
    reached: async (state, count = 1) => {
      const enough = (items: readonly SpineEvent[]) =>
        items.filter((event) => isState(event, state)).length >= count;
      await events.until(enough, `state ${state}, ${count} times`);
    },
    gaps: async (count) => {
      const enough = (items: readonly SpineEvent[]) =>
        items.filter((event) => event.type === "gap").length >= count;
      await events.until(enough, `${count} gaps`);
    },
    [Symbol.asyncDispose]: () => spine.drain(),
  };
}
